"""The drain's passes in virtual time: deadlines, escalation, cancels, and what the node's report says of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from midwatch.domain import ids
from midwatch.domain.drain_pace import Blocker
from midwatch.domain.draining import Drained
from midwatch.domain.eviction import Waiting
from midwatch.domain.outcomes import NodeOutcome
from midwatch.domain.steps import Checked
from tests.unit.orchestrators.node_kit import CART, INSTANCE, patch
from tests.unit.orchestrators.orchestration_kit import Call, Stage, always, in_turn, policy

BUDGET = Drained(left=(CART,), blockers=(Blocker.BUDGET,))
NEVER = Drained(left=(CART,), blockers=(Blocker.NEVER,))
STUCK = Drained(left=(CART,), blockers=(Blocker.STUCK,))
DONE = Drained(done=True, moved=True)
VOLUME = Waiting(kind="PersistentVolume", namespace=None, name="pv", because="attached: x")
ATTACHED = Drained(left=(VOLUME,), blockers=(Blocker.VOLUMES,))


def span(stage: Stage) -> timedelta:
    times = [call.at for call in stage.of("drain_pass")]
    return times[-1] - times[0]


DEADLINES = [
    ("misconfigured", NEVER, {"misconfiguredTimeout": "1m"}, "misconfigured-timeout", 60),
    ("budget", BUDGET, {"budgetTimeout": "3m"}, "budget-timeout", 180),
    ("stuck", STUCK, {"terminationTimeout": "2m"}, "termination-timeout", 120),
    ("whole", BUDGET, {"timeout": "5m"}, "drain-timeout", 300),
]


@pytest.mark.parametrize(
    ("seen", "drain", "word", "seconds"), [d[1:] for d in DEADLINES], ids=[d[0] for d in DEADLINES]
)
def test_each_deadline_ends_the_drain_in_time_and_says_which_it_was(
    stage: Stage, seen: Drained, drain: dict[str, object], word: str, seconds: int
) -> None:
    stage.on("drain_pass", always(seen))
    result = patch(stage, policy(drain={"timeout": "30m", **drain}))
    assert result.outcome is NodeOutcome.DRAIN_FAILED
    assert (result.reason or "").startswith(f"{word}: 1 left at the deadline: Pod shop/cart-1")
    assert timedelta(seconds=seconds - 1) <= span(stage) < timedelta(seconds=seconds + 2)


def test_a_budget_that_lets_a_pod_go_now_and_then_does_not_run_into_its_own_deadline(stage: Stage) -> None:
    moving = BUDGET.model_copy(update={"moved": True})
    stage.on("drain_pass", in_turn(*[BUDGET] * 6, moving, *[BUDGET] * 6, DONE))
    assert patch(stage, policy(drain={"timeout": "30m", "budgetTimeout": "2m"})).outcome is NodeOutcome.REBOOTED
    assert span(stage) > timedelta(minutes=2)


def test_at_the_deadline_pods_are_deleted_from_the_next_pass_on_and_named(stage: Stage) -> None:
    gone = CART.model_copy(update={"because": "deleted: it was left at the deadline"})

    def answer(call: Call) -> Drained:
        return DONE.model_copy(update={"deleted": (gone,)}) if call.payload["delete"] else NEVER

    stage.on("drain_pass", answer)
    result = patch(stage, policy(drain={"onTimeout": "delete", "misconfiguredTimeout": "30s"}))
    assert result.outcome is NodeOutcome.REBOOTED
    assert result.reason == "deleted at the deadline: Pod shop/cart-1 (deleted: it was left at the deadline)"
    last = stage.of("drain_pass")[-2:]
    assert [call.payload["delete"] for call in last] == [False, True]
    assert last[1].at - last[0].at < timedelta(seconds=1)


def test_pods_that_outlive_their_deletion_fail_the_drain(stage: Stage) -> None:
    stage.on("drain_pass", always(STUCK))
    drain = {"onTimeout": "delete", "terminationTimeout": "10s", "deleteGracePeriod": "5s"}
    result = patch(stage, policy(drain=drain))
    assert result.outcome is NodeOutcome.DRAIN_FAILED
    assert (result.reason or "").startswith("deletion-timeout: ")
    assert timedelta(seconds=45) <= span(stage) < timedelta(seconds=50)


def test_where_the_policy_says_so_a_node_is_rebooted_with_what_is_left_and_the_report_names_it(stage: Stage) -> None:
    stage.on("drain_pass", always(BUDGET))
    result = patch(stage, policy(drain={"onTimeout": "reboot-anyway", "timeout": "1m"}))
    assert result.outcome is NodeOutcome.REBOOTED
    assert result.reason == (
        "drain-timeout: rebooted anyway, with Pod shop/cart-1 (budget: PodDisruptionBudget shop/cart)"
    )


def test_volumes_that_stay_attached_do_not_fail_the_drain_and_are_named(stage: Stage) -> None:
    stage.on("drain_pass", always(ATTACHED))
    result = patch(stage, policy(drain={"detachTimeout": "30s"}))
    assert result.outcome is NodeOutcome.REBOOTED
    assert result.reason == "stayed on the node: PersistentVolume pv (attached: x)"
    assert timedelta(seconds=30) <= span(stage) < timedelta(seconds=33)


def test_a_drain_lasts_for_its_minimum_time_and_looks_again_at_the_end(stage: Stage) -> None:
    stage.on("drain_pass", in_turn(DONE, BUDGET, DONE))
    assert patch(stage, policy(drain={"minimumTime": "20s"})).outcome is NodeOutcome.REBOOTED
    assert len(stage.of("drain_pass")) == 3
    assert span(stage) >= timedelta(seconds=20)


def test_the_passes_know_how_often_the_node_was_cordoned_again_and_where_budgets_refused(stage: Stage) -> None:
    again = BUDGET.model_copy(update={"recordoned": True, "budgets_in": ("shop",)})
    stage.on("drain_pass", in_turn(again, again, DONE))
    patch(stage)
    assert [call.payload["recordons"] for call in stage.of("drain_pass")] == [0, 1, 2]
    assert [call.payload["budgetsIn"] for call in stage.of("drain_pass")] == [[], ["shop"], ["shop"]]


def test_what_delays_for_a_minute_is_told_in_one_pass_alone(stage: Stage) -> None:
    stage.on("drain_pass", always(BUDGET))
    patch(stage, policy(drain={"timeout": "10m"}))
    told = [call for call in stage.of("drain_pass") if call.payload["tell"]]
    assert len(told) == 1
    assert told[0].at - stage.of("drain_pass")[0].at >= timedelta(minutes=1)


def test_what_is_told_and_blocked_survives_continue_as_new(stage: Stage) -> None:
    stage.on("drain_pass", always(BUDGET))
    result = patch(stage, policy(drain={"timeout": "40m", "budgetTimeout": "25m"}))
    assert stage.backend.history(ids.drain_instance(INSTANCE)).executions >= 3
    assert (result.reason or "").startswith("budget-timeout: ")
    assert timedelta(minutes=25) <= span(stage) < timedelta(minutes=25, seconds=2)
    assert len([call for call in stage.of("drain_pass") if call.payload["tell"]]) == 1


def test_a_throttled_api_server_is_left_alone_for_as_long_as_it_asks(stage: Stage) -> None:
    busy = Drained(left=(CART,), blockers=(Blocker.THROTTLED,), retry_after=timedelta(seconds=42))
    stage.on("drain_pass", in_turn(busy, DONE))
    patch(stage)
    assert timedelta(seconds=42) <= span(stage) < timedelta(seconds=44)


def test_load_balancers_get_their_time_before_the_first_pass(stage: Stage) -> None:
    patch(stage, policy(drain={"excludeFromLoadBalancers": True, "loadBalancerWait": "45s"}))
    [cordon], [first] = stage.of("cordon_node"), stage.of("drain_pass")
    assert first.at - cordon.at >= timedelta(seconds=45)


def test_a_cancel_while_load_balancers_get_their_time_drains_nothing(stage: Stage) -> None:
    stage.cancel_at("cordon_node", INSTANCE)
    result = patch(stage, policy(drain={"excludeFromLoadBalancers": True, "loadBalancerWait": "45s"}))
    assert result.outcome is NodeOutcome.CANCELLED
    assert stage.of("drain_pass") == []


def test_a_node_that_is_refused_after_the_drain_still_names_what_was_deleted(stage: Stage) -> None:
    stage.on("drain_pass", always(DONE.model_copy(update={"deleted": (CART,)})))
    stage.on("recheck_node", always(Checked(outcome=NodeOutcome.SKIPPED, reason="no-longer-needed: x")))
    reason = patch(stage).reason or ""
    assert reason.startswith("no-longer-needed: x; deleted at the deadline: Pod shop/cart-1")
