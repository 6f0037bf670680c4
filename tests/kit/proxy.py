"""A TCP proxy before an API server. TLS goes through it untouched; it breaks connections on demand."""

from __future__ import annotations

import asyncio
import enum
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from tests.kit import background
from tests.kit.controlplane.plane import free_port

if TYPE_CHECKING:
    from tests.kit.controlplane.plane import ControlPlane

_CHUNK = 2**16


class Mode(enum.Enum):
    """What becomes of connections."""

    PASS = "pass"
    REFUSE = "refuse"
    """Nobody listens; connections that exist are cut."""
    BLACK_HOLE = "black-hole"
    """Connections are accepted and stay open, and nothing goes through, neither way."""


class Proxy:
    """A context manager; `server` is the address for a kubeconfig (`Cluster.access(user, server=proxy.server)`)."""

    def __init__(self, plane: ControlPlane) -> None:
        self._target = plane.port
        self._port = free_port()
        self._mode = Mode.PASS
        self._open: asyncio.Event | None = None
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.server = f"https://127.0.0.1:{self._port}"
        self.connections = 0

    def __enter__(self) -> Self:
        """Start to listen."""
        background.run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        """Cut everything and stop."""
        background.run(self._close())

    def set(self, mode: Mode) -> None:
        """Change what becomes of connections, those that exist included."""
        background.run(self._set(mode))

    def cut(self) -> None:
        """Cut the connections that exist; new ones go on as before."""
        background.run(self._cut())

    # -- in the background loop ---------------------------------------------------------------------------------------

    async def _set(self, mode: Mode) -> None:
        assert self._open is not None
        self._mode = mode
        if mode is Mode.REFUSE:
            await self._close()
            return
        if mode is Mode.PASS:
            self._open.set()
        else:
            self._open.clear()
        if self._listener is None:
            await self._listen()

    async def _listen(self) -> None:
        self._open = self._open or asyncio.Event()
        if self._mode is Mode.PASS:
            self._open.set()
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self._cut()

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._open is not None
        self.connections += 1
        self._writers.add(writer)
        with suppress(OSError):
            await self._open.wait()
            there_reader, there = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(there)
            await asyncio.gather(self._pump(reader, there), self._pump(there_reader, writer))
            there.close()
        writer.close()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        assert self._open is not None
        with suppress(OSError):
            while chunk := await source.read(_CHUNK):
                await self._open.wait()
                target.write(chunk)
                await target.drain()
        target.close()
