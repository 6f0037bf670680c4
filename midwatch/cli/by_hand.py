"""`midwatch drain` and `midwatch uncordon`: one node by hand, with the engine of the runs."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table

from midwatch.cli import options, session
from midwatch.cli.client import ApiClient, RefusedError
from midwatch.cli.consoles import PROGRESS, RESULT
from midwatch.cli.options import Output
from midwatch.cli.tables import drain_table, hand_table, to_json
from midwatch.domain.base import Json
from midwatch.domain.by_hand import DrainOutcome, HandAction, HandView
from midwatch.domain.errors import PermanentError
from midwatch.domain.pods import PodVerdict
from midwatch.domain.runs import RunStatus

_EVERY_SECONDS = 0.4

NodeName = Annotated[str, typer.Argument(metavar="NODE", help="The node.")]
Context = Annotated[
    str | None, typer.Option("--context", metavar="NAME", help="The cluster; the current context when left out.")
]
Timeout = Annotated[str | None, typer.Option("--timeout", metavar="TIME", help="Instead of drain.timeout: 90s, 15m.")]
Grace = Annotated[str | None, typer.Option("--grace-period", metavar="TIME", help="Instead of drain.gracePeriod: 30s.")]
Selector = Annotated[
    str | None, typer.Option("--pod-selector", metavar="SELECTOR", help="Instead of drain.podSelector: app=web.")
]


def drain(
    node: NodeName,
    context: Context = None,
    dry_run: options.DryRun = False,
    timeout: Timeout = None,
    grace_period: Grace = None,
    pod_selector: Selector = None,
    reason: options.Reason = None,
    kubeconfig: options.Kubeconfig = None,
    policy: options.PolicyFile = None,
    state: options.State = None,
    output: options.OutputFormat = Output.TABLE,
) -> None:
    """Drain a node as the policy says, and leave it cordoned. `midwatch uncordon` undoes it."""
    body: Json = {
        "action": HandAction.DRAIN.value,
        "node": node,
        "dryRun": dry_run,
        "timeout": timeout,
        "gracePeriod": grace_period,
        "podSelector": pod_selector,
        "reason": reason,
    }
    with session.open_checked(kubeconfig, policy, state) as opened:
        view = _do(opened, {**body, "cluster": context or options.current_context()})
    ended = "dry run" if dry_run else "cancelled" if view.cancelled else str(view.drain.outcome or view.status)
    _print(view, drain_table(view.drain, ended), output)
    _raise_for(view)


def uncordon(
    node: NodeName,
    context: Context = None,
    kubeconfig: options.Kubeconfig = None,
    policy: options.PolicyFile = None,
    state: options.State = None,
    output: options.OutputFormat = Output.TABLE,
) -> None:
    """Undo what `midwatch drain` did to a node, and nothing else: a cordon that was there before stays."""
    body: Json = {"action": HandAction.UNCORDON.value, "node": node}
    with session.open_checked(kubeconfig, policy, state) as opened:
        view = _do(opened, {**body, "cluster": context or options.current_context()})
    _print(view, None, output)
    _raise_for(view)


def _do(opened: session.Session, body: Json) -> HandView:
    """Start it, and show it until it ends. The first Control-C asks it to stop, the second leaves at once."""
    opened.begin_work()
    view = opened.api.start_by_hand({key: value for key, value in body.items() if value is not None})
    try:
        return _show(opened.api, view)
    except KeyboardInterrupt:
        PROGRESS.print(f"stopping {view.action} {view.id}; the node stays cordoned. Again to leave at once.")
    with contextlib.suppress(RefusedError):
        opened.api.cancel_by_hand(view.id)
    return _show(opened.api, view)


def _show(api: ApiClient, view: HandView) -> HandView:
    if not PROGRESS.is_terminal:
        return _lines(api, view)
    with Live(console=PROGRESS, refresh_per_second=4, transient=True) as live:
        while view.status is not RunStatus.ENDED:
            live.update(hand_table(view, datetime.now(UTC)))
            time.sleep(_EVERY_SECONDS)
            view = api.view_by_hand(view.id)
    return view


def _lines(api: ApiClient, view: HandView) -> HandView:
    """A line for each change."""
    shown = ""
    while view.status is not RunStatus.ENDED:
        waits = ", ".join(f"{w.kind} {w.name}: {w.because}" for w in view.waiting_for[:1])
        more = f" and {len(view.waiting_for) - 1} more" if len(view.waiting_for) > 1 else ""
        line = f"{view.drain.cluster}/{view.drain.node} {view.phase}{f', waiting for {waits}{more}' if waits else ''}"
        if line != shown:
            shown = line
            PROGRESS.print(f"{datetime.now(UTC):%H:%M:%S} {line}", highlight=False, markup=False, soft_wrap=True)
        time.sleep(_EVERY_SECONDS)
        view = api.view_by_hand(view.id)
    return view


def _print(view: HandView, table: Table | None, output: Output) -> None:
    if output is Output.JSON:
        typer.echo(to_json(view.drain))
    elif table is not None:
        RESULT.print(table)
    if view.reason:
        PROGRESS.print(view.reason, highlight=False, markup=False, soft_wrap=True)


def _raise_for(view: HandView) -> None:
    """The exit code: 0 done, 1 pods were left, or must not go, 3 refused, 130 interrupted."""
    if view.error is not None:
        refused = view.error.code in {"busy", "not-ours"}
        raise (RefusedError if refused else PermanentError)(view.error.code, view.error.message)
    if view.cancelled:
        raise typer.Exit(130)
    failed = view.drain.outcome is DrainOutcome.DRAIN_FAILED
    if failed or any(pod.verdict is PodVerdict.ERROR for pod in view.drain.pods):
        raise typer.Exit(1)
