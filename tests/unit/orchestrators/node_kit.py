"""What the tests of a node share."""

from __future__ import annotations

from midwatch.domain import ids
from midwatch.domain.eviction import Waiting
from midwatch.domain.policy import Policy
from midwatch.domain.runs import NodeRequest, NodeResult
from midwatch.domain.steps import Seen
from tests.unit.orchestrators.orchestration_kit import CLUSTER, RUN, Stage, policy

INSTANCE = ids.node_instance(RUN, CLUSTER.name, "n1")
CHAIN = [
    "claim_node", "cordon_node", "drain_pass", "recheck_node", "reboot_node", "look_for_boot", "look_for_proof",
    "release_node",
]  # fmt: skip
CART = Waiting(kind="Pod", namespace="shop", name="cart-1", because="budget: PodDisruptionBudget shop/cart")
NEED = Waiting(kind="Condition", namespace=None, name="RebootRequired", because="still-set: RebootRequired is True")
STUCK = Seen(left=(CART,))


def patch(stage: Stage, rules: Policy | None = None) -> NodeResult:
    request = NodeRequest(run=RUN, cluster=CLUSTER, node="n1", pool="pool1", zone="1", policy=rules or policy())
    return NodeResult.from_wire(stage.run("patch_node", INSTANCE, request))


def released(stage: Stage) -> tuple[object, object, object]:
    """What the last release was told: outcome, whose claim, whether to keep the cordon."""
    payload = stage.of("release_node")[-1].payload
    return payload["outcome"], payload["claimedBy"], payload["keepCordoned"]
