"""One cluster: its lease, its budget, and the order of its nodes."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from midwatch.domain import lease
from midwatch.domain.eviction import CONDITION, Waiting
from midwatch.domain.outcomes import ClusterOutcome, NodeOutcome
from midwatch.domain.steps import Claimed, Failure, Seen, Skipped
from tests.unit.orchestrators.cluster_kit import (
    GOES_ON,
    INSTANCE,
    LEFT_CLAIMED,
    LOST,
    claimed,
    most_at_once,
    outcomes,
    patch,
    reasons,
)
from tests.unit.orchestrators.orchestration_kit import BACK, NOT_BACK, RUN, Stage, always, in_turn, policy, surveyed


def test_nodes_are_patched_one_after_the_other_under_the_lease(stage: Stage) -> None:
    stage.on("survey_cluster", always(surveyed("n1", "n2", "n3")))
    result = patch(stage)
    assert (result.outcome, result.error) == (ClusterOutcome.COMPLETED, None)
    assert outcomes(result) == {"n1": "rebooted", "n2": "rebooted", "n3": "rebooted"}
    assert all(end.started for end in result.nodes)
    assert (stage.names[0], stage.names[-1]) == ("acquire_lease", "release_lease")
    assert (claimed(stage), most_at_once(stage)) == (["n1", "n2", "n3"], 1)


def test_a_cluster_without_candidates_has_nothing_to_do_and_names_what_it_skipped(stage: Stage) -> None:
    skipped = Skipped(name="n9", pool="pool1", zone="1", reason="cordoned: somebody else cordoned the node")
    stage.on("survey_cluster", always(surveyed().model_copy(update={"skipped": (skipped,)})))
    result = patch(stage)
    assert (result.outcome, outcomes(result)) == (ClusterOutcome.NOTHING_TO_DO, {"n9": "skipped"})
    assert reasons(result) == {"n9": "cordoned"}
    assert stage.names == ["acquire_lease", "survey_cluster", "release_lease"]


def test_a_cluster_whose_lease_another_run_holds_is_busy_and_untouched(stage: Stage) -> None:
    stage.on("acquire_lease", always(LOST))
    result = patch(stage)
    assert result.outcome is ClusterOutcome.BUSY
    assert result.error == Failure(code="busy", message=f"{LOST.holder} holds the lease of this cluster")
    assert stage.names == ["acquire_lease"]


def test_as_many_nodes_at_once_as_the_budget_allows_and_no_more(stage: Stage) -> None:
    stage.on("survey_cluster", always(surveyed(*(f"n{i}" for i in range(8)), total=30)))
    stage.on("look_for_boot", lambda call: BACK if len(stage.of("look_for_boot", call.node)) > 2 else NOT_BACK)
    result = patch(stage, policy(nodes={"maxUnavailable": "10%"}))
    assert (len(outcomes(result)), most_at_once(stage)) == (8, 3)


def test_a_node_that_is_not_ready_spends_the_budget_until_it_is_back(stage: Stage) -> None:
    spent = surveyed("n1", not_ready=("n7",))
    stage.on("survey_cluster", in_turn(spent, spent, spent, surveyed("n1")))
    result = patch(stage)
    assert result.outcome is ClusterOutcome.COMPLETED
    times = [call.at for call in stage.of("survey_cluster")]
    assert [round((b - a).total_seconds()) for a, b in pairwise(times)] == [15, 15, 15]
    assert stage.of("claim_node")[0].at >= times[3]


def test_after_a_node_the_next_waits_for_as_long_as_the_policy_says(stage: Stage) -> None:
    stage.on("survey_cluster", always(surveyed("n1", "n2", "n3")))
    patch(stage, policy(nodes={"settle": "5m"}))
    starts = [call.at for call in stage.of("claim_node")]
    ends = [call.at for call in stage.of("release_node")]
    waits = [start - end for end, start in zip(ends, starts[1:], strict=False)]
    assert all(timedelta(minutes=4, seconds=59) <= wait < timedelta(minutes=5, seconds=5) for wait in waits)
    assert stage.calls[-1].at - ends[-1] < timedelta(seconds=30)


def test_a_node_that_was_not_touched_makes_nobody_wait(stage: Stage) -> None:
    stage.on("survey_cluster", always(surveyed("n1", "n2")))
    stage.on("claim_node", always(Claimed(outcome=NodeOutcome.SKIPPED, reason="cordoned: somebody else did")))
    result = patch(stage, policy(nodes={"settle": "5m"}))
    assert result.outcome is ClusterOutcome.NOTHING_TO_DO
    first, second = stage.of("claim_node")
    assert second.at - first.at < timedelta(seconds=30)


def test_a_dry_run_takes_no_lease_and_starts_nothing(stage: Stage) -> None:
    skipped = Skipped(name="n9", pool=None, zone=None, reason="windows: no")
    found = surveyed("n1", "n2").model_copy(update={"skipped": (skipped,), "abandoned": (LEFT_CLAIMED,)})
    stage.on("survey_cluster", always(found))
    result = patch(stage, dry_run=True)
    assert stage.names == ["survey_cluster"]
    assert result.outcome is ClusterOutcome.NOTHING_TO_DO
    assert reasons(result) == {"n1": "dry-run", "n2": "dry-run", "n9": "windows"}


def test_what_a_dead_run_left_is_put_back_in_its_name(stage: Stage) -> None:
    stage.on("survey_cluster", always(surveyed("n1").model_copy(update={"abandoned": (LEFT_CLAIMED,)})))
    result = patch(stage)
    first = stage.of("release_node")[0]
    assert (first.node, first.payload["claimedBy"], first.payload["run"]) == ("n5", "dead", RUN)
    assert first.at <= stage.of("claim_node")[0].at
    assert (outcomes(result)["n5"], reasons(result)["n5"]) == ("skipped", "released")


def test_a_node_that_was_put_back_and_still_asks_is_patched(stage: Stage) -> None:
    left = surveyed("n5").model_copy(update={"abandoned": (LEFT_CLAIMED,)})
    stage.on("survey_cluster", in_turn(left, surveyed("n5")))
    assert outcomes(patch(stage)) == {"n5": "rebooted"}
    assert [call.payload["claimedBy"] for call in stage.of("release_node")] == ["dead", RUN]


def test_what_cannot_be_put_back_is_told_and_the_rest_goes_on(stage: Stage) -> None:
    stage.on("survey_cluster", always(surveyed("n1").model_copy(update={"abandoned": (LEFT_CLAIMED,)})))
    stage.fail("release_node", "invalid", "n5")
    result = patch(stage)
    assert (outcomes(result), reasons(result)["n5"]) == ({"n5": "skipped", "n1": "rebooted"}, "abandoned")


def test_forty_five_nodes_continue_as_new_and_every_result_is_kept(stage: Stage) -> None:
    names = tuple(f"n{i:02}" for i in range(45))
    stage.on("survey_cluster", always(surveyed(*names)))
    stage.fail("cordon_node", "invalid", "n03", "n21", "n44")
    result = patch(stage, GOES_ON)
    failed = {"n03", "n21", "n44"}
    assert outcomes(result) == {name: "drain-failed" if name in failed else "rebooted" for name in names}
    assert result.outcome is ClusterOutcome.COMPLETED_WITH_FAILURES
    assert (claimed(stage), most_at_once(stage)) == (list(names), 1)
    counts = stage.backend.history(INSTANCE)
    assert (counts.executions, counts.current_events < 500) == (3, True)
    assert (len(stage.of("acquire_lease")), len(stage.of("release_lease"))) == (1, 1)


def test_failures_before_and_after_a_continue_as_new_are_counted_together(stage: Stage) -> None:
    names = tuple(f"n{i:02}" for i in range(30))
    stage.on("survey_cluster", always(surveyed(*names)))
    stage.fail("cordon_node", "invalid", "n03", "n21")
    result = patch(stage)
    assert result.outcome is ClusterOutcome.HALTED
    assert claimed(stage) == list(names[:22])
    assert len(result.nodes) == 30


def test_the_pause_after_a_node_survives_a_continue_as_new(stage: Stage) -> None:
    stage.on("survey_cluster", always(surveyed(*(f"n{i:02}" for i in range(22)))))
    patch(stage, policy(nodes={"settle": "70s"}))
    starts = [call.at for call in stage.of("claim_node")]
    assert all(b - a >= timedelta(seconds=69) for a, b in pairwise(starts))
    assert stage.backend.history(INSTANCE).executions == 2


def test_a_lease_is_renewed_while_nodes_are_in_work(stage: Stage) -> None:
    stage.on("look_for_boot", always(NOT_BACK))
    patch(stage, policy(reboot={"timeout": "15m"}))
    times = [call.at for call in stage.of("acquire_lease")]
    assert len(times) >= 5
    assert all(b - a < lease.RENEW_EVERY + timedelta(seconds=10) for a, b in pairwise(times))


def test_a_long_step_keeps_the_history_of_its_cluster_short(stage: Stage) -> None:
    stage.on("look_for_boot", always(NOT_BACK))
    patch(stage, policy(reboot={"timeout": "30m"}))
    start_and_end, most_of_a_night = 40, 2000
    assert stage.backend.history(INSTANCE).current_events < start_and_end + most_of_a_night / 24  # a step: 12 h at most


def test_a_node_whose_need_went_away_meanwhile_is_not_mentioned(stage: Stage) -> None:
    stage.on("survey_cluster", in_turn(surveyed("n1", "n2"), surveyed("n1")))
    assert outcomes(patch(stage)) == {"n1": "rebooted"}


def test_a_node_that_was_patched_is_not_patched_again_though_it_still_asks(stage: Stage) -> None:
    asks = Waiting(kind=CONDITION, namespace=None, name="n1", because="still-set: RebootRequired is True")
    stage.on("look_for_proof", always(Seen(left=(asks,))))
    assert outcomes(patch(stage, GOES_ON)) == {"n1": "still-required"}
    assert claimed(stage) == ["n1"]


def test_the_caller_may_name_nodes_and_the_survey_is_told(stage: Stage) -> None:
    patch(stage, nodes=("n1",))
    assert all(call.payload["nodes"] == ["n1"] for call in stage.of("survey_cluster"))
