"""What a simulation predicts for a cluster: the JSON of `midwatch simulate`, and its table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from midwatch.cli.tables import COLOURS, duration
from midwatch.domain.base import Message
from midwatch.domain.eviction import Waiting
from midwatch.domain.outcomes import ClusterOutcome, NodeOutcome
from midwatch.domain.phases import NodePhase
from midwatch.domain.runs import NodeInRun, RunView
from midwatch.domain.steps import Failure

_LONG = 60.0
"""Seconds: what a node waits for longer than this is said to block it."""


class Assumptions(Message):
    """What the prediction rests on, in seconds. `speed`: how many simulated seconds passed in a real one."""

    boot_seconds: float
    pod_stop_seconds: float
    pod_start_seconds: float
    detector_seconds: float
    speed: float


class PhaseStart(Message):
    """When a node entered a phase, in seconds since the run began."""

    phase: NodePhase
    at_seconds: float


class PredictedNode(Message):
    """A node in the prediction; without a start it would not be touched."""

    name: str
    pool: str | None
    zone: str | None
    outcome: NodeOutcome | None
    reason: str | None
    start_seconds: float | None
    duration_seconds: float | None
    phases: tuple[PhaseStart, ...]


class Blocking(Message):
    """What held a node up for more than a minute, or for good."""

    node: str
    kind: str
    namespace: str | None
    name: str
    because: str
    seconds: float


class Prediction(Message):
    """The prediction for one cluster."""

    cluster: str
    taken_at: datetime
    outcome: ClusterOutcome | None
    error: Failure | None
    duration_seconds: float
    nodes: tuple[PredictedNode, ...]
    blocking: tuple[Blocking, ...]
    assumptions: Assumptions
    notes: tuple[str, ...]

    @property
    def failed(self) -> bool:
        """Whether a node, or the cluster, would fail."""
        bad = {ClusterOutcome.COMPLETED, ClusterOutcome.NOTHING_TO_DO}
        return self.outcome not in bad or any(node.outcome is None or node.outcome.failed for node in self.nodes)


class Timeline:
    """Takes down what a run shows while it goes on."""

    def __init__(self) -> None:
        self._phases: dict[str, dict[NodePhase, datetime]] = {}
        self._waits: dict[tuple[str, tuple[str, str | None, str]], tuple[Waiting, timedelta]] = {}

    def look(self, view: RunView, now: datetime) -> None:
        """Take down where each node is at a time on the run's clock."""
        for node in _nodes(view):
            if node.started_at is None:
                continue
            self._phases.setdefault(node.name, {}).setdefault(node.phase, now)
            for waiting in node.waiting_for if node.phase is NodePhase.DRAIN else ():
                if waiting.since is not None:
                    self._waits[node.name, waiting.key] = waiting, now - waiting.since

    def phases(self, node: str, began: datetime) -> tuple[PhaseStart, ...]:
        """The phases of a node, as far as one look found it in each."""
        seen = self._phases.get(node, {})
        return tuple(PhaseStart(phase=p, at_seconds=_seconds(at - began)) for p, at in seen.items())

    def blocking(self, view: RunView) -> tuple[Blocking, ...]:
        """What held nodes up, or made their drain fail; the node itself where no look found what did."""
        failed = {node.name: node for node in _nodes(view) if node.outcome is NodeOutcome.DRAIN_FAILED}
        seen = [
            Blocking(node=node, **{**dict(w), "seconds": _seconds(span)})
            for (node, _), (w, span) in self._waits.items()
            if span.total_seconds() > _LONG or node in failed
        ]
        named = {blocking.node for blocking in seen}
        return (*seen, *(_whole(node) for name, node in failed.items() if name not in named))


def _whole(node: NodeInRun) -> Blocking:
    took = node.ended_at - node.started_at if node.ended_at and node.started_at else timedelta(0)
    because = node.reason or "its drain failed"
    return Blocking(
        node=node.name, kind="Node", namespace=None, name=node.name, because=because, seconds=_seconds(took)
    )


def predict(view: RunView, timeline: Timeline, head: Prediction) -> Prediction:
    """The prediction: a run that has ended, and what was taken down of it. `head` has what is known before it."""
    [cluster] = view.clusters
    began, ended = view.started_at, view.ended_at or view.started_at
    nodes = []
    for node in sorted(cluster.nodes, key=lambda node: (node.started_at is None, node.started_at or began)):
        start = node.started_at - began if node.started_at else None
        length = node.ended_at - node.started_at if node.started_at and node.ended_at else None
        one = PredictedNode(
            name=node.name,
            pool=node.pool,
            zone=node.zone,
            outcome=node.outcome,
            reason=node.reason,
            start_seconds=None if start is None else _seconds(start),
            duration_seconds=None if length is None else _seconds(length),
            phases=timeline.phases(node.name, began),
        )
        nodes.append(one)
    found = {
        "outcome": cluster.outcome,
        "error": cluster.error,
        "duration_seconds": _seconds(ended - began),
        "nodes": tuple(nodes),
        "blocking": timeline.blocking(view),
    }
    return head.model_copy(update=found)


def prediction_table(prediction: Prediction) -> Table:
    """The timeline: when each node starts, how long its phases take, and how it ends."""
    title = f"{escape(prediction.cluster)} simulated: {prediction.outcome}, {_length(prediction.duration_seconds)}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("NODE", no_wrap=True)
    table.add_column("START", no_wrap=True, justify="right")
    table.add_column("TIME", no_wrap=True, justify="right")
    table.add_column("OUTCOME", no_wrap=True)
    table.add_column("PHASES, AND WHY", overflow="fold", ratio=1)
    for node in prediction.nodes:
        colour = COLOURS.get(node.outcome, "red") if node.outcome else "cyan"
        start = "" if node.start_seconds is None else f"+{_length(node.start_seconds)}"
        taken = "" if node.duration_seconds is None else _length(node.duration_seconds)
        said = "\n".join(filter(None, (_spans(node), node.reason)))
        table.add_row(escape(node.name), start, taken, Text(str(node.outcome), style=colour), Text(said))
    return table


def prediction_lines(prediction: Prediction) -> Iterator[str]:
    """What the table does not say: what blocks, and what the figures rest on."""
    if prediction.error is not None:
        yield f"The run would stop: {prediction.error}"
    for one in prediction.blocking:
        where = f"{one.namespace}/{one.name}" if one.namespace else one.name
        yield f"{one.node} would wait {_length(one.seconds)} for {one.kind} {where}: {one.because}"
    a = prediction.assumptions
    yield (
        f"Assumed: a boot takes {_length(a.boot_seconds)} (--boot-time), a pod {_length(a.pod_stop_seconds)} to stop "
        f"(--pod-stop-time) and {_length(a.pod_start_seconds)} to start (--pod-start-time), the detector "
        f"{_length(a.detector_seconds)} (--detector-time)."
    )
    yield from prediction.notes


def _spans(node: PredictedNode) -> str:
    """How long each phase was, those too short to be seen left out."""
    ends = [phase.at_seconds for phase in node.phases[1:]]
    spans = zip(node.phases, ends, strict=False)
    return ", ".join(f"{p.phase} {_length(end - p.at_seconds)}" for p, end in spans if end - p.at_seconds >= 1)


def _nodes(view: RunView) -> Iterator[NodeInRun]:
    for cluster in view.clusters:
        yield from cluster.nodes


def _seconds(span: timedelta) -> float:
    return round(span.total_seconds(), 1)


def _length(seconds: float) -> str:
    return duration(timedelta(seconds=seconds))
