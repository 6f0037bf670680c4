"""Processes forked from one that has imported everything: that saves each the second or two of its imports."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Protocol

from tests.e2e.midwatch import PROGRAM, Done

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.soak.preload", "midwatch.cli.program", "midwatch.azure.sources"])
_DIE_WITH_PARENT = 1
"""`PR_SET_PDEATHSIG` of prctl(2); the parent is the fork server, which ends with its own."""


def fork(
    main: Callable[[], object],
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    streams: tuple[int, int, int],
) -> BaseProcess:
    """Run `main` in a process with these arguments and settings, in this folder; it ends with what `main` returns.

    It dies with this one, whatever ends this one.

    Args:
        main: The function, of a module.
        arguments: `sys.argv` without the program.
        environment: The whole environment.
        streams: File descriptors for stdin, stdout and stderr; the caller closes its own.
    """
    process = _forks.Process(
        target=_live, args=(main, arguments, dict(environment), str(Path.cwd()), _Streams(streams))
    )
    process.start()
    return process


def start(*args: str, log: Path) -> BaseProcess:
    """Run `midwatch` with these arguments in the background; its output goes to the end of `log`."""
    with log.open("a") as both:
        return _start(args, {}, both.fileno(), both.fileno())


def end(process: BaseProcess, how: signal.Signals = signal.SIGKILL) -> None:
    """Signal a process and wait for its end, at most 20 s."""
    if process.exitcode is None and process.pid is not None:
        os.kill(process.pid, how)
    process.join(20)
    assert process.exitcode is not None, f"process {process.pid} does not end"


def call(*args: str, seconds: float = 60, env: Mapping[str, str] | None = None) -> Done:
    """Run `midwatch` with these arguments to its end, as `tests.e2e.midwatch.call` does, which starts the program."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = _start(args, env or {}, out.fileno(), err.fileno())
        process.join(seconds)
        late = process.exitcode is None
        if late:
            process.kill()
            process.join()
        written = [(stream.seek(0), stream.read())[1] for stream in (out, err)]
        if late:
            raise TimeoutError(f"midwatch {' '.join(args)} took more than {seconds} s: {written[1]}")
        assert process.exitcode is not None
        return Done(process.exitcode, *written)


def _start(args: tuple[str, ...], env: Mapping[str, str], out: int, err: int) -> BaseProcess:
    kept = {name: value for name, value in os.environ.items() if name != "KUBECONFIG" and "MIDWATCH" not in name}
    with Path(os.devnull).open() as nothing:
        return fork(_midwatch, args, {**kept, "COLUMNS": "200", **env}, (nothing.fileno(), out, err))


class _Streams:
    """File descriptors that come along to the new process."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self.numbers = tuple(numbers)

    def __getstate__(self) -> tuple[_Sent, ...]:
        return tuple(DupFd(number) for number in self.numbers)

    def __setstate__(self, sent: tuple[_Sent, ...]) -> None:
        self.numbers = tuple(number.detach() for number in sent)


class _Sent(Protocol):
    def detach(self) -> int: ...


def _live(
    main: Callable[[], object], arguments: tuple[str, ...], environment: dict[str, str], folder: str, streams: _Streams
) -> None:
    """The life of the process: its environment, its streams, then the function."""
    if ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL):
        raise OSError(ctypes.get_errno(), "prctl")
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, stream in enumerate(streams.numbers):
        os.dup2(stream, number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115 - the process's own
    sys.argv = [PROGRAM, *arguments]
    sys.exit(main())  # type: ignore[arg-type]  # an exit status or nothing, as of any program


def _midwatch() -> None:
    from midwatch.cli import main  # noqa: PLC0415 - the fork server has imported it

    main()
