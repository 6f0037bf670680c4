"""How a node ends, from what the last wait saw."""

from __future__ import annotations

from collections.abc import Sequence

from midwatch.domain.base import Message
from midwatch.domain.drain_policy import OnTimeout
from midwatch.domain.draining import DrainResult
from midwatch.domain.eviction import CONDITION, Waiting
from midwatch.domain.outcomes import NodeOutcome
from midwatch.domain.phases import NodePhase
from midwatch.domain.proof import Before
from midwatch.domain.runs import PollResult

_NAMED = 5
"""How many of the things that were left a reason names; the rest is counted."""


class End(Message):
    """An outcome and its reason; the reason starts with a stable word, then says it for people."""

    outcome: NodeOutcome
    reason: str | None = None


def every(left: Sequence[Waiting]) -> str:
    """All of them, on one line: `Pod shop/cart-1 (budget: PodDisruptionBudget shop/cart)`."""
    return ", ".join(f"{w.kind} {f'{w.namespace}/' if w.namespace else ''}{w.name} ({w.because})" for w in left)


def named(left: Sequence[Waiting]) -> str:
    """The first of them in the same way, the rest counted."""
    more = len(left) - _NAMED
    return every(left[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def failure_in(phase: NodePhase, reason: str) -> End:
    """The outcome of a node whose step could not be done. Before the reboot it was never touched by one."""
    match phase:
        case NodePhase.REBOOT:
            outcome = NodeOutcome.REBOOT_FAILED
        case NodePhase.WAIT | NodePhase.VERIFY | NodePhase.RELEASE | NodePhase.ENDED:
            outcome = NodeOutcome.NOT_READY
        case _:
            outcome = NodeOutcome.DRAIN_FAILED
    return End(outcome=outcome, reason=f"{phase}: {reason}")


def _seen_end(result: PollResult) -> End | None:
    seen = result.seen
    return None if seen.outcome is None else End(outcome=seen.outcome, reason=seen.reason)


def drain_end(result: DrainResult, on_timeout: OnTimeout) -> End | None:
    """None when the node is empty, or is to be rebooted with what is left on it."""
    if (end := _seen_end(result)) is not None:
        return end
    if result.cancelled:
        return End(outcome=NodeOutcome.CANCELLED, reason="cancelled: during the drain")
    if result.timed_out and on_timeout is not OnTimeout.REBOOT_ANYWAY:
        left = result.seen.left
        text = f"{result.deadline or 'drain-timeout'}: {len(left)} left at the deadline: {named(left)}"
        return End(outcome=NodeOutcome.DRAIN_FAILED, reason=text)
    return None


def drain_notes(result: DrainResult, on_timeout: OnTimeout) -> tuple[str, ...]:
    """What the report has to say of a drain that did more, or less, than evict every pod. Each pod is named."""
    notes = []
    if result.deleted:
        notes.append(f"deleted at the deadline: {every(result.deleted)}")
    if result.seen.stays:
        notes.append(f"stayed on the node: {every(result.seen.stays)}")
    if result.timed_out and on_timeout is OnTimeout.REBOOT_ANYWAY:
        notes.append(f"{result.deadline}: rebooted anyway, with {every(result.seen.left)}")
    return tuple(notes)


def wait_end(result: PollResult, before: Before) -> End | None:
    """None when the node is back. A node that never left its boot ignored the reboot; one that left it is not ready.

    So is one that could never be read: nothing says that it kept its boot.
    """
    if (end := _seen_end(result)) is not None or not result.timed_out:
        return end
    seen = result.seen
    if seen.down or seen.boot_id != before.boot_id:
        text = f"not-ready: the node was not back and Ready in time: {named(seen.left)}"
        return End(outcome=NodeOutcome.NOT_READY, reason=text)
    return End(
        outcome=NodeOutcome.REBOOT_FAILED, reason="same-boot: the reboot was asked for and the boot ID is the same"
    )


def verify_end(result: PollResult) -> End | None:
    """None when the need is gone. Otherwise the node rebooted for nothing, or it (or its DaemonSets) is not up."""
    if (end := _seen_end(result)) is not None or not result.timed_out:
        return end
    left = result.seen.left
    asks = any(waiting.kind == CONDITION for waiting in left)
    outcome = NodeOutcome.STILL_REQUIRED if asks else NodeOutcome.NOT_READY
    return End(outcome=outcome, reason=f"{outcome}: {named(left)}")
