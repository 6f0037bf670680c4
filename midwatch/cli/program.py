"""The program `midwatch`: its commands, and what becomes of their errors."""

from __future__ import annotations

import errno
import signal
import sys
from contextlib import suppress

import typer
from rich.console import Console

from midwatch.cli import by_hand
from midwatch.cli.client import RefusedError
from midwatch.cli.commands import app
from midwatch.cli.demo import demo
from midwatch.cli.discover import discover
from midwatch.cli.doctor import doctor
from midwatch.cli.simulate import simulate
from midwatch.domain.errors import MidwatchError

app.command()(by_hand.drain)
app.command()(by_hand.uncordon)
app.command()(doctor)
app.command()(discover)
app.command()(demo)
app.command()(simulate)

_CANNOT_WRITE = {errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF}
"""Standard output is closed, full, or gone with its terminal."""
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_INTERRUPTED = 130


def run() -> None:
    """Run the command line. Errors are one line on stderr; the exit code says whose they are."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for ending in (signal.SIGTERM, signal.SIGHUP):  # a service manager's stop, a closed terminal: as Control-C
        signal.signal(ending, signal.default_int_handler)
    try:
        code = app(standalone_mode=False)
    except typer.TyperException as error:
        text = error.format_message().replace("Value error, ", "")
        console.print(f"error: {text} See `midwatch --help`.", markup=False)
        code = EXIT_USAGE
    except RefusedError as error:
        console.print(f"refused: {error.message}", markup=False)
        code = EXIT_REFUSED
    except MidwatchError as error:
        console.print(f"error: {error.message}", markup=False)
        code = EXIT_USAGE
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_INTERRUPTED
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        with suppress(OSError):
            console.print(f"error: the result cannot be written: {error.strerror or error}", markup=False)
        code = EXIT_FAILED
    sys.exit(code if isinstance(code, int) else 0)
