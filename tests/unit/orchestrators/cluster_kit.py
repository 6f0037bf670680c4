"""What the tests of a cluster share."""

from __future__ import annotations

from midwatch.domain import ids
from midwatch.domain.policy import Policy
from midwatch.domain.runs import ClusterRequest, ClusterResult
from midwatch.domain.steps import Abandoned, LeaseHeld
from tests.unit.orchestrators.orchestration_kit import CLUSTER, RUN, Stage, policy

INSTANCE = ids.cluster_instance(RUN, CLUSTER.name)
LOST = LeaseHeld(held=False, holder="20261124-040000-other1")
HELD = LeaseHeld(held=True, holder=RUN)
LEFT_CLAIMED = Abandoned(name="n5", run="dead")
GOES_ON = policy(failure={"maxFailedNodes": 50})


def patch(stage: Stage, rules: Policy | None = None, **fields: object) -> ClusterResult:
    request = ClusterRequest.model_validate(
        {"run": RUN, "cluster": CLUSTER, "policy": rules or policy(), "dry_run": False, **fields}
    )
    return ClusterResult.from_wire(stage.run("patch_cluster", INSTANCE, request))


def outcomes(result: ClusterResult) -> dict[str, str]:
    return {end.name: end.outcome for end in result.nodes}


def reasons(result: ClusterResult) -> dict[str, str]:
    return {end.name: (end.reason or "").split(":")[0] for end in result.nodes if end.reason}


def most_at_once(stage: Stage) -> int:
    """The most nodes that were held at one moment, from claim to release."""
    held: set[str] = set()
    most = 0
    for call in stage.calls:
        if call.activity == "claim_node":
            held.add(call.node)
        elif call.activity == "release_node":
            held.discard(call.node)
        most = max(most, len(held))
    return most


def claimed(stage: Stage) -> list[str]:
    return [call.node for call in stage.of("claim_node")]
