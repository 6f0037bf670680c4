"""The upper levels of a run's trace: run, cluster, node, phase. Pure.

Each is drawn from what the durable history says when it has ended, under an ID that does not change: whoever draws it
again draws the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from midwatch.domain.by_hand import HandEnded
from midwatch.domain.clusters import ClusterRef
from midwatch.domain.outcomes import ClusterOutcome, NodeOutcome, RunOutcome
from midwatch.domain.phases import NodePhase
from midwatch.domain.runs import ClusterEnd, RunEnded
from midwatch.domain.steps import Claimed, NodeStep, Passed, Released, ReleaseStep
from midwatch.telemetry import ids
from midwatch.telemetry.spans import Kind, Span, Value, known


@dataclass(frozen=True, slots=True)
class _Place:
    run: str
    cluster: ClusterRef
    node: str


_WELL = frozenset({NodeOutcome.REBOOTED, NodeOutcome.SKIPPED, NodeOutcome.GONE, NodeOutcome.CANCELLED})
_RUN_WELL = frozenset({RunOutcome.COMPLETED, RunOutcome.NOTHING_TO_DO, RunOutcome.WINDOW_CLOSED, RunOutcome.CANCELLED})
_CLUSTER_WELL = frozenset(
    {ClusterOutcome.COMPLETED, ClusterOutcome.NOTHING_TO_DO, ClusterOutcome.SKIPPED, ClusterOutcome.CANCELLED}
)


def place(run: str, cluster: ClusterRef, node: str | None = None) -> dict[str, Value]:
    """The attributes that say where: by the semantic conventions, and the run's ID."""
    return {"midwatch.run.id": run, **known(k8s__cluster__name=cluster.name, k8s__node__name=node)}


def run_spans(ended: RunEnded) -> list[Span]:
    """A run, and its clusters."""
    reason = None if ended.outcome in _RUN_WELL else str(ended.outcome)
    attributes = known(
        midwatch__outcome=str(ended.outcome),
        midwatch__run__trigger=str(ended.trigger),
        midwatch__run__dry_run=ended.dry_run,
        midwatch__clusters=len(ended.clusters),
        midwatch__run__warnings="; ".join(ended.warnings) or None,
    )
    root = _root(ended.run, "run", ended.started_at, ended.ended_at, {**attributes}, reason)
    return [root, *(_cluster(ended.run, end) for end in ended.clusters if end.started_at is not None)]


def _root(
    run: str, name: str, started_at: datetime, ended_at: datetime, attributes: dict[str, Value], error: str | None
) -> Span:
    return Span(
        trace_id=ids.trace_id(run),
        span_id=ids.run_span(run),
        parent_id=None,
        name=name,
        kind=Kind.SERVER,
        started_at=started_at,
        ended_at=ended_at,
        error=error,
        attributes={"midwatch.run.id": run, **attributes},
    )


def _cluster(run: str, end: ClusterEnd) -> Span:
    assert end.started_at is not None
    failure = None if end.outcome in _CLUSTER_WELL else str(end.error or end.outcome)
    return Span(
        trace_id=ids.trace_id(run),
        span_id=ids.cluster_span(run, end.name),
        parent_id=ids.run_span(run),
        name="cluster",
        started_at=end.started_at,
        ended_at=end.ended_at or end.started_at,
        error=failure,
        attributes={
            "midwatch.run.id": run,
            **known(
                k8s__cluster__name=end.name,
                midwatch__outcome=str(end.outcome),
                error__type=end.error.code if end.error else None,
                midwatch__reason=str(end.error) if end.error else None,
            ),
        },
    )


def node_spans(step: ReleaseStep, released: Released, now: datetime) -> list[Span]:
    """A node that has been released, and its phases. Nothing for one that another run had left claimed."""
    if not step.passed or step.claimed_by != step.run:
        return []
    outcome = str(step.outcome) if step.outcome else None
    failed = step.outcome is not None and step.outcome not in _WELL
    reason = step.reason or outcome if failed else None
    if released.left:
        reason = "left: " + ", ".join(released.left)
    extra = known(midwatch__outcome=outcome, midwatch__reason=step.reason, midwatch__left=released.left or None)
    return _node(_Place(step.run, step.cluster, step.node), step.passed, now, extra, reason)


def unclaimed_spans(step: NodeStep, claimed: Claimed, started_at: datetime, now: datetime) -> list[Span]:
    """A node that ended with its claim, untouched."""
    extra = known(midwatch__outcome=str(claimed.outcome), midwatch__reason=claimed.reason)
    return _node(
        _Place(step.run, step.cluster, step.node),
        (Passed(phase=NodePhase.CLAIM, entered_at=started_at),),
        now,
        extra,
        None,
    )


def hand_spans(ended: HandEnded) -> list[Span]:
    """A drain, or an uncordon, of one node by hand; its run, cluster and node begin and end together."""
    run, error = ended.run, ended.failure
    began = ended.passed[0].entered_at if ended.passed else ended.started_at
    extra = known(midwatch__outcome=ended.outcome, midwatch__reason=ended.reason)
    root = _root(run, str(ended.action), ended.started_at, ended.ended_at, {**extra, "midwatch.clusters": 1}, error)
    cluster = root.model_copy(
        update={
            "span_id": ids.cluster_span(run, ended.cluster.name),
            "parent_id": root.span_id,
            "name": "cluster",
            "kind": Kind.INTERNAL,
            "attributes": {**place(run, ended.cluster), **extra},
        }
    )
    passed = ended.passed or (Passed(phase=NodePhase.DRAIN, entered_at=began),)
    return [root, cluster, *_node(_Place(run, ended.cluster, ended.node), passed, ended.ended_at, extra, error)]


def _node(
    where: _Place, passed: Sequence[Passed], now: datetime, extra: dict[str, Value], error: str | None
) -> list[Span]:
    node = Span(
        trace_id=ids.trace_id(where.run),
        span_id=ids.node_span(where.run, where.cluster.name, where.node),
        parent_id=ids.cluster_span(where.run, where.cluster.name),
        name="node",
        started_at=passed[0].entered_at,
        ended_at=max(now, passed[0].entered_at),
        error=error,
        attributes={**place(where.run, where.cluster, where.node), **extra},
    )
    ends = [*(following.entered_at for following in passed[1:]), max(now, passed[-1].entered_at)]
    worked = [one for one in passed if one.phase is not NodePhase.RELEASE]
    culprit = worked[-1].phase if worked and error is not None else None
    return [node, *(_phase(node, where, one, end, culprit) for one, end in zip(passed, ends, strict=True))]


def _phase(node: Span, where: _Place, passed: Passed, ended_at: datetime, culprit: NodePhase | None) -> Span:
    """A phase. The last one before the release has the node's error."""
    return Span(
        trace_id=node.trace_id,
        span_id=ids.phase_span(where.run, where.cluster.name, where.node, passed.phase),
        parent_id=node.span_id,
        name=str(passed.phase),
        started_at=passed.entered_at,
        ended_at=ended_at,
        error=node.error if passed.phase is culprit else None,
        attributes={**place(where.run, where.cluster, where.node), "midwatch.phase": str(passed.phase)},
    )
