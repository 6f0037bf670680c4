"""Kubeconfig files, merged as kubectl merges them. A context without usable credentials is an error.

What kubectl 1.36 does was tried with it: a token file goes before a token, a token before exec; a client certificate is
sent with either; a certificate authority together with `insecure-skip-tls-verify` is refused.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from midwatch.domain.clusters import named_or_near
from midwatch.domain.errors import UsageError
from midwatch.kube.connection import ClientCertificate, Connection, Credentials, Exec, Token, TokenFile
from midwatch.kube.kubeconfig_file import (
    ClusterSpec,
    ContextSpec,
    ExecSpec,
    KubeconfigFile,
    UserSpec,
    malformed,
    parse_kubeconfig,
    read_kubeconfig,
)

__all__ = ["Connection", "Kubeconfig"]

_EXEC_EXTENSION = "client.authentication.k8s.io/exec"
_CERTIFICATES = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


@dataclass(frozen=True, slots=True)
class _Entry[T]:
    """A part of a kubeconfig, and the file that holds it: relative paths start there."""

    name: str
    value: T
    file: Path

    def resolve(self, path: str) -> Path:
        return self.file.parent / path


def _first[T](entries: Iterable[tuple[str, T | None, Path]], empty: T) -> dict[str, _Entry[T]]:
    found: dict[str, _Entry[T]] = {}
    for name, value, file in entries:
        found.setdefault(name, _Entry(name, value or empty, file))
    return found


class Kubeconfig:
    """One or more kubeconfig files; the first that names something wins.

    Attributes:
        current_context: of the first file that sets one; None when none does.
    """

    def __init__(self, files: Sequence[tuple[Path, KubeconfigFile]]) -> None:
        self._clusters = _first(((c.name, c.cluster, p) for p, f in files for c in f.clusters or ()), ClusterSpec())
        self._users = _first(((u.name, u.user, p) for p, f in files for u in f.users or ()), UserSpec())
        self._contexts = _first(((c.name, c.context, p) for p, f in files for c in f.contexts or ()), ContextSpec())
        self.current_context = next((f.current_context for _, f in files if f.current_context), None)

    @classmethod
    def load(cls, paths: Sequence[Path] | None, env: Mapping[str, str]) -> Kubeconfig:
        """Read the files as kubectl finds them.

        Args:
            paths: the files that the caller named; each must exist. None to look where the environment says.
            env: `KUBECONFIG` (a list of files, missing ones are passed over), else `~/.kube/config` under `HOME`.

        Raises:
            UsageError: `kubeconfig-not-found` or `kubeconfig-malformed`.
        """
        listed = [Path(part) for part in env.get("KUBECONFIG", "").split(os.pathsep) if part]
        home = Path(env.get("HOME") or Path.home()) / ".kube" / "config"
        wanted = list(paths) if paths is not None else listed or [home]
        there = [path.absolute() for path in wanted if path.exists()]
        if not there or (paths is not None and len(there) < len(wanted)):
            missing = ", ".join(str(path) for path in wanted if not path.exists())
            raise UsageError("kubeconfig-not-found", f"no kubeconfig: there is no {missing}")
        return cls([(path, read_kubeconfig(path)) for path in there])

    @classmethod
    def of_text(cls, text: str, source: str) -> Kubeconfig:
        """A kubeconfig that is in no file.

        Args:
            text: YAML.
            source: what to call it in errors.

        Raises:
            UsageError: `kubeconfig-malformed`.
        """
        return cls([(Path(source), parse_kubeconfig(text, Path(source)))])

    @property
    def contexts(self) -> list[str]:
        """The names of the contexts, sorted."""
        return sorted(self._contexts)

    def connection(self, context: str) -> Connection:
        """How to reach the cluster of a context. Nothing is run and no connection is made.

        Raises:
            UsageError: `unknown-context`, `kubeconfig-malformed`, `no-credentials` or `unsupported-credentials`; each
                names the file and the key.
        """
        found = self._contexts.get(context)
        if found is None:
            raise UsageError("unknown-context", f"the kubeconfig has no context {context!r}: {self._others(context)}")
        where = f"{found.file}: context {context!r}"
        cluster = self._clusters.get(found.value.cluster)
        if cluster is None:
            raise malformed(f"{where} names cluster {found.value.cluster!r}, which no file has")
        user = self._users.get(found.value.user)
        if user is None:
            raise UsageError("no-credentials", f"{where} names user {found.value.user!r}, which no file has")
        spec = cluster.value
        return Connection(
            context=context,
            server=_server(cluster),
            ca=_ca(cluster),
            insecure=spec.insecure,
            tls_server_name=spec.tls_server_name or None,
            proxy=_proxy(cluster),
            credentials=_credentials(user, cluster),
        )

    def _others(self, context: str) -> str:
        """What there is instead: a close match first, then all."""
        near, known = named_or_near(context, self.contexts), ", ".join(self.contexts)
        return f"{near} (there are {known})" if near.startswith("did you mean") else near


def _server(cluster: _Entry[ClusterSpec]) -> str:
    where = f"{cluster.file}: cluster {cluster.name!r}: `server`"
    try:
        url = urlsplit(cluster.value.server)
        host, _ = url.hostname, url.port
    except ValueError:
        raise malformed(f"{where} is no URL") from None
    if url.scheme not in {"https", "http"} or not host:
        raise malformed(f"{where} is no URL that begins with https://")
    if url.username is not None:
        raise UsageError("unsupported-credentials", f"{where} holds a user name: use a certificate, a token or exec")
    return cluster.value.server.rstrip("/")


def _proxy(cluster: _Entry[ClusterSpec]) -> str | None:
    proxy = cluster.value.proxy
    if proxy and not proxy.startswith(("http://", "https://")):
        raise malformed(f"{cluster.file}: cluster {cluster.name!r}: `proxy-url` is no HTTP proxy, others do not work")
    return proxy or None


def _ca(cluster: _Entry[ClusterSpec]) -> str | None:
    spec = cluster.value
    key = "certificate-authority-data" if spec.ca_data else "certificate-authority"
    data = _pem(cluster, spec.ca_data, spec.ca_file, key)
    if data is None:
        return None
    where = f"{cluster.file}: cluster {cluster.name!r}: `{key}`"
    if spec.insecure:
        raise malformed(f"{where} and `insecure-skip-tls-verify` contradict each other")
    certificates = _CERTIFICATES.findall(data.decode("utf-8", errors="replace"))
    if not certificates:
        raise malformed(f"{where} holds no PEM certificate")
    return "\n".join([*certificates, ""])


def _credentials(user: _Entry[UserSpec], cluster: _Entry[ClusterSpec]) -> Credentials:
    spec, where = user.value, f"{user.file}: user {user.name!r}"
    _refuse_unsupported(spec, where)
    certificate = _pem(user, spec.certificate_data, spec.certificate_file, "client-certificate")
    key_data = spec.key_data.get_secret_value() if spec.key_data else None
    key = _pem(user, key_data, spec.key_file, "client-key")
    if (certificate is None) != (key is None):
        missing = "client-key" if key is None else "client-certificate"
        raise UsageError("no-credentials", f"{where} has no `{missing}` beside the other half")
    if key is not None and b"ENCRYPTED" in key:  # OpenSSL would ask for the password at the terminal
        raise UsageError("unsupported-credentials", f"{where}: `client-key` is encrypted")
    bearer = _bearer(user)
    if certificate is not None and key is not None:
        return ClientCertificate(certificate, key, bearer)
    if bearer is not None:
        return bearer
    if spec.exec_ is not None:
        return _exec(user, spec.exec_, cluster)
    raise UsageError("no-credentials", f"{where} has no certificate, token or exec")


def _refuse_unsupported(spec: UserSpec, where: str) -> None:
    """Refuse what we do not do. Passing over an impersonation would act with more rights than the file asks for."""
    found = None
    if spec.username or spec.password:
        found = "`username` and `password`"
    elif spec.auth_provider is not None:
        found = f"`auth-provider` {spec.auth_provider.name!r}"
    elif spec.impersonate or spec.impersonate_uid or spec.impersonate_groups or spec.impersonate_extra:
        found = "`as`"
    elif spec.exec_ is not None and spec.exec_.interactive_mode == "Always":
        found = "an `exec` with interactiveMode Always, which needs a person,"
    if found is not None:
        text = f"{where} has {found}, which is not supported: use a certificate, a token or exec"
        raise UsageError("unsupported-credentials", text)


def _bearer(user: _Entry[UserSpec]) -> Token | TokenFile | None:
    if user.value.token_file:
        return TokenFile(user.resolve(user.value.token_file))
    if user.value.token is None or not user.value.token.get_secret_value():
        return None
    token = user.value.token.get_secret_value().strip()
    if not token.isascii() or not token.isprintable():
        raise malformed(f"{user.file}: user {user.name!r}: `token` has characters that no HTTP header can carry")
    return Token(token)


def _exec(user: _Entry[UserSpec], spec: ExecSpec, cluster: _Entry[ClusterSpec]) -> Exec:
    extensions = (e.extension for e in cluster.value.extensions or () if e.name == _EXEC_EXTENSION)
    config = next(extensions, None)
    return Exec(
        command=str(user.resolve(spec.command)) if "/" in spec.command else spec.command,
        args=tuple(spec.args or ()),
        env=tuple((e.name, e.value.get_secret_value()) for e in spec.env or ()),
        api_version=spec.api_version,
        install_hint=" ".join(spec.install_hint.split()),
        provide_cluster_info=spec.provide_cluster_info,
        cluster_config=None if config is None else json.dumps(config),
    )


def _pem[T](entry: _Entry[T], data: str | None, path: str | None, key: str) -> bytes | None:
    """The bytes given in the file or beside it; data goes first, as with kubectl."""
    try:
        if data:
            return base64.b64decode("".join(data.split()), validate=True)
        if path:
            return entry.resolve(path).read_bytes()
    except OSError as error:
        raise malformed(f"{entry.file}: {entry.name!r}: `{key}` cannot be read: {error.strerror}: {path}") from None
    except ValueError:
        raise malformed(f"{entry.file}: {entry.name!r}: `{key}` is no base64") from None
    return None
