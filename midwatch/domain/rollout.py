"""From the outcomes of the parts to the outcome of the whole."""

from __future__ import annotations

from collections.abc import Sequence

from midwatch.domain.outcomes import ClusterOutcome, NodeOutcome, RunOutcome


def too_many_failed(outcomes: Sequence[NodeOutcome], tolerated: int) -> bool:
    """Whether more nodes failed than the policy tolerates."""
    return sum(outcome.failed for outcome in outcomes) > tolerated


def cluster_outcome(outcomes: Sequence[NodeOutcome], *, halted: bool, cancelled: bool) -> ClusterOutcome:
    """How a cluster ended.

    Args:
        outcomes: of the nodes that were taken on or skipped.
        halted: whether starting was stopped early (failures, budget, lost lease).
        cancelled: whether the run was cancelled before all candidates were done.
    """
    if cancelled:
        return ClusterOutcome.CANCELLED
    if halted:
        return ClusterOutcome.HALTED
    if any(outcome.failed for outcome in outcomes):
        return ClusterOutcome.COMPLETED_WITH_FAILURES
    if all(outcome in {NodeOutcome.SKIPPED, NodeOutcome.GONE} for outcome in outcomes):
        return ClusterOutcome.NOTHING_TO_DO
    return ClusterOutcome.COMPLETED


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
