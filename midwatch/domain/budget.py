"""How many nodes may be away at once, and which are taken next."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import datetime

from midwatch.domain.base import Message
from midwatch.domain.policy import NodeOrder, NodePolicy


class Candidate(Message):
    """A node that may be patched; `since` is when its need began, None when unknown."""

    name: str
    pool: str | None
    zone: str | None
    since: datetime | None


class Availability(Message):
    """What a cluster's nodes are worth at this moment."""

    total: int
    not_ready: tuple[str, ...]
    """Nodes that are not Ready, for any reason."""
    cordoned: tuple[str, ...]
    """Ready nodes that somebody else cordoned."""
    claimed: tuple[str, ...] = ()
    """Nodes that another run left claimed and cordoned; they count until they are put back."""


class Choice(Message):
    """What may be started now, and what spends the budget when that is nothing."""

    start: tuple[Candidate, ...]
    spent_by: tuple[str, ...]


def disruption_budget(policy: NodePolicy, total: int) -> int:
    """The most nodes that may be unavailable, of a cluster of `total` nodes; a percentage rounds down, at least 1."""
    limit = policy.max_unavailable
    if isinstance(limit, int):
        return limit
    return max(1, total * int(limit.removesuffix("%")) // 100)


def in_order(candidates: Sequence[Candidate], order: NodeOrder) -> list[Candidate]:
    """The candidates in the policy's order; ties go by name, so that two calls agree."""
    if order is NodeOrder.NAME:
        return sorted(candidates, key=lambda c: c.name)

    def age(candidate: Candidate) -> tuple[float, str]:
        return (candidate.since.timestamp() if candidate.since is not None else math.inf), candidate.name

    if order is NodeOrder.ZONE_THEN_AGE:
        return sorted(candidates, key=lambda c: (c.zone or "", *age(c)))
    return sorted(candidates, key=age)


def choose(
    candidates: Sequence[Candidate], availability: Availability, held: Collection[str], policy: NodePolicy
) -> Choice:
    """Pick the nodes to start now.

    Args:
        candidates: the nodes that may be patched, those that we already hold or ended excluded by the caller or not.
        availability: the cluster, as just surveyed.
        held: the nodes that this run holds at this moment; they count as unavailable whatever their state.
        policy: the node policy.

    Returns:
        As many candidates as the budget has room for, in order; empty when it is spent.
    """
    unavailable = set(availability.not_ready) | set(availability.claimed) | set(held)
    if policy.count_cordoned:
        unavailable |= set(availability.cordoned)
    room = max(0, disruption_budget(policy, availability.total) - len(unavailable))
    waiting = [c for c in in_order(candidates, policy.order) if c.name not in unavailable]
    return Choice(start=tuple(waiting[:room]), spent_by=() if room and waiting else tuple(sorted(unavailable)))
