"""A run: its clusters side by side, and how it ends."""

from __future__ import annotations

from midwatch.domain import ids
from midwatch.domain.base import Message
from midwatch.domain.clusters import ClusterRef
from midwatch.domain.outcomes import ClusterOutcome, RunOutcome
from midwatch.domain.policy import Policy
from midwatch.domain.runs import ClusterResult, FleetRequest, FleetResult, Trigger
from midwatch.domain.steps import LeaseHeld, Seen
from tests.unit.orchestrators.orchestration_kit import RUN, Call, Stage, always, policy, surveyed

ABC = ("kind-a", "kind-b", "kind-c")


def request(*clusters: str, rules: Policy | None = None, dry_run: bool = False) -> FleetRequest:
    return FleetRequest(
        run=RUN,
        trigger=Trigger.CLI,
        requested_by="me",
        reason=None,
        dry_run=dry_run,
        clusters=tuple(ClusterRef(name=name, context=name) for name in clusters),
        nodes=("n1", "n2"),
        policy=rules or policy(),
    )


def patch(stage: Stage, asked: FleetRequest) -> FleetResult:
    return FleetResult.from_wire(stage.run("patch_fleet", RUN, asked))


def endings(result: FleetResult) -> dict[str, str]:
    return {end.name: end.outcome for end in result.clusters}


def of(stage: Stage, cluster: str) -> list[str]:
    return [call.activity for call in stage.calls if call.cluster == cluster]


def test_three_clusters_are_patched_side_by_side(stage: Stage) -> None:
    result = patch(stage, request(*ABC))
    assert result.outcome is RunOutcome.COMPLETED
    assert list(endings(result).items()) == [(name, "completed") for name in ABC]
    last_start = max(stage.names.index("claim_node"), *(i for i, n in enumerate(stage.names) if n == "claim_node"))
    assert last_start < stage.names.index("release_node")
    assert of(stage, "kind-a") == of(stage, "kind-b") == of(stage, "kind-c")


def test_a_cluster_that_does_not_answer_does_not_stop_the_others(stage: Stage) -> None:
    def lease(call: Call) -> Message:
        if call.cluster == "kind-b":
            raise RuntimeError("no route to host")
        return LeaseHeld(held=True, holder=RUN)

    stage.on("acquire_lease", lease)
    result = patch(stage, request(*ABC))
    assert result.outcome is RunOutcome.COMPLETED_WITH_FAILURES
    assert endings(result) == {"kind-a": "completed", "kind-b": "unreachable", "kind-c": "completed"}
    error = result.clusters[1].error
    assert error is not None
    assert error.message == "no route to host"


def test_a_cluster_that_breaks_off_is_halted_and_does_not_stop_the_others(stage: Stage) -> None:
    def survey(call: Call) -> Message:
        if call.cluster == "kind-b":
            stage.backend.terminate(ids.cluster_instance(RUN, "kind-b"), None, recursive=True)
        return surveyed("n1")

    stage.on("survey_cluster", survey)
    result = patch(stage, request(*ABC))
    assert (result.outcome, endings(result)["kind-b"]) == (RunOutcome.HALTED, "halted")
    assert endings(result)["kind-c"] == "completed"
    assert (result.clusters[1].error and result.clusters[1].error.code) == "internal"


def test_at_most_ten_clusters_are_in_work_and_the_report_keeps_the_order(stage: Stage) -> None:
    names = [f"kind-{i:02}" for i in range(23)]
    in_work: set[str] = set()
    most = 0

    def acquire(call: Call) -> Message:
        nonlocal most
        in_work.add(call.cluster)
        most = max(most, len(in_work))
        return LeaseHeld(held=True, holder=RUN)

    def release(call: Call) -> Message:
        in_work.discard(call.cluster)
        return LeaseHeld(held=False, holder="")

    stage.on("acquire_lease", acquire)
    stage.on("release_lease", release)
    stage.on("survey_cluster", always(surveyed()))
    result = patch(stage, request(*names))
    assert (list(endings(result)), most, in_work) == (names, 10, set())
    assert result.outcome is RunOutcome.NOTHING_TO_DO


def test_a_cancel_reaches_the_nodes_of_every_cluster_and_starts_no_other(stage: Stage) -> None:
    names = [f"kind-{i:02}" for i in range(12)]
    stage.on("drain_pass", always(Seen()))
    stage.cancel_at("drain_pass", RUN, nth=25)
    result = patch(stage, request(*names))
    assert result.outcome is RunOutcome.CANCELLED
    assert set(endings(result).values()) == {"cancelled"}
    for name in names[:10]:
        assert of(stage, name)[-2:] == ["release_node", "release_lease"]
    assert {call.cluster for call in stage.calls} == set(names[:10])
    assert "reboot_node" not in stage.names


def test_a_cancel_after_the_reboot_lets_the_nodes_come_back(stage: Stage) -> None:
    stage.cancel_at("look_for_boot", RUN)
    result = patch(stage, request("kind-a"))
    assert (result.outcome, endings(result)) == (RunOutcome.COMPLETED, {"kind-a": "completed"})
    assert stage.names[-2:] == ["release_node", "release_lease"]


def test_a_dry_run_looks_at_every_cluster_and_touches_none(stage: Stage) -> None:
    result = patch(stage, request(*ABC, dry_run=True))
    assert result.outcome is RunOutcome.NOTHING_TO_DO
    assert stage.names == ["survey_cluster"] * 3


def test_a_run_without_clusters_has_nothing_to_do(stage: Stage) -> None:
    assert patch(stage, request()) == FleetResult(outcome=RunOutcome.NOTHING_TO_DO, clusters=())


def test_the_frozen_policy_and_the_nodes_asked_for_reach_every_step(stage: Stage) -> None:
    rules = policy(drain={"gracePeriod": "7s"})
    patch(stage, request("kind-a", rules=rules))
    assert stage.of("survey_cluster")[0].payload["nodes"] == ["n1", "n2"]
    for activity in ("survey_cluster", "claim_node", "drain_pass", "look_for_proof", "release_node"):
        assert Policy.model_validate(stage.of(activity)[0].payload["policy"]) == rules


def test_each_cluster_is_found_under_its_own_instance(stage: Stage) -> None:
    patch(stage, request("kind-a", "arn:aws:eks:eu:1:cluster/shop"))
    for name in ("kind-a", "arn:aws:eks:eu:1:cluster/shop"):
        state = stage.backend.state(ids.cluster_instance(RUN, name), payloads=True)
        assert state is not None
        assert ClusterResult.model_validate_json(state.output.value).outcome is ClusterOutcome.COMPLETED
