"""How many nodes may be away at once, and which are taken next."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from midwatch.domain.budget import Availability, Candidate, choose, disruption_budget, in_order
from midwatch.domain.policy import NodeOrder, NodePolicy
from tests.unit.domain.domain_kit import NOW

BUDGETS: list[tuple[str, int | str, int, int]] = [
    ("a number is itself", 3, 10, 3),
    ("a number is itself also in a smaller cluster", 3, 2, 3),
    ("ten percent of ten is one", "10%", 10, 1),
    ("a percentage rounds down", "10%", 19, 1),
    ("and grows with the cluster", "10%", 20, 2),
    ("a percentage is at least one", "1%", 5, 1),
    ("a third of ten is three", "33%", 10, 3),
    ("all of them may go", "100%", 7, 7),
    ("one of an empty cluster does no harm", "50%", 0, 1),
]


@pytest.mark.parametrize(("limit", "total", "budget"), [r[1:] for r in BUDGETS], ids=[r[0] for r in BUDGETS])
def test_the_budget_follows_from_the_limit_and_the_size(limit: int | str, total: int, budget: int) -> None:
    assert disruption_budget(NodePolicy(max_unavailable=limit), total) == budget


def candidate(name: str, age: float | None = None, zone: str | None = None) -> Candidate:
    since = None if age is None else NOW - timedelta(hours=age)
    return Candidate(name=name, pool=None, zone=zone, since=since)


A, B, C, D = candidate("a", 1, "2"), candidate("b", 3, "2"), candidate("c", 2, "1"), candidate("d", None, "1")
ORDERS: list[tuple[str, NodeOrder, tuple[Candidate, ...], str]] = [
    ("by name", NodeOrder.NAME, (D, B, C, A), "abcd"),
    ("longest waiting first, an unknown time last", NodeOrder.LONGEST_WAITING, (D, A, C, B), "bcad"),
    ("zone by zone, in each the longest waiting first", NodeOrder.ZONE_THEN_AGE, (A, B, C, D), "cdba"),
    ("no zone comes first", NodeOrder.ZONE_THEN_AGE, (C, candidate("x", 9)), "xc"),
    ("equal ages go by name", NodeOrder.LONGEST_WAITING, tuple(candidate(n, 1) for n in "zyx"), "xyz"),
    ("unknown ages go by name", NodeOrder.LONGEST_WAITING, tuple(candidate(n) for n in "zyx"), "xyz"),
    ("equal zones and ages go by name", NodeOrder.ZONE_THEN_AGE, tuple(candidate(n, 1, "1") for n in "zyx"), "xyz"),
]


@pytest.mark.parametrize(("order", "given", "names"), [r[1:] for r in ORDERS], ids=[r[0] for r in ORDERS])
def test_candidates_are_taken_in_the_policys_order(order: NodeOrder, given: tuple[Candidate, ...], names: str) -> None:
    assert "".join(c.name for c in in_order(given, order)) == names


def cluster(*not_ready: str, cordoned: tuple[str, ...] = (), total: int = 10) -> Availability:
    return Availability(total=total, not_ready=not_ready, cordoned=cordoned)


ABC = tuple(candidate(n) for n in "abc")
ONE, TWO, TWO_CORDONED = (
    NodePolicy(max_unavailable=1),
    NodePolicy(max_unavailable=2),
    NodePolicy(max_unavailable=2, count_cordoned=True),
)
CHOICES: list[tuple[str, Availability, tuple[str, ...], NodePolicy, str, tuple[str, ...]]] = [
    ("as many start as the budget has room for", cluster(), (), TWO, "ab", ()),
    ("a node that is not Ready spends it", cluster("x"), (), TWO, "a", ()),
    ("and may spend all of it", cluster("x"), (), ONE, "", ("x",)),
    ("more unavailable than allowed starts none", cluster("x", "y", "z"), (), TWO, "", ("x", "y", "z")),
    ("a node that we hold spends it, though it is Ready", cluster(), ("a",), TWO, "b", ()),
    ("a node that we hold and that is not Ready spends it once", cluster("a"), ("a",), TWO, "b", ()),
    ("a candidate that is not Ready spends it and is not started", cluster("a"), (), TWO, "b", ()),
    ("a cordoned node spends nothing by default", cluster(cordoned=("x", "y")), (), TWO, "ab", ()),
    ("it does where the policy counts it", cluster(cordoned=("x",)), (), TWO_CORDONED, "a", ()),
    ("it is not counted twice", cluster("x", cordoned=("x",)), (), TWO_CORDONED, "a", ()),
    ("what spends the budget is named in order", cluster("y", "x"), ("a",), TWO, "", ("a", "x", "y")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("availability", "held", "policy", "started", "spent_by"), [r[1:] for r in CHOICES], ids=[r[0] for r in CHOICES]
)
def test_the_budget_has_room_for(
    availability: Availability, held: tuple[str, ...], policy: NodePolicy, started: str, spent_by: tuple[str, ...]
) -> None:
    choice = choose(ABC, availability, held, policy)
    assert ("".join(c.name for c in choice.start), choice.spent_by) == (started, spent_by)


def drawn(rng: random.Random) -> tuple[list[Candidate], Availability, set[str], NodePolicy]:
    """Any cluster, in any state, under any policy; seeded."""
    names = [f"n{i:02}" for i in range(rng.randint(1, 40))]
    some = [set(rng.sample(names, rng.randint(0, len(names) // 3))) for _ in range(3)]
    not_ready, held, cordoned = some[0], some[1], some[2] - some[0]
    wanted = rng.sample(names, rng.randint(0, len(names)))
    limit: int | str = rng.randint(1, 12) if rng.random() < 0.5 else f"{rng.randint(1, 100)}%"
    policy = NodePolicy(max_unavailable=limit, count_cordoned=rng.random() < 0.5, order=rng.choice(list(NodeOrder)))
    availability = Availability(total=len(names), not_ready=tuple(not_ready), cordoned=tuple(cordoned))
    candidates = [candidate(n, rng.choice([None, 1, 2]), rng.choice([None, "1", "2"])) for n in wanted]
    return candidates, availability, held, policy


def test_never_more_nodes_are_unavailable_than_the_budget_and_never_fewer_are_started_than_it_allows() -> None:
    rng = random.Random(3)
    for _ in range(3000):
        candidates, availability, held, policy = drawn(rng)
        choice = choose(candidates, availability, held, policy)
        started = {c.name for c in choice.start}
        away = set(availability.not_ready) | held | (set(availability.cordoned) if policy.count_cordoned else set())
        budget = disruption_budget(policy, availability.total)
        free = {c.name for c in candidates} - away
        assert not started & away
        assert len(started) == min(len(free), max(0, budget - len(away)))
        assert len(started | away) <= max(budget, len(away))
        shuffled = rng.sample(candidates, len(candidates))
        assert choose(shuffled, availability, held, policy) == choice
