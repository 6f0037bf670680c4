"""How to reach one cluster, as values. No representation of them holds a secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

type ExecApiVersion = Literal["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"]


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token that does not change."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A bearer token in a file, which is read for each request, since it is rotated."""

    path: Path


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A client certificate and its key, as PEM.

    `bearer` is a token to send as well: kubectl sends both, and the API server asks the certificate first.
    """

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)
    bearer: Token | TokenFile | None = None


@dataclass(frozen=True, slots=True)
class Exec:
    """A program that prints credentials (client.authentication.k8s.io).

    Attributes:
        command: a name to look up in PATH, or an absolute path.
        cluster_config: the cluster's extension `client.authentication.k8s.io/exec` as JSON, handed on to the program.
    """

    command: str
    args: tuple[str, ...] = field(repr=False)
    env: tuple[tuple[str, str], ...] = field(repr=False)
    api_version: ExecApiVersion
    install_hint: str = ""
    provide_cluster_info: bool = False
    cluster_config: str | None = field(default=None, repr=False)


class Tokens(Protocol):
    """Bearer tokens for one kind of server; whoever gives them keeps and renews them."""

    async def token(self) -> str:
        """A token that is good now. Raises MidwatchError."""

    async def renewed(self) -> str:
        """A token in place of a refused one; the same one when there is no other. Raises MidwatchError."""


@dataclass(frozen=True, slots=True)
class Entra:
    """Tokens of Entra ID, as whoever this process is in Azure."""

    tokens: Tokens = field(repr=False)


type Credentials = ClientCertificate | Token | TokenFile | Exec | Entra


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach one cluster.

    Attributes:
        context: the kubeconfig's name for it.
        server: URL without a slash at its end.
        ca: PEM text of the authorities to trust; None for the system's.
        insecure: the server's certificate is not checked at all, as the kubeconfig demands.
        tls_server_name: the name to check the certificate against; None for the host of `server`.
        proxy: URL of an HTTP proxy, maybe with a password; None to ask the environment.
        credentials: who we are. There is no anonymous connection.
        hint: why the server may be out of reach, said when it is; empty: nothing is known.
    """

    context: str
    server: str
    ca: str | None
    insecure: bool
    tls_server_name: str | None
    proxy: str | None = field(repr=False)
    credentials: Credentials
    hint: str = ""


def source_of(credentials: Credentials) -> str:
    """Where credentials come from, in words, without a secret."""
    match credentials:
        case ClientCertificate():
            return "the client certificate of the kubeconfig"
        case Token():
            return "the token of the kubeconfig"
        case TokenFile(path=path):
            return f"the token file {path}"
        case Exec(command=command):
            return f"the exec plugin {command}"
        case Entra():
            return "Entra ID"
