"""`drain_by_hand` and `uncordon_by_hand`: lease, claim, passes, report; and what a refusal leaves."""

from __future__ import annotations

from datetime import timedelta

from midwatch.domain import ids, lease
from midwatch.domain.by_hand import (
    DrainedPod,
    DrainOutcome,
    GivenBack,
    HandAction,
    HandRequest,
    HandResult,
    PodResult,
    Previewed,
    Reported,
)
from midwatch.domain.draining import Drained
from midwatch.domain.outcomes import NodeOutcome
from midwatch.domain.pods import PodVerdict
from midwatch.domain.policy import Policy
from midwatch.domain.steps import Claimed, LeaseHeld
from tests.unit.orchestrators.node_kit import CART
from tests.unit.orchestrators.orchestration_kit import CLUSTER, Stage, always, in_turn, policy

ID = "20261124-040000-hand01"
INSTANCE = ids.hand_instance(ID)
POD = DrainedPod(
    namespace="shop", name="cart-1", verdict=PodVerdict.EVICT, reason="managed", result=None, because=None
)  # fmt: skip
ONE = Previewed(pods=(POD,), uids=("u1",))
CHAIN = [
    "acquire_lease",
    "claim_by_hand",
    "cordon_node",
    "preview_drain",
    "drain_pass",
    "report_drain",
    "release_lease",
]


def hand(
    stage: Stage, name: str = "drain_by_hand", rules: Policy | None = None, *, dry_run: bool = False
) -> HandResult:
    request = HandRequest(
        id=ID, action=HandAction.DRAIN, cluster=CLUSTER, node="n1", policy=rules or policy(), dry_run=dry_run
    )
    return HandResult.from_wire(stage.run(name, INSTANCE, request))


def test_a_drain_takes_each_step_once_and_leaves_the_node_claimed(stage: Stage) -> None:
    stage.on("preview_drain", always(ONE))
    result = hand(stage)
    assert stage.names == CHAIN
    assert (result.outcome, result.error, result.cancelled) == (DrainOutcome.DRAINED, None, False)
    assert [pod.result for pod in result.pods] == [PodResult.GONE]
    assert {call.payload["run"] for call in stage.calls} == {ID}


def test_a_cluster_that_is_busy_is_not_touched(stage: Stage) -> None:
    stage.on("acquire_lease", always(LeaseHeld(held=False, holder="a-run")))
    result = hand(stage)
    assert result.error is not None
    assert (result.error.code, "a-run" in result.error.message) == ("busy", True)
    assert stage.names == ["acquire_lease"]


def test_a_dry_run_only_looks_and_takes_no_lease(stage: Stage) -> None:
    stage.on("preview_drain", always(ONE))
    result = hand(stage, dry_run=True)
    assert stage.names == ["preview_drain"]
    assert stage.of("preview_drain")[0].payload["ask"] is True
    assert (result.outcome, [pod.result for pod in result.pods]) == (None, [None])


def test_pods_that_are_left_are_named_with_what_keeps_them(stage: Stage) -> None:
    stage.on("preview_drain", always(ONE))
    stage.on("drain_pass", always(Drained(left=(CART,))))
    stage.on("report_drain", always(Reported(left=frozenset({"u1"}))))
    result = hand(stage, rules=policy(drain={"timeout": "1m"}))
    assert result.outcome is DrainOutcome.DRAIN_FAILED
    assert [(pod.result, pod.because) for pod in result.pods] == [(PodResult.LEFT, CART.because)]
    assert stage.names[-1] == "release_lease"


def test_the_lease_is_renewed_through_a_long_drain(stage: Stage) -> None:
    stage.on("drain_pass", always(Drained(left=(CART,))))
    hand(stage, rules=policy(drain={"timeout": "10m"}))
    times = [call.at for call in stage.of("acquire_lease")]
    assert len(times) >= 4
    assert times[-1] - times[0] >= timedelta(minutes=8)


def test_a_lost_lease_stops_the_drain(stage: Stage) -> None:
    held = LeaseHeld(held=True, holder=ID)
    stage.on("acquire_lease", in_turn(held, LeaseHeld(held=False, holder="other")))
    stage.on("drain_pass", always(Drained(left=(CART,))))
    result = hand(stage, rules=policy(drain={"timeout": "10m"}))
    assert (result.cancelled, result.error and result.error.code) == (False, lease.LOST)
    assert stage.of("drain_pass")[-1].at - stage.of("drain_pass")[0].at < lease.RENEW_EVERY + timedelta(minutes=1)


def test_a_cancel_ends_the_passes_and_leaves_the_node_as_kubectl_would(stage: Stage) -> None:
    stage.on("preview_drain", always(ONE))
    stage.on("drain_pass", always(Drained(left=(CART,))))
    stage.on("report_drain", always(Reported(left=frozenset({"u1"}))))
    stage.cancel_at("drain_pass", INSTANCE, nth=3)
    result = hand(stage)
    assert (result.cancelled, result.outcome) == (True, None)
    assert stage.names[-2:] == ["report_drain", "release_lease"]
    assert "release_node" not in stage.names


def test_a_step_that_is_refused_gives_the_lease_back(stage: Stage) -> None:
    stage.fail("cordon_node", "invalid")
    result = hand(stage)
    assert result.error is not None
    assert stage.names == ["acquire_lease", "claim_by_hand", "cordon_node", "release_lease"]


def test_a_node_that_is_gone_fails_the_drain(stage: Stage) -> None:
    stage.on("claim_by_hand", always(Claimed(outcome=NodeOutcome.GONE, reason="gone: x")))
    result = hand(stage)
    assert (result.outcome, result.reason) == (DrainOutcome.DRAIN_FAILED, "gone: x")


def test_an_uncordon_gives_back_under_the_lease(stage: Stage) -> None:
    result = hand(stage, "uncordon_by_hand")
    assert stage.names == ["acquire_lease", "give_back", "release_lease"]
    assert (result.error, result.reason) == (None, "released: uncordoned")


def test_an_uncordon_of_somebody_elses_cordon_is_refused(stage: Stage) -> None:
    stage.on("give_back", always(GivenBack(ours=False, reason="not-ours: x")))
    result = hand(stage, "uncordon_by_hand")
    assert result.error is not None
    assert result.error.code == "not-ours"
