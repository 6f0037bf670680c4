"""`midwatch` commands as processes of their own, forked from one that has imported everything: no second of imports."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

from tests.e2e.midwatch import PROGRAM, Done

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.soak.preload", "midwatch.cli"])
type _Streams = tuple[str, str]


def call(*args: str, seconds: float = 60, env: dict[str, str] | None = None) -> Done:
    """Run `midwatch` with these arguments to its end, as `tests.e2e.midwatch.call` does, which starts the program."""
    kept = {name: value for name, value in os.environ.items() if name != "KUBECONFIG" and "MIDWATCH" not in name}
    with tempfile.TemporaryDirectory() as folder:
        streams = str(Path(folder) / "stdout"), str(Path(folder) / "stderr")
        environment = {**kept, "COLUMNS": "200", **(env or {})}
        process = _forks.Process(target=_command, args=(args, environment, str(Path.cwd()), streams))
        process.start()
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(f"midwatch {' '.join(args)} took more than {seconds} s: {_text(streams[1])}")
        return Done(process.exitcode, _text(streams[0]), _text(streams[1]))


def _text(file: str) -> str:
    return Path(file).read_text()


def _command(args: tuple[str, ...], environment: dict[str, str], folder: str, streams: _Streams) -> None:
    """The life of the process: its environment, its streams, then the program's own entry point."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, file in enumerate((os.devnull, *streams)):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT), number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115 - the process's own
    sys.argv = [PROGRAM, *args]
    from midwatch.cli import main  # noqa: PLC0415 - the fork server has imported it

    main()
