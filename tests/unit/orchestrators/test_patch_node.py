"""One node, from the claim to the release, whatever is refused on the way."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from midwatch.domain.base import Message
from midwatch.domain.outcomes import ClusterOutcome, NodeOutcome
from midwatch.domain.runs import ClusterEnd, Progress
from midwatch.domain.steps import Checked, Claimed, Failure, Released, Seen
from tests.unit.orchestrators.node_kit import CHAIN, INSTANCE, patch, released
from tests.unit.orchestrators.orchestration_kit import BACK, BEFORE, NOT_BACK, RUN, Call, Stage, always, in_turn, policy


def test_the_happy_path_takes_each_step_once_and_in_order(stage: Stage) -> None:
    result = patch(stage)
    assert stage.names == CHAIN
    assert (result.outcome, result.reason) == (NodeOutcome.REBOOTED, None)
    assert (result.kernel_before, result.kernel_after) == ("6.8", "6.9")
    assert (result.boot_id_before, result.boot_id_after) == ("boot-1", "boot-2")
    assert result.packages == ("linux-image",)
    assert released(stage) == ("rebooted", RUN, False)


def test_a_node_of_the_spine_stays_within_its_activities_and_history(stage: Stage) -> None:
    patch(stage)
    counts = stage.backend.history_under(INSTANCE)
    assert sum(counts.activities.values()) <= 12
    assert counts.events <= 200


def test_the_reboot_is_guarded_by_the_boot_id_of_the_recheck(stage: Stage) -> None:
    fresh = BEFORE.model_copy(update={"boot_id": "boot-1b"})
    stage.on("recheck_node", always(Checked(before=fresh)))
    assert patch(stage).boot_id_before == "boot-1b"
    assert stage.of("reboot_node")[0].payload["before"] == fresh.to_wire()


@pytest.mark.parametrize("outcome", [NodeOutcome.SKIPPED, NodeOutcome.GONE])
def test_a_claim_that_is_refused_ends_the_node_untouched(stage: Stage, outcome: NodeOutcome) -> None:
    stage.on("claim_node", always(Claimed(outcome=outcome, reason="cordoned: somebody else cordoned the node")))
    result = patch(stage)
    assert (result.outcome, result.reason) == (outcome, "cordoned: somebody else cordoned the node")
    assert stage.names == ["claim_node"]


BEFORE_REBOOT = CHAIN[: CHAIN.index("recheck_node") + 1]


@pytest.mark.parametrize("activity", BEFORE_REBOOT)
def test_a_cancel_before_the_reboot_puts_the_node_back(stage: Stage, activity: str) -> None:
    stage.cancel_at(activity, INSTANCE)
    result = patch(stage)
    assert result.outcome is NodeOutcome.CANCELLED
    assert (result.reason or "").startswith("cancelled: ")
    assert stage.names == [*CHAIN[: CHAIN.index(activity) + 1], "release_node"]
    assert released(stage) == ("cancelled", RUN, False)


@pytest.mark.parametrize("activity", ["reboot_node", "look_for_boot", "look_for_proof", "release_node"])
def test_a_cancel_after_the_reboot_changes_nothing(stage: Stage, activity: str) -> None:
    stage.on("look_for_boot", in_turn(NOT_BACK, BACK))
    stage.cancel_at(activity, INSTANCE)
    assert patch(stage).outcome is NodeOutcome.REBOOTED
    assert stage.names == [*CHAIN[:6], "look_for_boot", *CHAIN[6:]]


@pytest.mark.parametrize("activity", ["claim_node", "cordon_node", "recheck_node", "reboot_node", "release_node"])
def test_an_activity_that_raises_is_tried_again(stage: Stage, activity: str) -> None:
    usual = stage.usual(activity)
    left = [RuntimeError("reset"), RuntimeError("reset")]

    def answer(call: Call) -> Message:
        if left:
            raise left.pop()
        return usual(call)

    stage.on(activity, answer)
    assert patch(stage).outcome is NodeOutcome.REBOOTED
    assert len(stage.of(activity)) == 3
    times = [call.at for call in stage.of(activity)]
    first, second = [(b - a).total_seconds() for a, b in pairwise(times)]
    assert 2 <= first < 4 <= second < 8, "virtual time is real time and the jumps"


STEPS = [
    ("claim_node", NodeOutcome.DRAIN_FAILED, "claim"),
    ("cordon_node", NodeOutcome.DRAIN_FAILED, "cordon"),
    ("recheck_node", NodeOutcome.DRAIN_FAILED, "recheck"),
    ("reboot_node", NodeOutcome.REBOOT_FAILED, "reboot"),
]


@pytest.mark.parametrize(("activity", "outcome", "phase"), STEPS, ids=[s[0] for s in STEPS])
def test_a_step_that_is_refused_for_good_puts_the_node_back(
    stage: Stage, activity: str, outcome: NodeOutcome, phase: str
) -> None:
    stage.fail(activity, "invalid")
    result = patch(stage)
    assert (result.outcome, result.reason) == (outcome, f"{phase}: it cannot be done")
    assert stage.names == [*CHAIN[: CHAIN.index(activity) + 1], "release_node"]
    assert released(stage)[0] == outcome


def test_a_refusal_that_may_pass_is_tried_again_for_half_a_minute(stage: Stage) -> None:
    forbidden = Failure(code="forbidden", message="the roles are not known yet")
    stage.on("cordon_node", in_turn(forbidden, forbidden, Checked()))
    assert patch(stage).outcome is NodeOutcome.REBOOTED
    assert len(stage.of("cordon_node")) == 3


def test_a_reboot_whose_answer_was_lost_is_decided_by_the_node(stage: Stage) -> None:
    stage.on("reboot_node", in_turn(RuntimeError("connection reset")))
    assert patch(stage).outcome is NodeOutcome.REBOOTED


def test_a_step_that_keeps_failing_puts_the_node_back_after_its_tries(stage: Stage) -> None:
    stage.on("cordon_node", in_turn(RuntimeError("connection refused\nTraceback ...")))
    result = patch(stage)
    assert (result.outcome, result.reason) == (NodeOutcome.DRAIN_FAILED, "cordon: connection refused")
    assert len(stage.of("cordon_node")) == 5
    assert stage.names[-1] == "release_node"


def test_a_claim_that_does_not_say_how_the_node_was_puts_it_back(stage: Stage) -> None:
    stage.on("claim_node", always(Claimed(outcome=None, reason=None, before=None)))
    result = patch(stage)
    assert result.reason == "drain: claim_node claimed the node without saying how it was"
    assert stage.names == ["claim_node", "cordon_node", "release_node"]


def test_an_answer_that_is_no_such_message_does_not_leave_the_node_cordoned(stage: Stage) -> None:
    stage.on("cordon_node", always(ClusterEnd(name="x", outcome=ClusterOutcome.HALTED)))
    result = patch(stage)
    assert result.outcome is NodeOutcome.DRAIN_FAILED
    assert (result.reason or "").startswith("cordon: internal: ValidationError")
    assert stage.names == ["claim_node", "cordon_node", "release_node"]


def test_a_recheck_that_finds_the_need_gone_reboots_nothing(stage: Stage) -> None:
    stage.on("recheck_node", always(Checked(outcome=NodeOutcome.SKIPPED, reason="no-longer-needed: the need is gone")))
    result = patch(stage)
    assert (result.outcome, result.reason) == (NodeOutcome.SKIPPED, "no-longer-needed: the need is gone")
    assert "reboot_node" not in stage.names
    assert released(stage) == ("skipped", RUN, False)


def test_a_failed_node_stays_cordoned_where_the_policy_wants_it_and_the_report_says_so(stage: Stage) -> None:
    stage.on("look_for_boot", always(Seen(down=True)))
    stage.on("release_node", always(Released(left=("the cordon (failure.keepCordoned)",))))
    result = patch(stage, policy(failure={"keepCordoned": True}))
    assert released(stage) == ("not-ready", RUN, True)
    assert (result.reason or "").endswith("; left: the cordon (failure.keepCordoned)")


def test_a_node_that_did_not_fail_is_uncordoned_whatever_the_policy_says(stage: Stage) -> None:
    patch(stage, policy(failure={"keepCordoned": True}))
    assert released(stage) == ("rebooted", RUN, False)


def test_a_release_that_is_refused_says_what_is_left(stage: Stage) -> None:
    stage.fail("release_node", "forbidden")
    result = patch(stage)
    assert result.outcome is NodeOutcome.REBOOTED
    assert result.reason == ("left: possibly cordoned and annotated, the release failed (it cannot be done)")


def test_a_release_is_tried_for_twenty_minutes_before_it_is_given_up(stage: Stage) -> None:
    stage.on("drain_pass", always(Seen(outcome=NodeOutcome.DRAIN_FAILED, reason="not-evictable: x")))
    stage.on("release_node", in_turn(RuntimeError("connection refused")))
    result = patch(stage)
    assert result.reason == (
        "not-evictable: x; left: possibly cordoned and annotated, the release failed (connection refused)"
    )
    times = [call.at for call in stage.of("release_node")]
    assert (len(times), times[-1] - times[0] >= timedelta(minutes=19)) == (24, True)
    shown = Progress.model_validate(stage.statuses(INSTANCE)[-2])
    assert [(w.kind, w.because) for w in shown.waiting_for] == [("Cluster", "connection refused")]
