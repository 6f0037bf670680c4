"""The kit's one background thread: an event loop for kubelets, samplers and proxies, from which all processes start.

A child's parent-death signal fires when the *thread* that started it ends (prctl(2)), so children are started from a
thread that lives as long as this process. Whatever ends this process, `kill -9` too, ends them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")
_CALL_SECONDS = 60
_REMOVE = 'read -r _; sleep 1; rm -rf "$1"'
"""Removes a folder when the input ends, after the children of the process had a second to die."""
_roots: dict[Path, subprocess.Popen[bytes]] = {}
_loops: list[asyncio.AbstractEventLoop] = []
_guard = threading.Lock()


def loop() -> asyncio.AbstractEventLoop:
    """The background loop, started by the first call."""
    with _guard:
        if not _loops:
            _loops.append(asyncio.new_event_loop())
            threading.Thread(target=_loops[0].run_forever, name="kit", daemon=True).start()
    return _loops[0]


def submit[T](work: Coroutine[object, object, T]) -> Future[T]:
    """Start a coroutine in the background."""
    return asyncio.run_coroutine_threadsafe(work, loop())


def run[T](work: Coroutine[object, object, T], seconds: float = _CALL_SECONDS) -> T:
    """Run a coroutine in the background and wait for its result."""
    return submit(work).result(seconds)


def spawn(command: list[str], *, log: Path, cwd: Path) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own that dies with this one; its output goes to the end of `log`."""

    async def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as out:
            return subprocess.Popen(  # noqa: ASYNC220 - has to start from the lasting thread
                [*DIE_WITH_PARENT, *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd=cwd,
            )

    return run(start())


def scratch(name: str) -> Path:
    """A new folder for a test's data. All of them are removed after this process, however it ends."""
    with _guard:
        if not _roots:
            root = Path(tempfile.mkdtemp(prefix="kit-"))
            # Its input ends with this process: pipes of ours are not inherited by other children.
            _roots[root] = subprocess.Popen(
                ["sh", "-c", _REMOVE, "sh", str(root)], stdin=subprocess.PIPE, start_new_session=True
            )
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=next(iter(_roots))))


def end(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGKILL) -> None:
    """Signal a process by its id and wait for its end, at most 20 s."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, how)
    process.wait(timeout=20)


def until(condition: Callable[[], object], what: str, *, seconds: float = 30, every: float = 0.05) -> None:
    """Poll a condition until it is true.

    Raises:
        TimeoutError: it is not so in time; the message says what was waited for.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:g} s still waiting for: {what}")
        time.sleep(every)
