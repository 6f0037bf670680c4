"""`midwatch doctor`: whether a run would find what it needs, and what to do where it would not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from midwatch.cli import options
from midwatch.cli.consoles import PROGRESS, RESULT
from midwatch.cli.directory import open_directory, policy_in_force
from midwatch.cli.options import Output
from midwatch.cli.tables import to_json
from midwatch.config import POLICY_SETTING, SCHEDULE_SETTING
from midwatch.domain.doctor.checks import Check, CheckedCluster, CheckId, DoctorView, Health, summed_up
from midwatch.domain.doctor.settings import policy_check, schedule_check
from midwatch.domain.errors import MidwatchError
from midwatch.domain.policy import Policy
from midwatch.local.schedules import read_schedule

_COLOURS = {Health.OK: "green", Health.WARNING: "yellow", Health.UNKNOWN: "magenta", Health.FAILED: "red"}
_WORDS = max(len(health) for health in Health)
_IDS = max(len(what) for what in CheckId)
_SUBJECT_SAID = frozenset(
    {CheckId.PERMISSION, CheckId.CONDITION, CheckId.CREDENTIALS, CheckId.SCHEDULE, CheckId.POLICY}
)
"""Of the others the check's name, or the table's title, says what was looked at."""


def doctor(
    context: options.Contexts = None,
    kubeconfig: options.Kubeconfig = None,
    policy: options.PolicyFile = None,
    output: options.OutputFormat = Output.TABLE,
) -> None:
    """Check everything that a run needs, and say what to do about what is missing. Changes nothing."""
    options.apply_settings(kubeconfig, policy)
    loaded = policy_in_force()
    wanted = list(context or []) or ([] if loaded.clusters else [options.current_context()])
    with _progress(len(wanted) or len(loaded.clusters)) as seen:
        clusters = asyncio.run(_examine(wanted, seen))
    view = summed_up(_settings_checks(loaded), clusters)
    if output is Output.JSON:
        typer.echo(to_json(view))
    else:
        RESULT.print(doctor_report(view))
    if view.verdict in {Health.FAILED, Health.UNKNOWN}:
        raise typer.Exit(1)


async def _examine(wanted: Sequence[str], seen: Callable[[CheckedCluster], None]) -> tuple[CheckedCluster, ...]:
    async with open_directory() as directory:
        return await directory.examine(wanted, seen)


def _settings_checks(policy: Policy) -> tuple[Check, ...]:
    named = os.environ.get(POLICY_SETTING, "").strip() or None
    problem = None
    try:
        read_schedule("schedule", f"%{SCHEDULE_SETTING}%")
    except MidwatchError as error:
        problem = error.message
    expression = os.environ.get(SCHEDULE_SETTING, "").strip()
    return policy_check(named, policy), schedule_check(expression, problem, policy)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[CheckedCluster], None]]:
    """One line that says how far it is; where nobody looks, a line for each cluster."""
    done: list[str] = []

    def line() -> str:
        return f"checked {len(done)} of {total} cluster{'' if total == 1 else 's'}"

    if not PROGRESS.is_terminal:

        def say(cluster: CheckedCluster) -> None:
            done.append(cluster.name)
            PROGRESS.print(f"{line()}: {cluster.name} {cluster.verdict}", highlight=False, markup=False, soft_wrap=True)

        yield say
        return
    with PROGRESS.status(line()) as status:

        def show(cluster: CheckedCluster) -> None:
            done.append(cluster.name)
            status.update(line())

        yield show


def doctor_report(view: DoctorView) -> RenderableType:
    """A table of Midwatch's own settings, one for each cluster, and below each what to do."""
    parts = _section("midwatch", None, view.checks)
    for cluster in view.clusters:
        parts += [Text(), *_section(cluster.name, cluster, cluster.checks)]
    return Group(*parts)


def _section(name: str, cluster: CheckedCluster | None, checks: Sequence[Check]) -> list[RenderableType]:
    title = f"[bold]{escape(name)}[/bold]"
    if cluster is not None:
        title += f": {cluster.verdict} {escape(cluster.server or '')}"
    table = Table(title=title, title_justify="left", title_style="", box=None, pad_edge=False, header_style="dim")
    table.add_column("VERDICT", no_wrap=True, width=_WORDS)
    table.add_column("CHECK", no_wrap=True, width=_IDS)
    table.add_column("FOUND", overflow="fold", ratio=1)
    for what, verdict, detail in _rows(checks):
        table.add_row(Text(verdict, style=_COLOURS[verdict]), what, Text(detail))
    remedies = [check for check in checks if check.remedy is not None]
    return [table, _to_do(remedies)] if remedies else [table]


def _rows(checks: Sequence[Check]) -> Iterator[tuple[str, Health, str]]:
    """A row for each check; those that are alike and have nothing of their own to say share one."""

    def alike(check: Check) -> tuple[CheckId | str, Health]:
        return (check.detail if _says_nothing(check) else check.id), check.verdict

    places = {check.id: number for number, check in reversed(list(enumerate(checks)))}
    ordered = sorted(checks, key=lambda check: (places[check.id], check.verdict is not Health.OK))
    for (_, verdict), group in groupby(ordered, alike):
        same = list(group)
        first = same[0]
        if _says_nothing(first) and len(same) > 1:
            yield "others", verdict, f"{first.detail}: {', '.join(check.id for check in same)}"
        elif first.id is CheckId.PERMISSION and verdict is Health.OK:
            yield first.id, verdict, f"{len(same)} of the permissions that a run needs: {first.detail}"
        else:
            yield from ((check.id, verdict, _said(check)) for check in same)


def _says_nothing(check: Check) -> bool:
    return check.verdict is Health.UNKNOWN and check.subject == check.id.value


def _said(check: Check) -> str:
    return f"{check.subject}: {check.detail}" if check.id in _SUBJECT_SAID else check.detail


def _to_do(checks: Sequence[Check]) -> Table:
    """The remedies, each once, with the checks that it is for."""
    table = Table(box=None, pad_edge=False, show_header=False, title="to do:", title_justify="left", title_style="")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    by_remedy: dict[str, list[Check]] = {}
    for check in checks:
        by_remedy.setdefault(check.remedy or "", []).append(check)
    for remedy, found in by_remedy.items():
        ids = dict.fromkeys(check.id.value for check in found)
        table.add_row("-", Text(f"{', '.join(ids)}: {remedy}"))
    return table
