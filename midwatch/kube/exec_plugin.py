"""Running an exec credential plugin, such as kubelogin (client.authentication.k8s.io/v1 and v1beta1).

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins.
Nobody sits at a terminal: the program is told so and its stdin is empty.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from midwatch.domain.errors import TransientError, UsageError
from midwatch.kube.connection import Connection, Exec

EXEC_TIMEOUT = timedelta(seconds=30)
_LONGEST_COMPLAINT = 200
_SHORTEST_SECRET = 4
"""A value of the plugin's environment that is shorter is a switch, and blotting it out would garble the message."""


class ExecStatus(BaseModel):
    """`status` of the ExecCredential that a plugin prints: a token, a certificate with its key, or both."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    token: SecretStr | None = None
    certificate: str | None = Field(default=None, alias="clientCertificateData", repr=False)
    key: SecretStr | None = Field(default=None, alias="clientKeyData")
    expires: datetime | None = Field(default=None, alias="expirationTimestamp")


class _ExecCredential(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    kind: str
    api_version: str = Field(alias="apiVersion")
    status: ExecStatus


async def run_exec(program: Exec, connection: Connection, timeout: timedelta = EXEC_TIMEOUT) -> ExecStatus:  # noqa: ASYNC109 - the program is ended, not only left
    """Run the plugin and read what it prints.

    What it prints is in no error, since it may be a secret; of its complaints (stderr) the first line is, without the
    values that the kubeconfig gave it.

    Raises:
        UsageError: `exec-missing`, or `exec-failed` for credentials that cannot be used.
        TransientError: `exec-failed` for an exit code, behind which may be a network that blinked; `exec-timeout`. The
            program and its children have been killed then.
    """
    env = {**os.environ, **dict(program.env), "KUBERNETES_EXEC_INFO": json.dumps(_exec_info(program, connection))}
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            program.command,
            *program.args,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,  # so that its children can be ended with it
        )
    except OSError as error:
        hint = f" ({program.install_hint})" if program.install_hint else ""
        text = f"the kubeconfig needs the program {program.command!r}, which cannot be run: {error.strerror}{hint}"
        raise UsageError("exec-missing", text) from None
    finished = False
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            printed, complaint = await process.communicate()
        finished = True
    except TimeoutError:
        text = f"{program.command} gave no credentials within {timeout.total_seconds():g} s"
        raise TransientError("exec-timeout", text) from None
    finally:
        if not finished:  # also when it has ended, and a child of it holds its output open
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode != 0:
        said = _first_line(complaint, program)
        text = f"{program.command} ended with exit code {process.returncode}: {said or 'it said nothing'}"
        raise TransientError("exec-failed", text)
    return _read(program, printed)


def _read(program: Exec, printed: bytes) -> ExecStatus:
    try:
        credential = _ExecCredential.model_validate_json(printed)
    except ValidationError:
        raise UsageError("exec-failed", f"{program.command} printed no ExecCredential with a status") from None
    if credential.kind != "ExecCredential" or credential.api_version != program.api_version:
        text = f"{program.command} printed another kind or version of object than ExecCredential {program.api_version}"
        raise UsageError("exec-failed", text)
    status = credential.status
    if (status.certificate is None) != (status.key is None):
        raise UsageError("exec-failed", f"{program.command} printed a client certificate or a key without the other")
    if status.token is None and status.certificate is None:
        raise UsageError("exec-failed", f"{program.command} printed neither a token nor a client certificate")
    return status


def _first_line(complaint: bytes, program: Exec) -> str:
    """What the program said of its failure, without the values that the kubeconfig gave it."""
    lines = complaint.decode(errors="replace").strip().splitlines()
    line = "".join(c if c.isprintable() else " " for c in lines[0]) if lines else ""
    given = {value for _, value in program.env}
    given |= {arg.partition("=")[2] if arg.startswith("-") else arg for arg in program.args}
    for value in sorted(given, key=len, reverse=True):
        if len(value) >= _SHORTEST_SECRET:
            line = line.replace(value, "...")
    return line[:_LONGEST_COMPLAINT]


def _exec_info(program: Exec, connection: Connection) -> dict[str, object]:
    spec: dict[str, object] = {"interactive": False}
    if program.provide_cluster_info:
        ca = base64.b64encode(connection.ca.encode()).decode() if connection.ca else None
        cluster = {
            "server": connection.server,
            "tls-server-name": connection.tls_server_name,
            "insecure-skip-tls-verify": connection.insecure or None,
            "certificate-authority-data": ca,
            "proxy-url": connection.proxy,
            "config": json.loads(program.cluster_config) if program.cluster_config else None,
        }
        spec["cluster"] = {key: value for key, value in cluster.items() if value is not None}
    return {"apiVersion": program.api_version, "kind": "ExecCredential", "spec": spec}
