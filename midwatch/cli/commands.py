"""The commands."""

from __future__ import annotations

import asyncio
import getpass
import os
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

import midwatch
from midwatch.cli import options, session
from midwatch.cli.client import ApiClient
from midwatch.cli.consoles import PROGRESS, RESULT
from midwatch.cli.directory import open_directory, policy_in_force
from midwatch.cli.follow import Interrupted, follow
from midwatch.cli.options import Output
from midwatch.cli.tables import drain_table, run_table, runs_table, survey_table, to_json
from midwatch.config import SCHEDULE_SETTING
from midwatch.domain.base import Message
from midwatch.domain.by_hand import DrainView
from midwatch.domain.clusters import SKIPPED
from midwatch.domain.errors import PermanentError, UsageError
from midwatch.domain.outcomes import ClusterOutcome, RunOutcome
from midwatch.domain.runs import RunView
from midwatch.domain.steps import SurveyView
from midwatch.local import EmbeddedHost

app = typer.Typer(
    name="midwatch",
    help="The night watch of a fleet of clusters: reboots the nodes that wait for it, safely.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_EXIT = {
    RunOutcome.COMPLETED: 0,
    RunOutcome.NOTHING_TO_DO: 0,
    RunOutcome.WINDOW_CLOSED: 0,
    RunOutcome.COMPLETED_WITH_FAILURES: 1,
    RunOutcome.HALTED: 3,
    RunOutcome.CANCELLED: 3,
}


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """The night watch of a fleet of clusters."""
    if version:
        typer.echo(f"midwatch {midwatch.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def up(
    kubeconfig: options.Kubeconfig = None,
    policy: options.PolicyFile = None,
    state: options.State = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Loopback port.")] = options.SERVE_PORT,
) -> None:
    """Serve the function app on this machine, and finish what was in flight. MIDWATCH_SCHEDULE sets its timer."""
    options.apply_settings(kubeconfig, policy)
    listed = policy_in_force().clusters
    scheduled = bool(os.environ.get(SCHEDULE_SETTING, "").strip())
    if scheduled and not listed:
        raise UsageError("no-clusters", f"{SCHEDULE_SETTING} is set, but the policy lists no clusters to run over")
    if not scheduled:
        session.disable_timer()
    directory = options.state_dir(state)
    options.apply_traces(directory)
    extra = session.settings_in_force()
    with EmbeddedHost(session.APP_DIR, directory, port=port, run_work=False, extra=extra) as host:
        session.Session(ApiClient(host.url), host, directory, kubeconfig is not None).begin_work()
        off = f"no schedule ({SCHEDULE_SETTING} is not set)"
        timer = f"schedule {os.environ[SCHEDULE_SETTING]} UTC" if scheduled else off
        PROGRESS.print(f"midwatch {midwatch.__version__} at {host.url}, state in {directory}, {timer}", soft_wrap=True)
        try:
            host.serve_forever()
        except KeyboardInterrupt:
            PROGRESS.print("stopping; runs in flight go on at the next start")


@app.command()
def run(
    context: options.Contexts = None,
    node: options.Nodes = None,
    dry_run: options.DryRun = False,
    reason: options.Reason = None,
    kubeconfig: options.Kubeconfig = None,
    policy: options.PolicyFile = None,
    state: options.State = None,
    output: options.OutputFormat = Output.TABLE,
) -> None:
    """Start a run over clusters, and follow it to its end."""
    with session.open_checked(kubeconfig, policy, state) as opened:
        clusters = _clusters(context)
        opened.refuse_unfinished()
        opened.begin_work()
        started = opened.api.start(
            {
                "clusters": clusters,
                "nodes": node or [],
                "dryRun": dry_run,
                "reason": reason,
                "requestedBy": _user(),
                "trigger": "cli",
            }
        )
        _follow_to_end(opened.api, started.id, output)


@app.command()
def plan(
    context: options.Contexts = None,
    node: options.Nodes = None,
    kubeconfig: options.Kubeconfig = None,
    policy: options.PolicyFile = None,
    state: options.State = None,
    output: options.OutputFormat = Output.TABLE,
) -> None:
    """Say what a run would do with each node, and what would block it: `run --dry-run`. Touches nothing."""
    run(context, node, True, None, kubeconfig, policy, state, output)  # noqa: FBT003 - a command, not a function


@app.command()
def survey(
    context: options.Contexts = None,
    explain: options.Explain = None,
    kubeconfig: options.Kubeconfig = None,
    policy: options.PolicyFile = None,
    output: options.OutputFormat = Output.TABLE,
) -> None:
    """Show which nodes need a reboot, and what would block them. Changes nothing."""
    options.apply_settings(kubeconfig, policy)
    if explain is not None:
        drain = asyncio.run(_explain(_clusters(context), explain))
        _print(drain, drain_table(drain, "if it were drained"), output)
        return
    view = asyncio.run(_survey(_clusters(context)))
    errors = [cluster for cluster in view.clusters if cluster.error is not None and cluster.error.code != SKIPPED]
    if errors and len(errors) == len(view.clusters) and output is Output.TABLE:
        text = "; ".join(f"cluster {c.name}: {c.error.message}" for c in errors if c.error is not None)
        raise UsageError(errors[0].error.code if errors[0].error else "unreachable", text)
    _print(view, survey_table(view, datetime.now(UTC)), output)
    if errors:
        raise typer.Exit(2 if len(errors) == len(view.clusters) else 1)


@app.command()
def status(
    run_id: options.RunId = None,
    every: Annotated[bool, typer.Option("--list", help="List the runs.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Finish what a crash left.")] = False,
    kubeconfig: options.Kubeconfig = None,
    policy: options.PolicyFile = None,
    state: options.State = None,
    output: options.OutputFormat = Output.TABLE,
) -> None:
    """Show a run, the latest by default."""
    options.apply_settings(kubeconfig, policy)
    with session.open_session(options.state_dir(state), kubeconfig=kubeconfig) as opened:
        if every:
            page = opened.api.page()
            _print(page, runs_table(page.runs, datetime.now(UTC)), output)
            return
        chosen = run_id or _latest(opened.api)
        if resume:
            opened.begin_work()
            _follow_to_end(opened.api, chosen, output)
            return
        view = opened.api.view(chosen)
        if opened.host is not None and view.ended_at is None:
            PROGRESS.print(f"run {chosen} stands still, for no host runs: `midwatch status --resume` finishes it")
        _print_run(view, output)


@app.command()
def cancel(run_id: options.RunId = None, kubeconfig: options.Kubeconfig = None, state: options.State = None) -> None:
    """Ask a run to stop: nothing more is started, and nodes that have not rebooted are put back."""
    options.apply_settings(kubeconfig, None)
    with session.open_session(options.state_dir(state), kubeconfig=kubeconfig) as opened:
        chosen = run_id or _latest(opened.api)
        opened.api.cancel(chosen)
        if opened.host is None:
            PROGRESS.print(f"run {chosen} is stopping")
            return
        opened.begin_work()
        follow(opened.api, chosen, PROGRESS)


def _clusters(named: list[str] | None) -> list[str]:
    """The clusters to name to the host: as given, else the policy's, else the current context, as kubectl would."""
    if named:
        return named
    return [] if policy_in_force().clusters else [options.current_context()]


async def _explain(clusters: list[str], node: str) -> DrainView:
    async with open_directory() as directory:
        return await directory.explain(clusters, node)


async def _survey(clusters: list[str]) -> SurveyView:
    async with open_directory() as directory:
        return await directory.survey(clusters)


def _latest(api: ApiClient) -> str:
    runs = api.page(limit=1).runs
    if not runs:
        raise UsageError("no-run", "there has been no run in this state directory")
    return runs[0].id


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return None


def _follow_to_end(api: ApiClient, run_id: str, output: Output) -> None:
    try:
        view = follow(api, run_id, PROGRESS)
    except Interrupted as interrupted:
        _print_run(interrupted.run, output)
        raise
    _print_run(view, output)
    raise typer.Exit(_exit_code(view))


def _exit_code(view: RunView) -> int:
    if view.outcome is None:
        raise PermanentError("not-ended", f"run {view.id} has not ended")
    outcomes = {cluster.outcome for cluster in view.clusters}
    if ClusterOutcome.BUSY in outcomes and outcomes <= {ClusterOutcome.BUSY, ClusterOutcome.NOTHING_TO_DO}:
        return 3
    return _EXIT[view.outcome]


def _print_run(view: RunView, output: Output) -> None:
    _print(view, run_table(view, datetime.now(UTC)), output)
    for warning in view.warnings:
        PROGRESS.print(f"warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def _print(message: Message, table: Table, output: Output) -> None:
    if output is Output.JSON:
        typer.echo(to_json(message))
    else:
        RESULT.print(table)
