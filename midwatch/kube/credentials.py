"""Who we are, fresh enough for the next request: token files are read again, exec plugins run again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path

from midwatch.domain.errors import UsageError
from midwatch.kube.connection import ClientCertificate, Connection, Entra, Exec, Token, TokenFile
from midwatch.kube.exec_plugin import ExecStatus, run_exec

_EARLY_SECONDS = 60.0
"""Credentials are renewed so long before they expire; at half their life when that is shorter."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What is shown to the server: a token, a client certificate, or both. Never neither."""

    token: str | None = field(default=None, repr=False)
    certificate: ClientCertificate | None = None


class CredentialSource:
    """The identity for a connection. To be used in one event loop."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()
        self._cached: Identity | None = None
        self._valid_until = 0.0

    async def identity(self) -> Identity:
        """The identity to use now. A plugin is run only when what it gave last is about to expire.

        Raises:
            UsageError: `exec-missing`, `exec-failed` or `no-credentials`.
            TransientError: `exec-timeout`.
        """
        match self._connection.credentials:
            case ClientCertificate(bearer=bearer) as certificate:
                return Identity(None if bearer is None else _token(bearer), certificate)
            case Exec() as program:
                async with self._lock:
                    if self._cached is None or time.time() >= self._valid_until:
                        self._cached = await self._run(program)
                    return self._cached
            case Token() | TokenFile() as bearer:
                return Identity(_token(bearer))
            case Entra(tokens=tokens):
                return Identity(await tokens.token())

    async def renew(self, refused: Identity) -> Identity | None:
        """Another identity than one that the server did not accept (401); None when there is no other.

        Several requests may be refused at once: the plugin is run, or Azure asked, for the first of them only.

        Raises:
            MidwatchError: as `identity`.
        """
        if isinstance(self._connection.credentials, Entra):
            return await self._renew_token(self._connection.credentials, refused)
        if isinstance(self._connection.credentials, Exec) and self._cached is refused:
            self._valid_until = 0.0
        renewed = await self.identity()
        return renewed if renewed != refused else None

    async def _renew_token(self, entra: Entra, refused: Identity) -> Identity | None:
        async with self._lock:
            kept = await entra.tokens.token()
            token = await entra.tokens.renewed() if kept == refused.token else kept
        return Identity(token) if token != refused.token else None

    async def _run(self, program: Exec) -> Identity:
        status = await run_exec(program, self._connection)
        self._valid_until = _valid_until(status)
        return _identity(program, status)


def _identity(program: Exec, status: ExecStatus) -> Identity:
    token = None if status.token is None else _checked(status.token.get_secret_value(), program.command)
    if status.certificate is None or status.key is None:
        return Identity(token)
    key = status.key.get_secret_value().encode()
    return Identity(token, ClientCertificate(status.certificate.encode(), key))


def _valid_until(status: ExecStatus) -> float:
    """Unix seconds; without an expiry, credentials are good until the server refuses them, as with kubectl."""
    if status.expires is None:
        return float("inf")
    now = time.time()
    expires = status.expires if status.expires.tzinfo else status.expires.replace(tzinfo=UTC)
    left = expires.timestamp() - now
    return now + left - min(_EARLY_SECONDS, left / 2)


def _token(bearer: Token | TokenFile) -> str:
    return bearer.value if isinstance(bearer, Token) else _read_token(bearer.path)


def _read_token(path: Path) -> str:
    try:
        return _checked(path.read_text(encoding="utf-8"), f"the token file {path}")
    except OSError as error:
        text = f"the token file {path} cannot be read: {error.strerror}"
        raise UsageError("no-credentials", text) from None
    except UnicodeDecodeError:
        raise UsageError("no-credentials", f"the token file {path} is no text") from None


def _checked(token: str, source: str) -> str:
    token = token.strip()
    if not token:
        raise UsageError("no-credentials", f"{source} gave an empty token")
    if not token.isascii() or not token.isprintable():
        raise UsageError("no-credentials", f"{source} gave a token with characters that no HTTP header can carry")
    return token
