"""`midwatch drain` and `midwatch uncordon`: their messages, and the `drain` JSON. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum

from midwatch.domain.base import Message
from midwatch.domain.clusters import ClusterRef
from midwatch.domain.draining import DrainResult
from midwatch.domain.eviction import Waiting
from midwatch.domain.phases import NodePhase
from midwatch.domain.pods import PodVerdict
from midwatch.domain.policy import Policy
from midwatch.domain.runs import RunStatus
from midwatch.domain.steps import Failure, NodeStep, Passed


class HandAction(StrEnum):
    """What is done to one node by hand."""

    DRAIN = "drain"
    UNCORDON = "uncordon"


class PodResult(StrEnum):
    """What came of a pod."""

    GONE = "gone"
    LEFT = "left"


class DrainOutcome(StrEnum):
    """How a drain by hand ended; a dry run, and one that was cancelled, have none."""

    DRAINED = "drained"
    DRAIN_FAILED = "drain-failed"


class DrainedPod(Message):
    """A pod in `drain` JSON.

    Attributes:
        verdict: kubectl's decision before anything is sent.
        reason: why, a stable word.
        result: what came of it; null in a dry run, and while it is under way.
        because: what keeps it, or would.
    """

    namespace: str
    name: str
    verdict: PodVerdict
    reason: str
    result: PodResult | None
    because: str | None


class DrainView(Message):
    """The `drain` JSON."""

    cluster: str
    node: str
    outcome: DrainOutcome | None
    dry_run: bool
    pods: tuple[DrainedPod, ...]


class HandRequest(Message):
    """The input of `drain_by_hand` and `uncordon_by_hand`. `id` is the holder of the lease and of the claim."""

    id: str
    action: HandAction
    cluster: ClusterRef
    node: str
    policy: Policy
    dry_run: bool = False
    requested_by: str | None = None
    reason: str | None = None


class HandProgress(Message):
    """The custom status of both."""

    phase: NodePhase


class HandResult(Message):
    """The output of both.

    Attributes:
        outcome: of a drain that was not cancelled.
        reason: how it ended, for people.
        error: what kept it from being done at all: `busy`, an API server that is not there.
        cancelled: it was stopped; the node stays cordoned.
        pods: every pod of the node, of a drain.
    """

    outcome: DrainOutcome | None = None
    reason: str | None = None
    error: Failure | None = None
    cancelled: bool = False
    pods: tuple[DrainedPod, ...] = ()


class HandEnded(Message):
    """The input of `record_by_hand`: what the trace and the log say of it.

    Attributes:
        outcome: a word.
        failure: what went wrong; None when nothing did.
        passed: the node's phases.
    """

    run: str
    action: HandAction
    cluster: ClusterRef
    node: str
    outcome: str
    reason: str | None
    failure: str | None
    started_at: datetime
    ended_at: datetime
    passed: tuple[Passed, ...]


class HandView(Message):
    """`GET drains/{id}`."""

    id: str
    action: HandAction
    status: RunStatus
    phase: NodePhase
    waiting_for: tuple[Waiting, ...]
    reason: str | None
    error: Failure | None
    cancelled: bool
    drain: DrainView


class PreviewStep(NodeStep):
    """Judge the pods of a node. `ask`: have the API server say, in a dry run, what it would answer to each eviction."""

    ask: bool = False


class Previewed(Message):
    """The pods of a node with their verdicts, and their UIDs (in the same order)."""

    pods: tuple[DrainedPod, ...]
    uids: tuple[str, ...]


class ReportStep(NodeStep):
    """Which of these pods are still on the node?"""

    pods: tuple[DrainedPod, ...]
    uids: tuple[str, ...]


class Reported(Message):
    """The UIDs of those that are."""

    left: frozenset[str]


class GivenBack(Message):
    """What an uncordon did, or why it did nothing. `ours`: the node was claimed by us, or needed nothing."""

    ours: bool
    reason: str


def settle(previewed: Previewed, left: Collection[str], because: Mapping[str, str]) -> tuple[DrainedPod, ...]:
    """The pods with what came of each.

    Args:
        previewed: the pods before the drain.
        left: the UIDs that are still there.
        because: what keeps a pod, by `namespace/name`.
    """
    settled = []
    for pod, uid in zip(previewed.pods, previewed.uids, strict=True):
        result = PodResult.LEFT if uid in left else PodResult.GONE
        why = because.get(f"{pod.namespace}/{pod.name}") if result is PodResult.LEFT else None
        settled.append(pod.model_copy(update={"result": result, "because": why}))
    return tuple(settled)


def reasons_in(result: DrainResult) -> dict[str, str]:
    """What keeps each pod that a drain left, by `namespace/name`."""
    kept = (*result.seen.stays, *result.seen.left)
    return {f"{waiting.namespace}/{waiting.name}": waiting.because for waiting in kept}


def hand_ended(
    request: HandRequest, result: HandResult, passed: tuple[Passed, ...], started_at: datetime, ended_at: datetime
) -> HandEnded:
    """What is recorded of a drain, or an uncordon, by hand."""
    done = (
        "previewed"
        if request.dry_run
        else {HandAction.DRAIN: "drained", HandAction.UNCORDON: "uncordoned"}[request.action]
    )
    outcome = result.error.code if result.error else "cancelled" if result.cancelled else str(result.outcome or done)
    failed = result.error is not None or result.outcome is DrainOutcome.DRAIN_FAILED
    reason = str(result.error) if result.error else result.reason
    return HandEnded(
        run=request.id,
        action=request.action,
        cluster=request.cluster,
        node=request.node,
        outcome=outcome,
        reason=reason,
        failure=(reason or outcome) if failed else None,
        started_at=started_at,
        ended_at=ended_at,
        passed=passed,
    )
