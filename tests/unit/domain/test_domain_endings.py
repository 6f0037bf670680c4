"""The phases of a node, what proves a reboot, and how nodes, clusters and runs end."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from midwatch.domain.drain_policy import OnTimeout
from midwatch.domain.draining import Drained, DrainResult
from midwatch.domain.errors import PermanentError
from midwatch.domain.eviction import Waiting
from midwatch.domain.nodes import Condition, NodeView
from midwatch.domain.outcomes import ClusterOutcome, NodeOutcome, RunOutcome
from midwatch.domain.phases import NodePhase, advance
from midwatch.domain.pods import Controller
from midwatch.domain.policy import Need
from midwatch.domain.proof import (
    Before,
    BootState,
    boot_state,
    daemon_set_of,
    need_is_gone,
    unready_daemon_sets,
)
from midwatch.domain.rollout import cluster_outcome, run_outcome, too_many_failed
from midwatch.domain.runs import NodeEnd, PollResult
from midwatch.domain.steps import Seen
from midwatch.domain.verdicts import drain_end, failure_in, named, verify_end, wait_end
from tests.unit.domain.domain_kit import DAEMON_SET, NOW, changed, condition, node, pod

P, N, C, R = NodePhase, NodeOutcome, ClusterOutcome, RunOutcome
ALLOWED = {
    (P.PENDING, P.CLAIM),
    (P.CLAIM, P.CORDON), (P.CLAIM, P.RELEASE), (P.CLAIM, P.ENDED),
    (P.CORDON, P.DRAIN), (P.CORDON, P.RELEASE),
    (P.DRAIN, P.RECHECK), (P.DRAIN, P.RELEASE),
    (P.RECHECK, P.REBOOT), (P.RECHECK, P.RELEASE),
    (P.REBOOT, P.WAIT), (P.REBOOT, P.RELEASE),
    (P.WAIT, P.VERIFY), (P.WAIT, P.RELEASE),
    (P.VERIFY, P.RELEASE),
    (P.RELEASE, P.ENDED),
}  # fmt: skip


@pytest.mark.parametrize(("current", "following"), list(itertools.product(P, P)), ids=str)
def test_the_table_of_phases_is_the_only_way(current: NodePhase, following: NodePhase) -> None:
    if (current, following) in ALLOWED:
        assert advance(current, following) is following
    else:
        with pytest.raises(PermanentError, match=f"{current} to {following}"):
            advance(current, following)


def test_no_phase_after_the_claim_ends_without_a_release() -> None:
    assert [current for current, following in ALLOWED if following is P.ENDED and current is not P.CLAIM] == [P.RELEASE]


BEFORE = Before(boot_id="boot-1", kernel_version="6.8.0-1", heartbeat=NOW - timedelta(seconds=30))
NO_CLOCK = changed(BEFORE, heartbeat=None)
OLD_READY, EQUAL_READY = condition("Ready", age=31), condition("Ready", age=30)
BARE_READY = Condition(type="Ready", status="True")
DOWN, SAME, UP = BootState.DOWN, BootState.SAME_BOOT, BootState.READY
BOOTS: list[tuple[str, NodeView, Before, BootState]] = [
    ("the old boot ID is the old boot", node(), BEFORE, SAME),
    ("also when it is not Ready", node(conditions=(condition("Ready", "Unknown"),)), BEFORE, SAME),
    ("no boot ID proves nothing", node(boot_id=""), BEFORE, SAME),
    ("a new boot ID and a newer Ready is back", node(boot_id="boot-2"), BEFORE, UP),
    ("a Ready from before the reboot proves nothing", node(boot_id="boot-2", conditions=(OLD_READY,)), BEFORE, DOWN),
    ("nor does the node's last word from before", node(boot_id="boot-2", conditions=(EQUAL_READY,)), BEFORE, DOWN),
    ("nor does a Ready without time", node(boot_id="boot-2", conditions=(BARE_READY,)), BEFORE, DOWN),
    ("Unknown is down", node(boot_id="boot-2", conditions=(condition("Ready", "Unknown"),)), BEFORE, DOWN),
    ("False is down", node(boot_id="boot-2", conditions=(condition("Ready", "False"),)), BEFORE, DOWN),
    ("no Ready is down", node(boot_id="boot-2", conditions=()), BEFORE, DOWN),
    ("without a time from before any Ready counts", node(boot_id="boot-2", conditions=(BARE_READY,)), NO_CLOCK, UP),
]


@pytest.mark.parametrize(("seen", "before", "state"), [r[1:] for r in BOOTS], ids=[r[0] for r in BOOTS])
def test_a_node_is_back_with_another_boot_and_a_newer_ready(seen: NodeView, before: Before, state: BootState) -> None:
    assert boot_state(seen, before) is state


KERNEL = condition("KernelDeadlock", "False")
TIMELESS = Condition(type="RebootRequired", status="False")
HAD_ONE = changed(BEFORE, conditions=("Ready", "RebootRequired"))
HAD_BOTH = changed(BEFORE, conditions=("KernelDeadlock", "Ready", "RebootRequired"))
NEEDS = (Need(), Need(condition="KernelDeadlock"))
GONE: list[tuple[str, tuple[Condition, ...], Before, str | None]] = [
    ("False since the boot is gone", (condition(status="False", age=5), KERNEL), NO_CLOCK, None),
    ("both must be gone", (condition(status="False", age=5), condition("KernelDeadlock", age=5)), BEFORE, "still-set"),
    ("True is still set", (condition(age=5), KERNEL), BEFORE, "still-set"),
    ("a missing one is unknown", (condition(status="False", age=5),), BEFORE, "no-condition"),
    ("Unknown is unknown", (condition(status="Unknown", age=5), KERNEL), BEFORE, "unknown"),
    ("a stale one is unknown", (condition(status="False", age=700), KERNEL), BEFORE, "stale"),
    ("a False from before is unconfirmed", (condition(status="False", age=31), KERNEL), BEFORE, "unconfirmed"),
    ("so is the node's last word from before", (condition(status="False", age=30), KERNEL), BEFORE, "unconfirmed"),
    ("one without time says nothing", (TIMELESS, KERNEL), BEFORE, "no-heartbeat"),
    ("a missing one that it had is unknown", (condition(status="False", age=5),), HAD_BOTH, "no-condition"),
    ("one that it never had is no need", (condition(status="False", age=5),), HAD_ONE, None),
    ("a True from before is unconfirmed, too", (condition(age=31), KERNEL), BEFORE, "unconfirmed"),
]  # fmt: skip


@pytest.mark.parametrize(("conditions", "before", "word"), [r[1:] for r in GONE], ids=[r[0] for r in GONE])
def test_a_need_is_gone_when_the_condition_says_so_after_the_boot(
    conditions: tuple[Condition, ...], before: Before, word: str | None
) -> None:
    line = need_is_gone(node(conditions=conditions), NEEDS, before, NOW)
    assert (line or "").split(":")[0] == (word or "")


def test_a_daemon_set_with_an_unready_pod_is_named_once_and_others_are_not() -> None:
    other = Controller(api_version="apps/v1", kind="DaemonSet", name="agent2")
    pods = [
        pod(controller=DAEMON_SET, ready=False),
        pod(controller=DAEMON_SET, ready=False, name="p2"),
        pod(ready=False),
    ]
    pods += [
        pod(controller=other),
        pod(controller=other, ready=False, namespace="ops"),
        pod(controller=None, ready=False),
    ]
    assert unready_daemon_sets(pods) == ("ops/agent2", "shop/agent")
    assert daemon_set_of(pod()) is None


def ends(*outcomes: NodeOutcome) -> list[NodeEnd]:
    return [NodeEnd(name=f"n{n}", outcome=outcome) for n, outcome in enumerate(outcomes)]


FAILED = {N.STILL_REQUIRED, N.DRAIN_FAILED, N.REBOOT_FAILED, N.NOT_READY, N.TAKEN_OVER}


@pytest.mark.parametrize("outcome", N)
def test_just_the_failures_count_as_failed(outcome: NodeOutcome) -> None:
    assert outcome.failed is (outcome in FAILED)


@pytest.mark.parametrize(
    ("failed", "tolerated", "too_many"), [(0, 0, False), (1, 0, True), (1, 1, False), (2, 1, True), (3, 5, False)]
)
def test_more_failures_than_tolerated_are_too_many(failed: int, tolerated: int, too_many: bool) -> None:
    outcomes = [N.DRAIN_FAILED] * failed + [N.SKIPPED, N.GONE, N.CANCELLED, N.REBOOTED]
    assert too_many_failed(ends(*outcomes), tolerated) is too_many


def test_a_node_on_which_something_was_left_has_failed() -> None:
    left = NodeEnd(name="n1", outcome=N.REBOOTED, left=True)
    assert too_many_failed([left], 0)
    assert cluster_outcome([left], halted=False, cancelled=False) is C.COMPLETED_WITH_FAILURES


CLUSTERS: list[tuple[str, list[NodeOutcome], bool, bool, ClusterOutcome]] = [
    ("nothing was there", [], False, False, C.NOTHING_TO_DO),
    ("all were skipped or gone", [N.SKIPPED, N.GONE], False, False, C.NOTHING_TO_DO),
    ("one rebooted", [N.SKIPPED, N.REBOOTED], False, False, C.COMPLETED),
    ("one failed", [N.REBOOTED, N.NOT_READY], False, False, C.COMPLETED_WITH_FAILURES),
    ("halted after a failure", [N.DRAIN_FAILED, N.SKIPPED], True, False, C.HALTED),
    ("halted before anything", [N.SKIPPED], True, False, C.HALTED),
    ("cancelled and failed", [N.DRAIN_FAILED, N.CANCELLED], False, True, C.CANCELLED),
    ("cancelled and halted", [N.DRAIN_FAILED, N.CANCELLED], True, True, C.CANCELLED),
]


@pytest.mark.parametrize(
    ("outcomes", "halted", "cancelled", "ending"), [r[1:] for r in CLUSTERS], ids=[r[0] for r in CLUSTERS]
)
def test_a_cluster_ends_as_its_nodes_did(
    outcomes: list[NodeOutcome], halted: bool, cancelled: bool, ending: ClusterOutcome
) -> None:
    assert cluster_outcome(ends(*outcomes), halted=halted, cancelled=cancelled) is ending


RUNS: list[tuple[list[ClusterOutcome], RunOutcome]] = [
    ([], R.NOTHING_TO_DO),
    ([C.NOTHING_TO_DO, C.NOTHING_TO_DO], R.NOTHING_TO_DO),
    ([C.NOTHING_TO_DO, C.COMPLETED], R.COMPLETED),
    ([C.COMPLETED, C.COMPLETED_WITH_FAILURES], R.COMPLETED_WITH_FAILURES),
    ([C.COMPLETED, C.UNREACHABLE], R.COMPLETED_WITH_FAILURES),
    ([C.BUSY], R.COMPLETED_WITH_FAILURES),
    ([C.COMPLETED_WITH_FAILURES, C.HALTED, C.UNREACHABLE], R.HALTED),
    ([C.HALTED, C.CANCELLED, C.COMPLETED], R.CANCELLED),
]


@pytest.mark.parametrize(("outcomes", "ending"), RUNS, ids=["+".join(r[0]) or "none" for r in RUNS])
def test_the_gravest_ending_of_a_cluster_is_the_runs(outcomes: list[ClusterOutcome], ending: RunOutcome) -> None:
    assert run_outcome(outcomes) is ending
    assert run_outcome(outcomes[::-1]) is ending


def test_every_ending_of_a_cluster_has_one_of_a_run() -> None:
    assert {one for one in C if run_outcome([one]) is R.NOTHING_TO_DO} == {C.NOTHING_TO_DO, C.SKIPPED}


FAILURES = {P.CLAIM: N.DRAIN_FAILED, P.CORDON: N.DRAIN_FAILED, P.DRAIN: N.DRAIN_FAILED, P.RECHECK: N.DRAIN_FAILED}
FAILURES |= {P.REBOOT: N.REBOOT_FAILED, P.WAIT: N.NOT_READY, P.VERIFY: N.NOT_READY}


@pytest.mark.parametrize(("phase", "outcome"), FAILURES.items(), ids=str)
def test_a_step_that_could_not_be_done_ends_the_node_by_its_phase(phase: NodePhase, outcome: NodeOutcome) -> None:
    end = failure_in(phase, "forbidden: no right")
    assert (end.outcome, end.reason) == (outcome, f"{phase}: forbidden: no right")


CART = Waiting(kind="Pod", namespace="shop", name="cart-1", because="budget: PodDisruptionBudget shop/cart")
AGENT = Waiting(kind="DaemonSet", namespace="shop", name="agent", because="not ready")
CONDITION = Waiting(kind="Condition", namespace=None, name="RebootRequired", because="still-set")
LEFT = Seen(left=(CART,))
DRAINED = Drained(left=(CART,))


def test_what_was_left_is_named_with_its_budget_and_the_rest_is_counted() -> None:
    assert named((CART, CONDITION)) == (
        "Pod shop/cart-1 (budget: PodDisruptionBudget shop/cart), Condition RebootRequired (still-set)"
    )
    assert named((CART,) * 8).endswith("and 3 more")
    assert "more" not in named((CART,) * 5)


def ended(result: PollResult, kind: str) -> tuple[str, str] | None:
    if kind == "drain":
        end = drain_end(DrainResult.model_validate(result.model_dump()), OnTimeout.FAIL)
    else:
        end = wait_end(result, BEFORE) if kind == "wait" else verify_end(result)
    return None if end is None else (end.outcome, (end.reason or "").split(":")[0])


ENDS: list[tuple[str, str, PollResult, tuple[str, str] | None]] = [
    ("an empty node goes on", "drain", PollResult(seen=Seen(done=True)), None),
    ("a refusal ends the drain", "drain", PollResult(seen=Seen(outcome=N.DRAIN_FAILED, reason="refused: x")),
     ("drain-failed", "refused")),
    ("it goes before a cancel", "drain", PollResult(seen=Seen(outcome=N.GONE, reason="gone: x"), cancelled=True),
     ("gone", "gone")),
    ("a cancel", "drain", PollResult(seen=LEFT, cancelled=True), ("cancelled", "cancelled")),
    ("the deadline", "drain", PollResult(seen=LEFT, timed_out=True), ("drain-failed", "drain-timeout")),
    ("back", "wait", PollResult(seen=Seen(done=True, boot_id="boot-2")), None),
    ("gone while away", "wait", PollResult(seen=Seen(outcome=N.GONE, reason="gone: x")), ("gone", "gone")),
    ("the reboot was ignored", "wait", PollResult(seen=Seen(boot_id="boot-1"), timed_out=True),
     ("reboot-failed", "same-boot")),
    ("it could never be read", "wait", PollResult(seen=Seen(), timed_out=True), ("not-ready", "not-ready")),
    ("it went down", "wait", PollResult(seen=Seen(boot_id="boot-1", down=True), timed_out=True), ("not-ready",
     "not-ready")),
    ("it booted and is not Ready", "wait", PollResult(seen=Seen(boot_id="boot-2"), timed_out=True),
     ("not-ready", "not-ready")),
    ("proven", "verify", PollResult(seen=Seen(done=True)), None),
    ("the need stays", "verify", PollResult(seen=Seen(left=(CONDITION,)), timed_out=True),
     ("still-required", "still-required")),
    ("a DaemonSet stays down", "verify", PollResult(seen=Seen(left=(AGENT,)), timed_out=True), ("not-ready",
     "not-ready")),
    ("both", "verify", PollResult(seen=Seen(left=(AGENT, CONDITION)), timed_out=True), ("still-required",
     "still-required")),
    ("taken over while it was verified", "verify", PollResult(seen=Seen(outcome=N.TAKEN_OVER, reason="repaired: x")),
     ("taken-over", "repaired")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "result", "expected"), [r[1:] for r in ENDS], ids=[f"{r[1]}: {r[0]}" for r in ENDS])
def test_the_last_look_of_a_wait_decides_the_ending(
    kind: str, result: PollResult, expected: tuple[str, str] | None
) -> None:
    assert ended(result, kind) == expected


def test_a_drain_that_ran_out_of_time_names_the_pod_and_its_budget() -> None:
    end = drain_end(DrainResult(seen=DRAINED, timed_out=True), OnTimeout.FAIL)
    assert end is not None
    assert end.reason == (
        "drain-timeout: 1 left at the deadline: Pod shop/cart-1 (budget: PodDisruptionBudget shop/cart)"
    )
