"""When a drain looks again, and when it has waited long enough. Pure; the orchestration's clock gives `now`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from midwatch.domain.base import Message
from midwatch.domain.drain_policy import DrainPolicy
from midwatch.domain.eviction import EvictionResult


class Blocker(StrEnum):
    """What a pass left on the node waits for."""

    TERMINATING = "terminating"
    """Pods that are on their way, within their grace."""
    STUCK = "stuck"
    """Pods that are still there although their grace is over."""
    BUDGET = "budget"
    """PodDisruptionBudgets that allow no disruption now."""
    NEVER = "never"
    """Budgets that can never allow one, or two budgets on one pod."""
    THROTTLED = "throttled"
    """An API server that asks for patience, or cannot answer."""
    REPLACED = "replaced"
    """A pod whose name another one has by now: the list was stale."""
    REFUSED = "refused"
    """Evictions that are refused for another reason."""
    COMPLETION = "completion"
    """Pods that are waited for until they complete."""
    VOLUMES = "volumes"
    """Volumes that are still attached."""


BLOCKS = {
    EvictionResult.BUDGET: Blocker.BUDGET,
    EvictionResult.TWO_BUDGETS: Blocker.NEVER,
    EvictionResult.THROTTLED: Blocker.THROTTLED,
    EvictionResult.REFUSED: Blocker.REFUSED,
}
"""What an eviction that was not granted waits for."""

_SECOND = timedelta(seconds=1)
_PAUSES = {
    Blocker.TERMINATING: (_SECOND, timedelta(seconds=5)),
    Blocker.VOLUMES: (2 * _SECOND, timedelta(seconds=10)),
    Blocker.STUCK: (2 * _SECOND, timedelta(seconds=20)),
    Blocker.BUDGET: (2 * _SECOND, timedelta(seconds=20)),
    Blocker.THROTTLED: (5 * _SECOND, timedelta(seconds=60)),
    Blocker.REPLACED: (5 * _SECOND, timedelta(seconds=20)),
    Blocker.COMPLETION: (5 * _SECOND, timedelta(seconds=30)),
    Blocker.REFUSED: (10 * _SECOND, timedelta(seconds=60)),
    Blocker.NEVER: (10 * _SECOND, timedelta(seconds=30)),
}
"""The first pause for each, and the longest: short where a pass watches for the change and only has to be renewed, long
where a person has to act or asking does harm (a 409 spends a budget for two minutes)."""


def pause(blockers: Collection[Blocker], idle_passes: int, asked: timedelta | None) -> timedelta:
    """How long to wait before the next pass: as the most promising of the blockers wants it.

    Args:
        blockers: what is waited for; empty: nothing that we know, one second.
        idle_passes: passes since something moved; the pause doubles with each.
        asked: what the API server asked for (Retry-After); no shorter pause than that.
    """
    kinds = set(blockers) - {Blocker.REPLACED}
    spans = [_PAUSES[kind] for kind in kinds] or [(_SECOND, 20 * _SECOND)]
    if Blocker.REPLACED in blockers:
        spans = [_PAUSES[Blocker.REPLACED]]
    grown: timedelta = min(min(first * 2 ** min(idle_passes, 6), longest) for first, longest in spans)
    return max(grown, min(asked or timedelta(0), timedelta(minutes=2)))


class BlockedSince(Message):
    """Since when, without a break, something of that kind has blocked."""

    kind: Blocker
    since: datetime


def keep_blocked(
    before: Sequence[BlockedSince], blockers: Collection[Blocker], now: datetime, *, moved: bool
) -> tuple[BlockedSince, ...]:
    """Carry over since when each kind has blocked. Budgets begin anew whenever a pod gets away."""
    known = {blocked.kind: blocked.since for blocked in before}
    if moved:
        known.pop(Blocker.BUDGET, None)
    return tuple(BlockedSince(kind=kind, since=known.get(kind, now)) for kind in sorted(blockers))


class Deadline(StrEnum):
    """Which of a drain's deadlines has passed; the word that the reason starts with."""

    WHOLE = "drain-timeout"
    BUDGET = "budget-timeout"
    MISCONFIGURED = "misconfigured-timeout"
    TERMINATION = "termination-timeout"
    DELETION = "deletion-timeout"


def passed(policy: DrainPolicy, until: datetime, blocked: Sequence[BlockedSince], now: datetime) -> Deadline | None:
    """The deadline that has passed, None as long as there is time.

    Args:
        policy: the limits.
        until: when `drain.timeout` is over.
        blocked: what blocks, and since when.
        now: aware.
    """
    limits = (
        (Blocker.NEVER, policy.misconfigured_timeout, Deadline.MISCONFIGURED),
        (Blocker.STUCK, policy.termination_timeout, Deadline.TERMINATION),
        (Blocker.BUDGET, policy.budget_timeout, Deadline.BUDGET),
    )
    since = {one.kind: one.since for one in blocked}
    for kind, limit, deadline in limits:
        if limit is not None and kind in since and now - since[kind] >= limit:
            return deadline
    return Deadline.WHOLE if now >= until else None


def next_deadline(policy: DrainPolicy, until: datetime, blocked: Sequence[BlockedSince], now: datetime) -> timedelta:
    """How long until the first deadline passes; no pause need be longer. Never negative."""
    limits = {
        Blocker.NEVER: policy.misconfigured_timeout,
        Blocker.STUCK: policy.termination_timeout,
        Blocker.BUDGET: policy.budget_timeout,
    }
    ends = [until]
    ends += [one.since + limit for one in blocked if (limit := limits.get(one.kind)) is not None]
    return max(min(ends) - now, timedelta(0))
