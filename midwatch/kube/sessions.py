"""The connections of one client, under the client certificate of the moment."""

from __future__ import annotations

import asyncio
from types import TracebackType

import aiohttp

from midwatch.kube.connection import ClientCertificate, Connection
from midwatch.kube.credentials import Identity
from midwatch.kube.errors import Unreachable
from midwatch.kube.observing import Watched
from midwatch.kube.transport import Request, Transport


class Answer:
    """An open answer. Leave its context to give the connection back."""

    def __init__(
        self, sessions: Sessions, transport: Transport, response: aiohttp.ClientResponse, watched: Watched
    ) -> None:
        self._sessions = sessions
        self._transport = transport
        self._response = response
        self._watched = watched

    async def __aenter__(self) -> aiohttp.ClientResponse:
        """The response; its body is not read yet."""
        return self._response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """An answer whose body was not read to its end closes its connection."""
        self._watched.end(self._response.status, error)
        self._response.release()
        await self._sessions.done(self._transport)


class Sessions:
    """Transports by client certificate: one in use, and those before it until their last answer is read.

    An exec plugin may give another certificate each time; the TLS connections made with the old one are not used for
    new requests then.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        given = connection.credentials
        self._certificate = given if isinstance(given, ClientCertificate) else None
        self._current = Transport(connection, self._certificate)
        self._open: dict[Transport, int] = {self._current: 0}
        self._closed = False

    async def send(self, request: Request, identity: Identity, deadline: float) -> Answer:
        """Send once, as `identity`, and wait for the head of the answer.

        Args:
            request: what to send.
            identity: whose certificate decides on the connection.
            deadline: of the loop's clock.

        Raises:
            MidwatchError: no answer in time, none at all, or no success.
        """
        if self._closed:
            raise Unreachable("unreachable", f"{request.what}: this client was closed meanwhile")
        if identity.certificate != self._certificate:
            await self._renew(identity.certificate)
        transport = self._current
        self._open[transport] += 1
        watched = Watched(self._connection.server, request)
        try:
            async with asyncio.timeout_at(deadline):
                response = await transport.send(request, identity)
        except TimeoutError:
            late = Unreachable("unreachable", f"{request.what}: no answer in time")
            watched.end(None, late)
            await self.done(transport)
            raise late from None
        except BaseException as error:
            watched.end(None, error)
            await self.done(transport)
            raise
        return Answer(self, transport, response, watched)

    async def done(self, transport: Transport) -> None:
        """One use of a transport is over."""
        if transport in self._open:  # `close` does not wait for those in use
            self._open[transport] -= 1
            await self._close_unused()

    async def close(self) -> None:
        """Close all connections, also those in use; a request that comes later is refused."""
        self._closed = True
        while self._open:
            transport, _ = self._open.popitem()
            await transport.close()

    async def _renew(self, certificate: ClientCertificate | None) -> None:
        transport = Transport(self._connection, certificate)
        self._current, self._certificate = transport, certificate
        self._open[transport] = 0
        await self._close_unused()

    async def _close_unused(self) -> None:
        for transport in [t for t, uses in self._open.items() if uses == 0 and t is not self._current]:
            self._open.pop(transport, None)
            await transport.close()
