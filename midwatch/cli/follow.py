"""Following a run: a live table on a terminal, a line a change elsewhere. Both go to stderr."""

from __future__ import annotations

import contextlib
import io
import time
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live

from midwatch.cli.client import ApiClient, RefusedError
from midwatch.cli.tables import live_table
from midwatch.domain.runs import RunStatus, RunView

_EVERY_SECONDS = 0.5


class Interrupted(KeyboardInterrupt):
    """Control-C; `run` is what was followed."""

    def __init__(self, run: RunView) -> None:
        super().__init__()
        self.run = run


def follow(api: ApiClient, run: str, console: Console) -> RunView:
    """Show a run until it ends.

    The first Control-C asks the run to stop, and shows how it does; the second leaves at once.

    Raises:
        Interrupted: the run was stopped by a Control-C and has ended.
        KeyboardInterrupt: the second Control-C; the run goes on when a host resumes it.
    """
    try:
        return show(api, api.view(run), console)
    except (KeyboardInterrupt, OSError):  # OSError: the terminal is gone, and the hang-up signal is on its way
        console = _usable(console, f"stopping run {run}; nodes in work are put back first. Again to leave at once.")
    with contextlib.suppress(RefusedError):
        api.cancel(run)
    raise Interrupted(show(api, api.view(run), console))


def _usable(console: Console, message: str) -> Console:
    """The console, once it has taken the message; one that says nothing where the terminal is gone."""
    try:
        console.print(message)
    except OSError:
        return Console(file=io.StringIO())
    return console


def show(api: ApiClient, view: RunView, console: Console) -> RunView:
    """Show a run until it ends, and no more than that: a Control-C goes to the caller."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            while True:
                live.update(live_table(view, datetime.now(UTC)))
                if view.status is RunStatus.ENDED:
                    return view
                time.sleep(_EVERY_SECONDS)
                view = api.view(view.id)
    shown: dict[str, str] = {}
    while True:
        for key, line in _lines(view).items():
            if shown.get(key) != line:
                shown[key] = line
                console.print(f"{datetime.now(UTC):%H:%M:%S} {line}", highlight=False, markup=False, soft_wrap=True)
        if view.status is RunStatus.ENDED:
            return view
        time.sleep(_EVERY_SECONDS)
        view = api.view(view.id)


def _lines(view: RunView) -> dict[str, str]:
    """One line for the run, each cluster and each node, as they stand now."""
    lines = {"": f"run {view.id} {view.outcome or view.status}"}
    for cluster in view.clusters:
        error = f" ({cluster.error.code}: {cluster.error.message})" if cluster.error else ""
        lines[cluster.name] = f"{cluster.name} {cluster.outcome or cluster.status}{error}"
        for node in cluster.nodes:
            reason = f" ({node.reason})" if node.reason else ""
            waits = ", ".join(f"{w.kind} {w.name}: {w.because}" for w in node.waiting_for[:1])
            state = f"{node.outcome or node.phase}{reason}{f', waiting for {waits}' if waits else ''}"
            lines[f"{cluster.name}/{node.name}"] = f"{cluster.name}/{node.name} {state}"
    return lines
