"""From the outcomes of the parts to the outcome of the whole."""

from __future__ import annotations

from collections.abc import Sequence

from midwatch.domain import lease
from midwatch.domain.budget import Candidate
from midwatch.domain.outcomes import ClusterOutcome, NodeOutcome, RunOutcome
from midwatch.domain.runs import ClusterResult, NodeEnd
from midwatch.domain.steps import Failure, Skipped


def too_many_failed(ended: Sequence[NodeEnd], tolerated: int) -> bool:
    """Whether more nodes failed than the policy tolerates."""
    return sum(end.failed for end in ended) > tolerated


def cluster_outcome(ended: Sequence[NodeEnd], *, halted: bool, cancelled: bool) -> ClusterOutcome:
    """How a cluster ended.

    Args:
        ended: the nodes that were taken on or skipped.
        halted: whether starting was stopped early (failures, budget, lost lease).
        cancelled: whether the run was cancelled before all candidates were done.
    """
    if cancelled:
        return ClusterOutcome.CANCELLED
    if halted:
        return ClusterOutcome.HALTED
    if any(end.failed for end in ended):
        return ClusterOutcome.COMPLETED_WITH_FAILURES
    if all(end.outcome in {NodeOutcome.SKIPPED, NodeOutcome.GONE} for end in ended):
        return ClusterOutcome.NOTHING_TO_DO
    return ClusterOutcome.COMPLETED


def not_started(node: Candidate | Skipped, outcome: NodeOutcome, reason: str) -> NodeEnd:
    """The ending of a node that never got an instance of its own."""
    return NodeEnd(name=node.name, outcome=outcome, pool=node.pool, zone=node.zone, reason=reason, started=False)


def cluster_report(
    ended: Sequence[NodeEnd],
    *,
    remaining: Sequence[Candidate],
    skipped: Sequence[Skipped],
    halt: Failure | None,
    left: Failure | None,
    cancelled: bool,
) -> ClusterResult:
    """What came of a cluster: every candidate is in it, started or not, and every skipped node.

    Args:
        ended: the nodes that were taken on.
        remaining: the candidates that never were.
        skipped: as surveyed last.
        halt: why starting stopped early.
        left: what could not be put back (the lease).
        cancelled: whether a cancel came.
    """
    if cancelled:
        rest = [not_started(c, NodeOutcome.CANCELLED, "cancelled: before it was started") for c in remaining]
    else:
        rest = [not_started(c, NodeOutcome.SKIPPED, f"halted: {halt}") for c in remaining]
    known = {end.name for end in (*ended, *rest)}
    rest += [not_started(s, NodeOutcome.SKIPPED, s.reason) for s in skipped if s.name not in known]
    nodes = (*ended, *rest)
    any_cancelled = any(end.outcome is NodeOutcome.CANCELLED for end in nodes)
    halted = halt is not None and (bool(remaining) or halt.code == lease.LOST)
    ending = cluster_outcome(nodes, halted=halted, cancelled=cancelled and any_cancelled)
    return ClusterResult(outcome=ending, error=halt if halted else left, nodes=nodes)


_SEVERITY = (
    (frozenset({ClusterOutcome.CANCELLED}), RunOutcome.CANCELLED),
    (frozenset({ClusterOutcome.HALTED}), RunOutcome.HALTED),
    (
        frozenset({ClusterOutcome.COMPLETED_WITH_FAILURES, ClusterOutcome.UNREACHABLE, ClusterOutcome.BUSY}),
        RunOutcome.COMPLETED_WITH_FAILURES,
    ),
    (frozenset({ClusterOutcome.COMPLETED}), RunOutcome.COMPLETED),
)


def run_outcome(outcomes: Sequence[ClusterOutcome]) -> RunOutcome:
    """How a run ended: the gravest of its clusters' endings."""
    for members, outcome in _SEVERITY:
        if members.intersection(outcomes):
            return outcome
    return RunOutcome.NOTHING_TO_DO
