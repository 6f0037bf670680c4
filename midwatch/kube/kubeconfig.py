"""Kubeconfig files, merged as kubectl merges them. A context without usable credentials is an error."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from midwatch.domain.clusters import named_or_near
from midwatch.domain.errors import UsageError


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """PEM bytes of a client certificate and its key."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token that does not change."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A bearer token in a file, which is read for each request, since it is rotated."""

    path: Path


@dataclass(frozen=True, slots=True)
class Exec:
    """A program that prints credentials (client.authentication.k8s.io)."""

    command: str
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = field(repr=False)
    api_version: str
    install_hint: str
    provide_cluster_info: bool


type Credentials = ClientCertificate | Token | TokenFile | Exec


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach one cluster. `ca` is PEM text, None for the system's authorities."""

    context: str
    server: str
    ca: str | None
    insecure: bool
    tls_server_name: str | None
    proxy: str | None
    credentials: Credentials


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Cluster(_Part):
    server: str = ""
    ca_data: str | None = Field(default=None, alias="certificate-authority-data")
    ca_file: str | None = Field(default=None, alias="certificate-authority")
    insecure: bool = Field(default=False, alias="insecure-skip-tls-verify")
    tls_server_name: str | None = Field(default=None, alias="tls-server-name")
    proxy: str | None = Field(default=None, alias="proxy-url")


class _EnvVar(_Part):
    name: str
    value: SecretStr = SecretStr("")


class _ExecSpec(_Part):
    command: str
    args: list[str] | None = None
    env: list[_EnvVar] | None = None
    api_version: str = Field(alias="apiVersion")
    install_hint: str = Field(default="", alias="installHint")
    provide_cluster_info: bool = Field(default=False, alias="provideClusterInfo")


class _User(_Part):
    certificate_data: str | None = Field(default=None, alias="client-certificate-data")
    certificate_file: str | None = Field(default=None, alias="client-certificate")
    key_data: SecretStr | None = Field(default=None, alias="client-key-data")
    key_file: str | None = Field(default=None, alias="client-key")
    token: SecretStr | None = None
    token_file: str | None = Field(default=None, alias="tokenFile")
    exec_: _ExecSpec | None = Field(default=None, alias="exec")
    username: str | None = None
    auth_provider: dict[str, object] | None = Field(default=None, alias="auth-provider")


class _Context(_Part):
    cluster: str = ""
    user: str = ""


class _NamedCluster(_Part):
    name: str
    cluster: _Cluster = _Cluster()


class _NamedUser(_Part):
    name: str
    user: _User | None = None


class _NamedContext(_Part):
    name: str
    context: _Context = _Context()


class _File(_Part):
    clusters: list[_NamedCluster] | None = None
    users: list[_NamedUser] | None = None
    contexts: list[_NamedContext] | None = None
    current_context: str | None = Field(default=None, alias="current-context")


@dataclass(frozen=True, slots=True)
class _Entry[T]:
    """A part of a kubeconfig, and the file that holds it: relative paths start there."""

    value: T
    file: Path


class Kubeconfig:
    """One or more kubeconfig files; the first that names something wins."""

    def __init__(self, files: list[tuple[Path, _File]]) -> None:
        self._clusters: dict[str, _Entry[_Cluster]] = {}
        self._users: dict[str, _Entry[_User]] = {}
        self._contexts: dict[str, _Entry[_Context]] = {}
        self.current_context = next((f.current_context for _, f in files if f.current_context), None)
        for path, file in files:
            for cluster in file.clusters or []:
                self._clusters.setdefault(cluster.name, _Entry(cluster.cluster, path))
            for user in file.users or []:
                self._users.setdefault(user.name, _Entry(user.user or _User(), path))
            for context in file.contexts or []:
                self._contexts.setdefault(context.name, _Entry(context.context, path))

    @classmethod
    def load(cls, explicit: Path | None, env: Mapping[str, str]) -> Kubeconfig:
        """Read the files as kubectl finds them.

        Args:
            explicit: the one file that the caller named; it must exist.
            env: `KUBECONFIG` (a list of files, missing ones are passed over), else `~/.kube/config` under `HOME`.

        Raises:
            UsageError: `kubeconfig-not-found` or `kubeconfig-malformed`.
        """
        listed = [Path(part) for part in env.get("KUBECONFIG", "").split(os.pathsep) if part]
        home = Path(env.get("HOME") or Path.home()) / ".kube" / "config"
        paths = [explicit] if explicit is not None else listed or [home]
        files = [(path.absolute(), _read(path)) for path in paths if path.exists()]
        if not files:
            raise UsageError("kubeconfig-not-found", "no kubeconfig: there is no " + ", ".join(str(p) for p in paths))
        return cls(files)

    @property
    def contexts(self) -> list[str]:
        """The names of the contexts, sorted."""
        return sorted(self._contexts)

    def connection(self, context: str) -> Connection:
        """How to reach the cluster of a context.

        Raises:
            UsageError: `unknown-context`, `kubeconfig-malformed`, `no-credentials`, `unsupported-credentials`.
        """
        found = self._contexts.get(context)
        if found is None:
            near = named_or_near(context, self.contexts)
            raise UsageError("unknown-context", f"the kubeconfig has no context {context!r}: {near}")
        where = f"{found.file}: context {context!r}"
        cluster = self._clusters.get(found.value.cluster)
        user = self._users.get(found.value.user)
        if cluster is None or not cluster.value.server:
            raise _malformed(f"{where} names cluster {found.value.cluster!r}, which has no server there")
        if not cluster.value.server.startswith(("https://", "http://")):
            raise _malformed(f"{cluster.file}: cluster {found.value.cluster!r} has no URL as its server")
        if user is None:
            raise UsageError("no-credentials", f"{where} names user {found.value.user!r}, which is not there")
        spec = cluster.value
        return Connection(
            context=context,
            server=spec.server.rstrip("/"),
            ca=None if spec.insecure else _ca(cluster),
            insecure=spec.insecure,
            tls_server_name=spec.tls_server_name or None,
            proxy=spec.proxy or None,
            credentials=_credentials(user, f"{user.file}: user {found.value.user!r}"),
        )


def _malformed(message: str) -> UsageError:
    return UsageError("kubeconfig-malformed", message)


def _read(path: Path) -> _File:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise _malformed(f"{path}{line}: {getattr(error, 'problem', None) or 'not YAML'}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise _malformed(f"{path} cannot be read: {error}") from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise _malformed(f"{path}: a kubeconfig is a mapping")
    try:
        return _File.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise _malformed(f"{path}: `{key}`: {first['msg']}") from None


def _ca(entry: _Entry[_Cluster]) -> str | None:
    try:
        if entry.value.ca_data:
            return base64.b64decode(entry.value.ca_data, validate=False).decode("ascii")
        if entry.value.ca_file:
            return (entry.file.parent / entry.value.ca_file).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise _malformed(f"{entry.file}: the certificate authority cannot be read: {error}") from error
    return None


def _credentials(entry: _Entry[_User], where: str) -> Credentials:
    user = entry.value
    if user.exec_ is not None:
        spec = user.exec_
        env = tuple((e.name, e.value.get_secret_value()) for e in spec.env or [])
        command = str(entry.file.parent / spec.command) if "/" in spec.command else spec.command
        return Exec(
            command, tuple(spec.args or ()), env, spec.api_version, spec.install_hint, spec.provide_cluster_info
        )
    if user.token is not None and user.token.get_secret_value():
        return Token(user.token.get_secret_value())
    if user.token_file:
        return TokenFile(entry.file.parent / user.token_file)
    certificate = _pem(entry.file, user.certificate_data, user.certificate_file, f"{where}: client certificate")
    key_data = user.key_data.get_secret_value() if user.key_data else None
    key = _pem(entry.file, key_data, user.key_file, f"{where}: client key")
    if certificate and key:
        return ClientCertificate(certificate, key)
    if user.username or user.auth_provider:
        kind = "a user name and password" if user.username else "an auth-provider"
        raise UsageError("unsupported-credentials", f"{where} has {kind}: use a certificate, a token or exec")
    raise UsageError("no-credentials", f"{where} has no credentials that work without a person")


def _pem(file: Path, data: str | None, path: str | None, what: str) -> bytes | None:
    try:
        if data:
            return base64.b64decode(data)
        if path:
            return (file.parent / path).read_bytes()
    except (OSError, binascii.Error) as error:
        raise _malformed(f"{what} cannot be read: {error}") from error
    return None
