"""Midwatch's host in a process of its own, on virtual time; a fork of a process that has imported everything."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import struct
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.midwatch import Run
from tests.kit.api import LOOPBACK

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from tests.kit.api import JsonObject

ROOT = Path(__file__).resolve().parents[2]
_OFFSET = struct.Struct("d")
_START_SECONDS = 60.0
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.soak.preload"])


def serve(state: Path, environment: dict[str, str], pipe: Connection) -> None:
    """The life of a host's process: serve until the pipe says something, or its other end is gone.

    How far virtual time has come is kept in a file, so that it goes on from there after a `kill -9`.
    """
    os.environ.update(environment)
    logging.disable(logging.WARNING)
    from midwatch.local import EmbeddedHost, VirtualClock  # noqa: PLC0415 - a test's process needs no host

    clock = VirtualClock()
    file = os.open(state.with_suffix(".offset"), os.O_RDWR | os.O_CREAT)
    if kept := os.pread(file, _OFFSET.size, 0):
        clock.advance(timedelta(seconds=_OFFSET.unpack(kept)[0]))
    clock.on_jump(lambda: _keep(file, clock.now()))
    with EmbeddedHost(ROOT, state, clock=clock, grace_seconds=0.2) as host:
        pipe.send(host.url)
        with suppress(EOFError):
            pipe.recv()


def _keep(file: int, now: datetime) -> None:
    os.pwrite(file, _OFFSET.pack((now - datetime.now(UTC)).total_seconds()), 0)


class VirtualHost:
    """A host that can be killed and started again on its state.

    Args:
        folder: for its state.
        environment: settings.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.state = folder / "state"
        self._environment = environment
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._url = ""

    @property
    def lives(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.is_alive()

    @property
    def peak_kib(self) -> int:
        """The most memory that its process has had."""
        assert self._process is not None
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

    def start(self) -> None:
        """Start it and wait until it serves."""
        ours, theirs = _forks.Pipe()
        process = _forks.Process(target=serve, args=(self.state, self._environment, theirs), daemon=True)
        process.start()
        theirs.close()
        self._process, self._pipe = process, ours
        assert ours.poll(_START_SECONDS), "the host did not start"
        self._url = ours.recv()

    def strike_dead(self) -> None:
        """`kill -9`, from any thread, without waiting for its end."""
        if self._process is not None and self._process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    def stop(self) -> None:
        """Stop it in peace."""
        if self._process is not None and self._pipe is not None:
            with suppress(OSError):
                self._pipe.send("stop")
            self._process.join(10)
            self.kill()

    def ask(self, method: str, path: str, body: object | None = None) -> tuple[int, JsonObject]:
        """Status and body of an answer of the API.

        Raises:
            OSError: the host is gone.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}/api/{path}", data, headers, method=method)
        try:
            with LOOPBACK.open(request, timeout=60) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def view(self, run: str) -> Run | None:
        """A run as it is now; None when the host does not answer."""
        with suppress(OSError, ValueError):
            code, view = self.ask("GET", f"runs/{run}")
            return Run(view) if code == 200 else None
        return None
