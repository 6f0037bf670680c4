"""What stops a cluster: failures, a cancel, a lost lease, an API server that does not answer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from midwatch.domain import ids, lease
from midwatch.domain.base import Message
from midwatch.domain.outcomes import ClusterOutcome, NodeOutcome
from midwatch.domain.runs import ClusterProgress
from midwatch.domain.steps import Checked, Failure, Released, Seen
from tests.unit.orchestrators.cluster_kit import GOES_ON, HELD, INSTANCE, LOST, claimed, outcomes, patch, reasons
from tests.unit.orchestrators.orchestration_kit import (
    BACK,
    CLUSTER,
    NOT_BACK,
    RUN,
    Call,
    Stage,
    always,
    in_turn,
    policy,
    surveyed,
)


def test_a_cluster_that_does_not_answer_is_unreachable_after_three_tries(stage: Stage) -> None:
    for activity in ("acquire_lease", "release_lease"):
        stage.on(activity, in_turn(RuntimeError("no route to host")))
    result = patch(stage)
    text = "no route to host; whether the lease was taken is not known"
    assert (result.outcome, result.error) == (
        ClusterOutcome.UNREACHABLE, Failure(code="unavailable", message=text),
    )  # fmt: skip
    assert stage.names == ["acquire_lease"] * 3 + ["release_lease"] * 3


def test_a_lease_that_may_have_been_taken_without_an_answer_is_given_back(stage: Stage) -> None:
    stage.on("acquire_lease", in_turn(RuntimeError("the connection broke")))
    result = patch(stage)
    assert (result.outcome, result.error) == (
        ClusterOutcome.UNREACHABLE, Failure(code="unavailable", message="the connection broke"),
    )  # fmt: skip
    assert stage.names == ["acquire_lease"] * 3 + ["release_lease"]


def test_a_cluster_that_cannot_be_surveyed_gives_its_lease_back(stage: Stage) -> None:
    stage.fail("survey_cluster", "invalid")
    result = patch(stage)
    assert (result.outcome, result.error and result.error.code) == (ClusterOutcome.UNREACHABLE, "invalid")
    assert stage.names == ["acquire_lease", "survey_cluster", "release_lease"]


def test_a_lease_that_could_not_be_given_back_is_told(stage: Stage) -> None:
    stage.fail("release_lease", "forbidden")
    result = patch(stage)
    assert (result.outcome, result.error and result.error.code) == (ClusterOutcome.COMPLETED, "lease-left")
    shown = [ClusterProgress.model_validate(status).error for status in stage.statuses(INSTANCE)]
    assert result.error in shown, "it is told while it is tried again, too"


def test_a_budget_that_stays_spent_halts_the_cluster_and_says_by_whom(stage: Stage) -> None:
    stage.on("survey_cluster", always(surveyed("n1", "n2", not_ready=("n7",))))
    result = patch(stage, policy(reboot={"timeout": "5m"}))
    assert result.outcome is ClusterOutcome.HALTED
    assert result.error is not None
    assert (result.error.code, result.error.message.endswith(": n7")) == ("budget", True)
    assert reasons(result) == {"n1": "halted", "n2": "halted"}
    assert claimed(stage) == []
    assert stage.names[-1] == "release_lease"
    times = [call.at for call in stage.of("survey_cluster")]
    assert timedelta(minutes=4, seconds=45) <= times[-1] - times[0] <= timedelta(minutes=5, seconds=20)


@pytest.mark.parametrize(("tolerated", "patched"), [(0, 1), (1, 2), (2, 3)])
def test_more_failures_than_tolerated_halt_the_cluster_and_skip_the_rest(
    stage: Stage, tolerated: int, patched: int
) -> None:
    stage.on("survey_cluster", always(surveyed("n1", "n2", "n3", "n4")))
    stage.on("drain_pass", always(Seen(outcome=NodeOutcome.DRAIN_FAILED, reason="not-evictable: x")))
    result = patch(stage, policy(failure={"maxFailedNodes": tolerated}))
    assert (result.outcome, result.error and result.error.code) == (ClusterOutcome.HALTED, "too-many-failed")
    assert claimed(stage) == ["n1", "n2", "n3", "n4"][:patched]
    assert [end.outcome for end in result.nodes].count(NodeOutcome.SKIPPED) == 4 - patched
    assert set(reasons(result).values()) == {"halted"}
    assert [end.started for end in result.nodes] == [True] * patched + [False] * (4 - patched)


def test_failures_that_are_tolerated_leave_a_cluster_that_completed_with_failures(stage: Stage) -> None:
    stage.on("survey_cluster", always(surveyed("n1", "n2")))
    stage.fail("reboot_node", "forbidden", "n1")
    result = patch(stage)
    assert result.outcome is ClusterOutcome.COMPLETED_WITH_FAILURES
    assert outcomes(result) == {"n1": "reboot-failed", "n2": "rebooted"}
    assert result.error is None


def test_the_last_nodes_failure_halts_nothing(stage: Stage) -> None:
    stage.fail("reboot_node", "forbidden")
    assert patch(stage, policy(failure={"maxFailedNodes": 0})).outcome is ClusterOutcome.COMPLETED_WITH_FAILURES


def test_nodes_in_work_are_finished_after_a_halt(stage: Stage) -> None:
    stage.on("survey_cluster", always(surveyed("n1", "n2", "n3")))
    stage.fail("cordon_node", "forbidden", "n1")
    stage.on("look_for_boot", lambda call: BACK if len(stage.of("look_for_boot", call.node)) > 5 else NOT_BACK)
    result = patch(stage, policy(nodes={"maxUnavailable": 2}, failure={"maxFailedNodes": 0}))
    assert outcomes(result) == {"n1": "drain-failed", "n2": "rebooted", "n3": "skipped"}
    assert result.outcome is ClusterOutcome.HALTED


def test_a_dry_run_on_a_cluster_that_does_not_answer_is_unreachable(stage: Stage) -> None:
    stage.on("survey_cluster", in_turn(RuntimeError("no route to host")))
    assert patch(stage, dry_run=True).outcome is ClusterOutcome.UNREACHABLE
    assert set(stage.names) == {"survey_cluster"}


def test_a_cancel_starts_nothing_more_and_stops_the_nodes_that_can_be_stopped(stage: Stage) -> None:
    stage.on("survey_cluster", always(surveyed("n1", "n2", "n3")))
    stage.on("drain_pass", lambda call: Seen() if call.node == "n2" else Seen(done=True))
    stage.cancel_at("drain_pass", INSTANCE, nth=3)
    result = patch(stage)
    assert result.outcome is ClusterOutcome.CANCELLED
    assert outcomes(result) == {"n1": "rebooted", "n2": "cancelled", "n3": "cancelled"}
    assert reasons(result) == {"n3": "cancelled"}
    assert stage.of("release_node", "n2")
    assert stage.names[-1] == "release_lease"


def test_a_cancel_in_a_pause_is_heard_at_once(stage: Stage) -> None:
    stage.on("survey_cluster", always(surveyed("n1", "n2")))
    stage.cancel_at("release_node", INSTANCE)
    result = patch(stage, policy(nodes={"settle": "1h"}))
    assert outcomes(result) == {"n1": "rebooted", "n2": "cancelled"}
    assert stage.calls[-1].at - stage.of("release_node")[0].at < timedelta(minutes=1)


@pytest.mark.parametrize("nth", [19, 20, 21])
def test_a_cancel_around_a_continue_as_new_is_not_lost(stage: Stage, nth: int) -> None:
    stage.on("survey_cluster", always(surveyed(*(f"n{i:02}" for i in range(30)))))
    stage.cancel_at("release_node", INSTANCE, nth=nth)
    result = patch(stage)
    assert result.outcome is ClusterOutcome.CANCELLED
    ended = [end.outcome for end in result.nodes]
    assert (ended.count(NodeOutcome.REBOOTED), len(ended)) == (nth, 30)


def test_a_cancel_that_finds_all_nodes_done_leaves_a_completed_cluster(stage: Stage) -> None:
    stage.cancel_at("release_node", INSTANCE)
    assert patch(stage).outcome is ClusterOutcome.COMPLETED


def drain_until_cancelled(call: Call) -> Message:
    assert call.node
    return Seen()


def test_a_lost_lease_stops_the_nodes_and_is_no_cancel(stage: Stage) -> None:
    stage.on("survey_cluster", always(surveyed("n1", "n2")))
    stage.on("acquire_lease", in_turn(HELD, HELD, LOST))
    stage.on("drain_pass", drain_until_cancelled)
    result = patch(stage, policy(drain={"timeout": "1h"}))
    assert (result.outcome, result.error and result.error.code) == (ClusterOutcome.HALTED, "lease-lost")
    assert outcomes(result) == {"n1": "cancelled", "n2": "skipped"}
    assert stage.of("release_node", "n1")[-1].payload["outcome"] == "cancelled"
    assert stage.calls[-1].at - stage.calls[0].at < 2 * lease.RENEW_EVERY + timedelta(minutes=1)


def test_a_node_that_finds_the_lease_lost_before_the_renewal_does_halts_the_cluster(stage: Stage) -> None:
    stage.on("survey_cluster", always(surveyed("n1", "n2")))
    stage.on("recheck_node", always(Checked(outcome=NodeOutcome.CANCELLED, reason="lease-lost: x")))
    result = patch(stage)
    assert (result.outcome, result.error and result.error.code) == (ClusterOutcome.HALTED, "lease-lost")
    assert outcomes(result) == {"n1": "cancelled", "n2": "skipped"}


def test_a_cluster_that_cannot_be_surveyed_after_a_continue_as_new_reports_every_node(stage: Stage) -> None:
    names = tuple(f"n{i:02}" for i in range(30))
    found = surveyed(*names)
    gone = Failure(code="invalid", message="no")
    stage.on("survey_cluster", lambda _: gone if len(stage.of("claim_node")) >= 20 else found)
    result = patch(stage)
    assert (result.outcome, result.error and result.error.code) == (ClusterOutcome.HALTED, "invalid")
    assert sorted(outcomes(result)) == list(names)
    assert stage.names[-1] == "release_lease"


def test_a_node_on_which_something_was_left_uses_up_the_budget(stage: Stage) -> None:
    stage.on("survey_cluster", always(surveyed("n1", "n2")))
    stage.on("release_node", always(Released(left=("the reboot pod",))))
    result = patch(stage, policy(failure={"maxFailedNodes": 5}, reboot={"timeout": "2m"}))
    assert (result.outcome, result.error and result.error.code) == (ClusterOutcome.HALTED, "budget")
    assert outcomes(result) == {"n1": "rebooted", "n2": "skipped"}


def test_an_outage_of_the_renewal_stops_nothing(stage: Stage) -> None:
    stage.on("acquire_lease", in_turn(HELD, *[RuntimeError("no route to host")] * 5, HELD))
    stage.on("look_for_boot", lambda _: BACK if len(stage.of("acquire_lease")) > 7 else NOT_BACK)
    assert patch(stage).outcome is ClusterOutcome.COMPLETED
    assert len(stage.of("acquire_lease")) == 1 + 5 + 2


def test_a_cluster_that_cannot_be_surveyed_again_stops_starting(stage: Stage) -> None:
    found = surveyed("n1", "n2")
    stage.on("survey_cluster", in_turn(found, Failure(code="forbidden", message="no")))
    result = patch(stage)
    assert (result.outcome, result.error and result.error.code) == (ClusterOutcome.HALTED, "forbidden")
    assert outcomes(result) == {"n1": "rebooted", "n2": "skipped"}
    assert stage.names[-1] == "release_lease"


def test_a_node_whose_patch_breaks_off_halts_the_cluster(stage: Stage) -> None:
    stage.on("survey_cluster", always(surveyed("n1", "n2")))

    def broken(call: Call) -> Message:
        stage.backend.terminate(ids.node_instance(RUN, CLUSTER.name, call.node), None, recursive=True)
        return Released()

    stage.on("cordon_node", broken)
    result = patch(stage, GOES_ON)
    assert (result.outcome, result.error and result.error.code) == (ClusterOutcome.HALTED, "internal")
    assert outcomes(result) == {"n1": "not-ready", "n2": "skipped"}
    assert reasons(result)["n1"] == "internal"
