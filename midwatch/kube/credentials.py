"""Credentials that change: token files and exec plugins."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from midwatch.domain.errors import MidwatchError, TransientError, UsageError
from midwatch.kube.kubeconfig import ClientCertificate, Connection, Exec, Token, TokenFile

_EXEC_TIMEOUT_SECONDS = 30.0
_EARLY_SECONDS = 60.0
"""A token is renewed so long before it expires; half its life when that is shorter."""


class _ExecStatus(BaseModel):
    model_config = ConfigDict(extra="ignore")

    token: SecretStr | None = None
    certificate: str | None = Field(default=None, alias="clientCertificateData")
    key: SecretStr | None = Field(default=None, alias="clientKeyData")
    expires: datetime | None = Field(default=None, alias="expirationTimestamp")


class _ExecCredential(BaseModel):
    model_config = ConfigDict(extra="ignore")

    status: _ExecStatus


class BearerSource:
    """The bearer token of a connection, fresh enough for the next request. None for client certificates."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()
        self._token: str | None = None
        self._valid_until = 0.0

    async def token(self) -> str | None:
        """The token.

        Raises:
            UsageError: `exec-missing`, `exec-failed` or `no-credentials`.
            TransientError: `exec-timeout`.
        """
        match self._connection.credentials:
            case Token(value):
                return value
            case TokenFile(path):
                return _read_token(path)
            case Exec() as program:
                async with self._lock:
                    if self._token is None or time.time() >= self._valid_until:
                        await self._run(program)
                    return self._token
            case ClientCertificate():
                return None

    def forget(self) -> bool:
        """Drop a token that the server refused. Whether asking again may give another one."""
        self._valid_until = 0.0
        return isinstance(self._connection.credentials, Exec | TokenFile)

    async def _run(self, program: Exec) -> None:
        self._token = None
        status = await run_exec(program, self._connection)
        token = status.token.get_secret_value() if status.token else None
        if not token:
            raise UsageError(
                "no-credentials", f"{program.command} gave no token; client certificates from exec are not read"
            )
        now = time.time()
        left = status.expires.replace(tzinfo=status.expires.tzinfo or UTC).timestamp() - now if status.expires else None
        self._valid_until = now + (left - min(_EARLY_SECONDS, left / 2) if left is not None else 365 * 86400.0)
        self._token = token


def _read_token(path: Path) -> str:
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("no-credentials", f"the token file {path} cannot be read: {error}") from error
    if not token:
        raise UsageError("no-credentials", f"the token file {path} is empty")
    return token


async def run_exec(program: Exec, connection: Connection) -> _ExecStatus:
    """Run an exec plugin and read what it prints. No error repeats its output, since that may be a secret."""
    info = {
        "apiVersion": program.api_version,
        "kind": "ExecCredential",
        "spec": {"interactive": False, **({"cluster": _cluster(connection)} if program.provide_cluster_info else {})},
    }
    env = {**os.environ, **dict(program.env), "KUBERNETES_EXEC_INFO": json.dumps(info)}
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            program.command, *program.args, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
    except OSError as error:
        hint = f" ({' '.join(program.install_hint.split())})" if program.install_hint else ""
        text = f"the kubeconfig needs the program {program.command!r}, which cannot be run: {error.strerror}{hint}"
        raise UsageError("exec-missing", text) from error
    try:
        async with asyncio.timeout(_EXEC_TIMEOUT_SECONDS):
            printed, complaint = await process.communicate()
    except TimeoutError as error:
        raise TransientError(
            "exec-timeout", f"{program.command} did not end in {_EXEC_TIMEOUT_SECONDS:.0f} s"
        ) from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode != 0:
        said = complaint.decode(errors="replace").strip().splitlines()[:1]
        text = f"{program.command} ended with exit code {process.returncode}: {said[0][:200] if said else 'no message'}"
        raise UsageError("exec-failed", text)
    try:
        return _ExecCredential.model_validate_json(printed).status
    except ValidationError:
        raise _bad_exec(program) from None


def _bad_exec(program: Exec) -> MidwatchError:
    return UsageError("exec-failed", f"{program.command} printed no ExecCredential with a status")


def _cluster(connection: Connection) -> dict[str, object]:
    known = {"server": connection.server, "tls-server-name": connection.tls_server_name}
    return {key: value for key, value in known.items() if value}
