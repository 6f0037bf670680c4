"""The rules between two passes: pauses, deadlines, escalation, minimum time, volumes, what is told and shown."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from midwatch.domain.clusters import ClusterRef
from midwatch.domain.drain_pace import BlockedSince, Blocker, Deadline, keep_blocked, next_deadline, passed, pause
from midwatch.domain.drain_policy import DrainPolicy, OnTimeout
from midwatch.domain.draining import Drained, DrainRequest, ending, escalate, rest
from midwatch.domain.eviction import Waiting
from midwatch.domain.outcomes import NodeOutcome
from midwatch.domain.policy import Policy
from midwatch.domain.proof import Before
from tests.unit.domain.domain_kit import NOW

B = Blocker


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


PAUSES: list[tuple[str, set[Blocker], int, float | None, float]] = [
    ("pods within their grace: the pass watched, go on", {B.TERMINATING}, 0, None, 1),
    ("also after many passes", {B.TERMINATING}, 9, None, 5),
    ("a budget: soon, then seldom", {B.BUDGET}, 0, None, 2),
    ("a budget that stays shut", {B.BUDGET}, 9, None, 20),
    ("a budget that never opens: a person has to act", {B.NEVER}, 0, None, 10),
    ("for long", {B.NEVER}, 9, None, 30),
    ("throttling: leave it in peace", {B.THROTTLED}, 0, None, 5),
    ("for as long as it asks", {B.THROTTLED}, 0, 12, 12),
    ("but not for ever", {B.THROTTLED}, 0, 3600, 120),
    ("a 409 is not hammered, whatever else goes on", {B.REPLACED, B.TERMINATING}, 0, None, 5),
    ("the most promising blocker decides", {B.NEVER, B.TERMINATING}, 0, None, 1),
    ("pods that complete in their own time", {B.COMPLETION}, 9, None, 30),
    ("nothing that we know", set(), 0, None, 1),
]


@pytest.mark.parametrize(("blockers", "idle", "asked", "wait"), [r[1:] for r in PAUSES], ids=[r[0] for r in PAUSES])
def test_the_pause_follows_what_blocks(blockers: set[Blocker], idle: int, asked: float | None, wait: float) -> None:
    assert pause(blockers, idle, None if asked is None else seconds(asked)) == seconds(wait)


def since(**ages: float) -> tuple[BlockedSince, ...]:
    return tuple(BlockedSince(kind=Blocker(kind), since=NOW - seconds(age)) for kind, age in ages.items())


LIMITS = DrainPolicy(budget_timeout=seconds(60), misconfigured_timeout=seconds(20), termination_timeout=seconds(30))
LATER, OVER = NOW + seconds(1), NOW
DEADLINES: list[tuple[str, DrainPolicy, datetime, tuple[BlockedSince, ...], Deadline | None]] = [
    ("there is time", LIMITS, LATER, since(budget=59, never=19, stuck=29), None),
    ("the whole drain's", LIMITS, OVER, (), Deadline.WHOLE),
    ("a budget's", LIMITS, LATER, since(budget=60), Deadline.BUDGET),
    ("a misconfigured budget's", LIMITS, LATER, since(never=20), Deadline.MISCONFIGURED),
    ("a pod's that will not die", LIMITS, LATER, since(stuck=30), Deadline.TERMINATION),
    ("pods within their grace have none", LIMITS, LATER, since(terminating=9999), None),
    ("without limits only the whole drain's counts", DrainPolicy(misconfigured_timeout=None), LATER,
     since(budget=9999, never=9999, stuck=9999), None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "until", "blocked", "deadline"), [r[1:] for r in DEADLINES], ids=[r[0] for r in DEADLINES]
)
def test_each_kind_of_blocker_has_its_deadline(
    policy: DrainPolicy, until: datetime, blocked: tuple[BlockedSince, ...], deadline: Deadline | None
) -> None:
    assert passed(policy, until, blocked, NOW) is deadline


def test_no_pause_goes_past_the_next_deadline() -> None:
    assert next_deadline(LIMITS, NOW + seconds(100), since(never=15, budget=1), NOW) == seconds(5)
    assert next_deadline(LIMITS, NOW - seconds(100), (), NOW) == seconds(0)


def test_a_pod_that_gets_away_gives_budgets_a_new_start_and_nothing_else() -> None:
    kept = keep_blocked(since(budget=50, stuck=40, throttled=9), {B.BUDGET, B.STUCK}, NOW, moved=True)
    assert {one.kind: NOW - one.since for one in kept} == {B.BUDGET: seconds(0), B.STUCK: seconds(40)}
    kept = keep_blocked(since(budget=50), {B.BUDGET}, NOW, moved=False)
    assert [NOW - one.since for one in kept] == [seconds(50)]


CART = Waiting(kind="Pod", namespace="shop", name="cart-1", because="budget: x")
VOLUME = Waiting(kind="PersistentVolume", namespace=None, name="pv", because="attached: x")


def request(drain: DrainPolicy | None = None, **fields: object) -> DrainRequest:
    whole = {
        "run": "r", "cluster": ClusterRef(name="a", context="a"), "node": "n1",
        "policy": Policy(api_version="midwatch/v1", drain=drain or DrainPolicy()),
        "before": Before(boot_id="b", kernel_version="6", heartbeat=None), "deadline": NOW + timedelta(minutes=15),
        "started": NOW,
    }  # fmt: skip
    return DrainRequest.model_validate({**whole, **fields})


def test_an_empty_node_ends_the_drain_when_it_has_lasted_for_the_minimum_time() -> None:
    patient = DrainPolicy(minimum_time=seconds(30))
    done = request(patient, last=Drained(done=True))
    assert ending(request(last=Drained(done=True)), NOW) is not None
    assert ending(done, NOW + seconds(10)) is None
    assert rest(done, NOW + seconds(10)) == seconds(20)
    assert ending(done, NOW + seconds(30)) is not None


def test_volumes_are_waited_for_up_to_their_limit_and_then_named() -> None:
    held = Drained(left=(VOLUME,), blockers=(B.VOLUMES,))
    waiting = request(DrainPolicy(detach_timeout=seconds(20)), last=held, blocked=since(volumes=19))
    assert ending(waiting, NOW) is None
    end = ending(waiting, NOW + seconds(1))
    assert end is not None
    assert (end.seen.done, end.seen.stays, end.timed_out) == (True, (VOLUME,), False)


def test_pods_that_are_left_are_not_volumes() -> None:
    both = Drained(left=(VOLUME, CART), blockers=(B.VOLUMES, B.BUDGET))
    assert ending(request(last=both, blocked=since(volumes=9999, budget=1)), NOW) is None


@pytest.mark.parametrize("on_timeout", OnTimeout)
def test_at_a_deadline_the_policy_decides(on_timeout: OnTimeout) -> None:
    policy = DrainPolicy(on_timeout=on_timeout, misconfigured_timeout=seconds(5))
    late = request(policy, last=Drained(left=(CART,)), blocked=since(never=5))
    end, going_on = ending(late, NOW), escalate(late, NOW)
    if on_timeout is OnTimeout.DELETE:
        assert end is None
        assert (going_on.escalated, going_on.deadline_passed) == (NOW, Deadline.MISCONFIGURED)
        assert rest(going_on, NOW) == seconds(0)
        assert going_on.step(seconds(10), NOW).delete
    else:
        assert end is not None
        assert (end.timed_out, end.deadline) == (True, Deadline.MISCONFIGURED)
        assert going_on is late


def test_pods_that_outlive_their_deletion_fail_the_drain() -> None:
    policy = DrainPolicy(on_timeout=OnTimeout.DELETE, delete_grace_period=seconds(10))
    deleting = request(policy, last=Drained(left=(CART,)), escalated=NOW, deleted=(CART,))
    assert ending(deleting, NOW + seconds(39)) is None
    end = ending(deleting, NOW + seconds(40))
    assert end is not None
    assert (end.timed_out, end.deadline, end.deleted) == (True, Deadline.DELETION, (CART,))


def test_what_delays_for_a_minute_is_told_once() -> None:
    seen = Drained(left=(CART,), blockers=(B.BUDGET,))
    first = request().after(request().step(seconds(1), NOW), seen, NOW)
    assert first.step(seconds(1), NOW + seconds(59)).tell == ()
    step = first.step(seconds(1), NOW + seconds(60))
    assert [waiting.name for waiting in step.tell] == ["cart-1"]
    second = first.after(step, seen, NOW + seconds(61))
    assert second.step(seconds(1), NOW + seconds(120)).tell == ()
    assert second.last.left[0].since == NOW


def test_a_pass_is_counted_as_idle_unless_something_moved() -> None:
    step = request().step(seconds(5), NOW)
    idle = request(rounds=3).after(step, Drained(left=(CART,)), NOW)
    moved = request(rounds=3).after(step, Drained(left=(CART,), moved=True, recordoned=True), NOW)
    assert (idle.rounds, moved.rounds, moved.recordons) == (4, 0, 1)


def test_the_status_shows_the_longest_waits_and_counts_the_rest() -> None:
    left = tuple(CART.model_copy(update={"name": f"c{n}", "since": NOW - seconds(n)}) for n in range(50))
    shown = request(last=Drained(left=left)).shown
    assert (len(shown), shown[0].name, shown[-1].name) == (41, "c49", "and 10 more")


def test_an_outcome_of_a_pass_ends_the_drain_whatever_else() -> None:
    over = Drained(outcome=NodeOutcome.GONE, reason="gone: x")
    end = ending(request(last=over), NOW)
    assert end is not None
    assert end.seen.outcome is NodeOutcome.GONE
