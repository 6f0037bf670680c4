"""What people see: the survey and the run as tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from midwatch.domain.base import Message
from midwatch.domain.by_hand import DrainView, HandView
from midwatch.domain.eviction import Waiting
from midwatch.domain.nodes import Needed, Verdict
from midwatch.domain.outcomes import NodeOutcome
from midwatch.domain.phases import NodePhase
from midwatch.domain.pods import PodVerdict
from midwatch.domain.runs import ClusterInRun, NodeInRun, RunSummary, RunView
from midwatch.domain.steps import SurveyedNode, SurveyView

_STEPS = [phase for phase in NodePhase if phase not in {NodePhase.PENDING, NodePhase.ENDED}]
COLOURS = {
    NodeOutcome.REBOOTED: "green",
    NodeOutcome.SKIPPED: "dim",
    NodeOutcome.GONE: "dim",
    NodeOutcome.CANCELLED: "yellow",
}
_VERDICT_COLOURS = {PodVerdict.SKIP: "dim", PodVerdict.WAIT: "yellow", PodVerdict.ERROR: "red"}
_LATE = timedelta(minutes=1)
"""What delays a drain for longer is shown in full, each thing on a line of its own."""
_NEED_COLOURS = {Needed.TRUE: "yellow", Needed.UNKNOWN: "red", Needed.FALSE: "green"}


def to_json(message: Message) -> str:
    """The JSON of the contract, indented."""
    return message.model_dump_json(by_alias=True, indent=2)


def duration(value: timedelta | None) -> str:
    """A length of time in at most two units: `2m 5s`."""
    if value is None:
        return ""
    seconds = max(0, round(value.total_seconds()))
    for unit, size, smaller, below in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if seconds >= size:
            return f"{seconds // size}{unit} {seconds % size // below}{smaller}"
    return f"{seconds}s"


def bar(phase: NodePhase, outcome: NodeOutcome | None) -> Text:
    """How far a node is: one cell a step."""
    done = len(_STEPS) if phase is NodePhase.ENDED else _STEPS.index(phase) if phase in _STEPS else 0
    colour = COLOURS.get(outcome, "red") if outcome is not None else "cyan"
    if phase is NodePhase.ENDED and outcome in {NodeOutcome.SKIPPED, NodeOutcome.CANCELLED}:
        done = 0
    return Text("█" * done, style=colour) + Text("░" * (len(_STEPS) - done), style="dim")


def cluster_bar(cluster: ClusterInRun) -> Text:
    """How many of a cluster's nodes have ended, as a share of the steps' cells."""
    ended = sum(node.phase is NodePhase.ENDED for node in cluster.nodes)
    cells = len(_STEPS)
    done = cells * ended // len(cluster.nodes) if cluster.nodes else 0
    return Text("█" * done, style="blue") + Text("░" * (cells - done if cluster.nodes else 0), style="dim")


def run_table(run: RunView, now: datetime) -> Table:
    """The nodes of a run; one cluster after the other, its own error on a line of its own."""
    table = Table(title=_title(run, now), title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("CLUSTER", no_wrap=True)
    table.add_column("NODE", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("STATE", no_wrap=True)
    table.add_column("TIME", justify="right", no_wrap=True)
    table.add_column("DETAILS", overflow="fold", ratio=1)
    for cluster in run.clusters:
        _add_cluster(table, cluster, now)
    return table


def live_table(run: RunView, now: datetime) -> Table:
    """The same for a screen that is drawn again and again: details are cut, so that a row stays one line.

    What delays a drain for long is shown in full all the same, and so are the errors of clusters.
    """
    table = run_table(run, now)
    rows = [row for cluster in run.clusters for row in (None, *cluster.nodes)]
    for node, cell in zip(rows, table.columns[-1].cells, strict=True):
        if node is not None and isinstance(cell, Text) and not _late(node, now):
            cell.no_wrap, cell.overflow = True, "ellipsis"
    return table


def _late(node: NodeInRun, now: datetime) -> list[Waiting]:
    return [w for w in node.waiting_for if w.since is not None and now - w.since >= _LATE]


def _title(run: RunView, now: datetime) -> str:
    state = str(run.outcome or run.status)
    dry = ", dry run" if run.dry_run else ""
    length = duration((run.ended_at or now) - run.started_at)
    why = f": {escape(run.reason)}" if run.reason else ""
    return f"run {run.id} {state} ({run.trigger}{dry}, {length}){why}"


def _add_cluster(table: Table, cluster: ClusterInRun, now: datetime) -> None:
    state = str(cluster.outcome or cluster.status)
    error = f"{cluster.error.code}: {cluster.error.message}" if cluster.error else ""
    done = cluster_bar(cluster)
    table.add_row(escape(cluster.name), "", done, state, "", Text(error, style="red"), style="bold")
    for node in cluster.nodes:
        ended = node.ended_at or now
        time = duration(ended - node.started_at) if node.started_at else ""
        state = str(node.outcome or node.phase)
        table.add_row("", escape(node.name), bar(node.phase, node.outcome), state, time, Text(_details(node, now)))


def drain_table(drain: DrainView, state: str) -> Table:
    """The pods of a drain, and what came of each, or would."""
    title = f"{escape(drain.cluster)}/{escape(drain.node)}: {state}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in ("NAMESPACE", "POD", "VERDICT", "REASON", "RESULT"):
        table.add_column(column, no_wrap=True)
    table.add_column("BECAUSE", overflow="fold", ratio=1)
    for pod in drain.pods:
        colour = _VERDICT_COLOURS.get(pod.verdict, "")
        table.add_row(
            escape(pod.namespace),
            escape(pod.name),
            Text(str(pod.verdict), style=colour),
            pod.reason,
            str(pod.result or ""),
            Text(pod.because or ""),
        )
    return table


def hand_table(view: HandView, now: datetime) -> Table:
    """What a drain by hand waits for."""
    title = f"{view.action} {escape(view.drain.cluster)}/{escape(view.drain.node)}: {view.phase}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=False)
    for waiting in view.waiting_for:
        table.add_row(Text(_waiting(waiting, now)))
    return table


def _waiting(waiting: Waiting, now: datetime) -> str:
    name = f"{waiting.namespace}/{waiting.name}" if waiting.namespace else waiting.name
    since = f" for {duration(now - waiting.since)}" if waiting.since else ""
    return f"{waiting.kind} {name}: {waiting.because}{since}"


def _details(node: NodeInRun, now: datetime) -> str:
    if node.waiting_for:
        if late := _late(node, now):
            rest = len(node.waiting_for) - len(late)
            more = [f"and {rest} more"] if rest else []
            return "\n".join([*(_waiting(w, now) for w in late), *more])
        others = f" and {len(node.waiting_for) - 1} more" if len(node.waiting_for) > 1 else ""
        return _waiting(node.waiting_for[0], now) + others
    if node.reason:
        return node.reason
    kernel = ""
    if node.kernel_before and node.kernel_after and node.kernel_before != node.kernel_after:
        kernel = f"kernel {node.kernel_before} -> {node.kernel_after}"
    return "; ".join(part for part in (kernel, ", ".join(node.packages)) if part)


def runs_table(runs: Sequence[RunSummary], now: datetime) -> Table:
    """The list of runs."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("RUN", "STATE", "TRIGGER", "STARTED", "TIME", "REASON"):
        table.add_column(column, no_wrap=column != "REASON")
    for run in runs:
        length = duration((run.ended_at or now) - run.started_at)
        started = run.started_at.strftime("%Y-%m-%d %H:%M:%SZ")
        state = f"{run.outcome or run.status}{' (dry run)' if run.dry_run else ''}"
        table.add_row(run.id, state, str(run.trigger), started, length, escape(run.reason or ""))
    return table


def survey_table(view: SurveyView, now: datetime) -> Table:
    """The nodes of a survey."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("CLUSTER", "NODE", "POOL", "ZONE", "READY", "REBOOT", "FOR", "VERDICT"):
        table.add_column(column, no_wrap=True)
    table.add_column("DETAILS", overflow="fold", ratio=1)
    for cluster in view.clusters:
        head = f"{cluster.kubernetes_version or ''} {len(cluster.nodes)} nodes" if cluster.error is None else ""
        error = Text(f"{cluster.error.code}: {cluster.error.message}", style="red") if cluster.error else Text(head)
        table.add_row(escape(cluster.name), *[""] * 7, error, style="bold")
        if cluster.notes:
            table.add_row(*[""] * 8, Text("; ".join(cluster.notes), style="yellow"))
        for node in cluster.nodes:
            _add_surveyed(table, node, now)
    return table


def _add_surveyed(table: Table, node: SurveyedNode, now: datetime) -> None:
    ready = "yes" if node.ready else "no"
    if not node.schedulable:
        ready += ", cordoned"
    colour = {Verdict.CANDIDATE: "yellow", Verdict.SKIPPED: "red"}.get(node.verdict, "")
    table.add_row(
        "",
        escape(node.name),
        escape(node.pool or ""),
        escape(node.zone or ""),
        ready,
        Text(str(node.needs_reboot), style=_NEED_COLOURS[node.needs_reboot]),
        duration(now - node.since) if node.since else "",
        Text(str(node.verdict), style=colour),
        Text("; ".join(part for part in (node.reason or "", ", ".join(node.packages)) if part)),
    )
