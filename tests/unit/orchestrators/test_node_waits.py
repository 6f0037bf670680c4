"""The waits of a node: the drain, the way back, and the proof."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from midwatch.domain import ids
from midwatch.domain.outcomes import NodeOutcome
from midwatch.domain.steps import Failure, Seen
from tests.unit.orchestrators.node_kit import INSTANCE, NEED, STUCK, patch, released
from tests.unit.orchestrators.orchestration_kit import (
    BACK,
    BEFORE,
    NOT_BACK,
    RUN,
    Call,
    Stage,
    always,
    in_turn,
    policy,
)


def test_a_drain_that_runs_out_of_time_names_pod_and_budget_and_puts_the_node_back(stage: Stage) -> None:
    stage.on("drain_pass", always(STUCK))
    result = patch(stage, policy(drain={"timeout": "10m"}))
    assert result.outcome is NodeOutcome.DRAIN_FAILED
    assert result.reason == (
        "drain-timeout: 1 left at the deadline: Pod shop/cart-1 (budget: PodDisruptionBudget shop/cart)"
    )
    assert "reboot_node" not in stage.names
    assert stage.names[-1] == "release_node"
    assert released(stage) == ("drain-failed", RUN, False)


def test_a_drain_passes_often_at_first_and_seldom_later_until_its_deadline(stage: Stage) -> None:
    stage.on("drain_pass", always(STUCK))
    patch(stage, policy(drain={"timeout": "10m"}))
    times = [call.at for call in stage.of("drain_pass")]
    gaps = [(b - a).total_seconds() for a, b in pairwise(times)]
    assert [round(gap) for gap in gaps[:6]] == [2, 4, 8, 16, 20, 20]
    assert max(gaps) < 21
    assert timedelta(minutes=9, seconds=59) <= times[-1] - times[0] < timedelta(minutes=10, seconds=5)


def test_a_drain_that_moves_pods_comes_back_at_once(stage: Stage) -> None:
    stage.on("drain_pass", in_turn(*[STUCK] * 5, STUCK.model_copy(update={"moved": True}), Seen(done=True)))
    assert patch(stage).outcome is NodeOutcome.REBOOTED
    times = [call.at for call in stage.of("drain_pass")]
    assert times[-1] - times[-2] < timedelta(seconds=2)


def test_after_pods_have_moved_the_pauses_grow_from_the_start_again(stage: Stage) -> None:
    moved = STUCK.model_copy(update={"moved": True})
    stage.on("drain_pass", in_turn(*[moved] * 8, STUCK, STUCK, Seen(done=True)))
    assert patch(stage).outcome is NodeOutcome.REBOOTED
    times = [call.at for call in stage.of("drain_pass")]
    assert [round((b - a).total_seconds()) for a, b in pairwise(times)] == [1] * 8 + [2, 4]


def test_a_drain_of_many_passes_continues_as_new_and_keeps_its_deadline(stage: Stage) -> None:
    stage.on("drain_pass", always(STUCK))
    patch(stage, policy(drain={"timeout": "30m"}))
    counts = stage.backend.history(ids.drain_instance(INSTANCE))
    assert counts.executions >= 4
    assert counts.current_events < 200
    times = [call.at for call in stage.of("drain_pass")]
    assert times[-1] - times[0] < timedelta(minutes=30, seconds=5)


def test_a_pod_that_must_not_go_ends_the_drain_at_once(stage: Stage) -> None:
    refusal = Seen(outcome=NodeOutcome.DRAIN_FAILED, reason="not-evictable: shop/job-1 (unmanaged)")
    stage.on("drain_pass", always(refusal))
    result = patch(stage)
    assert (result.outcome, result.reason) == (NodeOutcome.DRAIN_FAILED, "not-evictable: shop/job-1 (unmanaged)")
    assert stage.names == ["claim_node", "cordon_node", "drain_pass", "release_node"]


def test_an_api_server_that_does_not_answer_costs_passes_and_not_the_drain(stage: Stage) -> None:
    broken = RuntimeError("connection refused")
    stage.on("drain_pass", in_turn(STUCK, broken, broken, Failure(code="unavailable", message="503"), Seen(done=True)))
    assert patch(stage).outcome is NodeOutcome.REBOOTED
    assert len(stage.of("drain_pass")) == 5


def test_a_drain_whose_api_server_never_answers_says_so_at_the_deadline(stage: Stage) -> None:
    stage.on("drain_pass", in_turn(RuntimeError("connection refused")))
    result = patch(stage, policy(drain={"timeout": "5m"}))
    assert result.outcome is NodeOutcome.DRAIN_FAILED
    assert "Cluster kind-dev (connection refused)" in (result.reason or "")


def test_a_cancel_between_two_passes_ends_a_drain_that_would_not_end(stage: Stage) -> None:
    stage.on("drain_pass", always(STUCK))
    stage.cancel_at("drain_pass", INSTANCE, nth=7)
    result = patch(stage)
    assert (result.outcome, result.reason) == (NodeOutcome.CANCELLED, "cancelled: during the drain")
    assert len(stage.of("drain_pass")) <= 8
    assert stage.names[-1] == "release_node"


def test_a_cancel_in_the_pass_before_a_drain_continues_as_new_is_not_lost(stage: Stage) -> None:
    stage.on("drain_pass", always(STUCK))
    stage.cancel_at("drain_pass", INSTANCE, nth=20)
    assert patch(stage).outcome is NodeOutcome.CANCELLED
    assert len(stage.of("drain_pass")) <= 21


WAITS = [
    ("ignored", "look_for_boot", always(NOT_BACK), NodeOutcome.REBOOT_FAILED, "same-boot"),
    ("down for good", "look_for_boot", always(Seen(down=True)), NodeOutcome.NOT_READY, "not-ready"),
    ("deleted", "look_for_boot", always(Seen(outcome=NodeOutcome.GONE, reason="gone: x")), NodeOutcome.GONE, "gone"),
    ("repaired", "look_for_boot", always(Seen(outcome=NodeOutcome.TAKEN_OVER, reason="repaired: x")),
     NodeOutcome.TAKEN_OVER, "repaired"),
    ("keeps its sentinel", "look_for_proof", always(BACK.model_copy(update={"done": False, "left": (NEED,)})),
     NodeOutcome.STILL_REQUIRED, "still-required"),
]  # fmt: skip


@pytest.mark.parametrize(("activity", "answer", "outcome", "word"), [w[1:] for w in WAITS], ids=[w[0] for w in WAITS])
def test_a_node_that_does_not_come_back_well_is_released_with_its_outcome(
    stage: Stage, activity: str, answer: object, outcome: NodeOutcome, word: str
) -> None:
    assert callable(answer)
    stage.on(activity, answer)
    result = patch(stage)
    assert (result.outcome, (result.reason or "").split(":")[0]) == (outcome, word)
    assert len(stage.of("reboot_node")) == 1
    assert released(stage) == (outcome, RUN, False)


def test_the_wait_lasts_as_long_as_the_policy_says_and_no_longer(stage: Stage) -> None:
    stage.on("look_for_boot", always(NOT_BACK))
    patch(stage, policy(reboot={"timeout": "7m"}))
    times = [call.at for call in stage.of("look_for_boot")]
    assert timedelta(minutes=6, seconds=59) <= times[-1] - times[0] < timedelta(minutes=7, seconds=5)


def test_a_node_must_be_ready_for_as_long_as_the_policy_says(stage: Stage) -> None:
    stage.on("look_for_boot", in_turn(NOT_BACK, BACK, NOT_BACK, BACK))
    assert patch(stage, policy(verify={"stableFor": "45s"})).outcome is NodeOutcome.REBOOTED
    times = [call.at for call in stage.of("look_for_boot")]
    assert len(times) == 5
    assert times[2] - times[1] >= timedelta(seconds=44)
    assert times[4] - times[3] >= timedelta(seconds=44)


def test_a_node_that_was_not_ready_in_between_has_to_stay_ready_anew(stage: Stage) -> None:
    flapped = BACK.model_copy(update={"ready_since": BEFORE.heartbeat})
    stage.on("look_for_boot", in_turn(BACK, flapped))
    assert patch(stage, policy(verify={"stableFor": "30s"})).outcome is NodeOutcome.REBOOTED
    times = [call.at for call in stage.of("look_for_boot")]
    assert [round((b - a).total_seconds()) for a, b in pairwise(times)] == [30, 30]


def test_a_node_that_never_stays_ready_is_not_ready(stage: Stage) -> None:
    start = datetime(2026, 11, 24, 3, tzinfo=UTC)

    def flaps(_: Call) -> Seen:
        return BACK.model_copy(update={"ready_since": start + timedelta(minutes=len(stage.calls))})

    stage.on("look_for_boot", flaps)
    result = patch(stage, policy(verify={"stableFor": "30s"}, reboot={"timeout": "5m"}))
    assert result.outcome is NodeOutcome.NOT_READY
