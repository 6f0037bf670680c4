"""From a plan to a simulated cluster, and what others do to it meanwhile."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import yaml

from midwatch.simulator import NodeSpec, SimulatedCluster, SimulatedFleet, read_rules
from tests.kit.api import MERGE_PATCH, ApiError
from tests.simulator.simulator_kit import api_of
from tests.soak.cases import DEAD_RUN, Act, ClusterPlan, Doubt, NodePlan, Strike
from tests.soak.hosting import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kit.api import Api, JsonObject

LEASES = "/apis/coordination.k8s.io/v1/namespaces/midwatch/leases"
_ROLES = ("clusterrole.yaml", "role.yaml", "events-role.yaml")
_STALE = timedelta(minutes=30)
_LONG_AGO = timedelta(hours=5)


class Staged:
    """A cluster with its plan, and an administrator's client of it."""

    def __init__(self, fleet: SimulatedFleet, plan: ClusterPlan, folder: Path) -> None:
        specs = [NodeSpec(n.name, pool=n.pool, zone=n.zone, os=n.os) for n in plan.nodes]
        self.plan = plan
        [self.cluster] = fleet.create(plan.name, nodes=specs)
        self.api: Api = api_of(self.cluster, folder)
        _grant(self.cluster)
        self.cluster.deploy(*plan.workloads)
        for node in plan.bare:
            self.cluster.create(_bare_pod(node))
        for number, planned in enumerate(plan.nodes):
            self._prepare(number, planned)
        fleet.quiesce()
        for planned in plan.nodes:
            self._doubt(planned)
        if plan.holder:
            self.hold_lease(plan.holder, age=_LONG_AGO if plan.holder == DEAD_RUN else timedelta(0))
        for fault in plan.faults:
            self.cluster.add_fault(fault)

    def hold_lease(self, holder: str, *, age: timedelta = timedelta(0)) -> None:
        """Have somebody hold the lease, since it was renewed `age` ago."""
        renewed = (datetime.now(UTC) - age).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec: JsonObject = {"holderIdentity": holder, "leaseDurationSeconds": 600, "renewTime": renewed}
        lease: JsonObject = {"metadata": {"name": "midwatch", "namespace": "midwatch"}, "spec": spec}
        self.api.create(LEASES, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **lease})
        self.api.patch(f"{LEASES}/midwatch", {"spec": spec}, MERGE_PATCH)

    def strike(self, strike: Strike) -> None:
        """Do what others do; what is not there any more is left alone."""
        with suppress(ApiError, KeyError):
            self._strike(strike)

    def _strike(self, strike: Strike) -> None:
        match strike.act:
            case Act.CORDON | Act.UNCORDON:
                body: JsonObject = {"spec": {"unschedulable": True if strike.act is Act.CORDON else None}}
                self.api.patch(f"/api/v1/nodes/{strike.node}", body, MERGE_PATCH)
            case Act.POWER_OFF:
                self.cluster.power_off(strike.node)
            case Act.DELETE_NODE:
                self.api.delete(f"/api/v1/nodes/{strike.node}")
            case Act.STEAL_LEASE:
                self.hold_lease("somebody-else")
            case Act.DROP_WATCHES:
                self.cluster.drop_watches()
            case Act.KILL | Act.CANCEL:
                raise ValueError(f"{strike.act} is not done to a cluster")

    def _prepare(self, number: int, node: NodePlan) -> None:
        if node.needs:
            self.cluster.require_reboot(node.name, "linux-image", age=timedelta(minutes=number * 7 % 50))
        if node.off:
            self.cluster.behave(node.name, returns=False)
            self.cluster.power_off(node.name)
        else:
            self.cluster.set_behaviour(node.name, node.behaviour)
        if node.human:
            self.cluster.cordon(node.name)
        if node.claimed:
            self._claim(node.name)

    def _claim(self, node: str) -> None:
        """As a run leaves it that was killed in mid-drain."""
        notes: JsonObject = {
            "midwatch.dev/run": DEAD_RUN,
            "midwatch.dev/boot-id": self.cluster.machines[node].boot_id,
            "midwatch.dev/was-unschedulable": "false",
            "midwatch.dev/phase": "cordon",
        }
        body: JsonObject = {"metadata": {"annotations": notes}, "spec": {"unschedulable": True}}
        self.api.patch(f"/api/v1/nodes/{node}", body, MERGE_PATCH)

    def _doubt(self, node: NodePlan) -> None:
        match node.doubt:
            case Doubt.ABSENT:
                self.cluster.set_condition(node.name, "RebootRequired", None)
            case Doubt.UNKNOWN:
                self.cluster.set_condition(node.name, "RebootRequired", "Unknown")
            case Doubt.STALE:
                self.cluster.set_condition(node.name, "RebootRequired", "True", age=_STALE)
            case None:
                pass


def _grant(cluster: SimulatedCluster) -> None:
    """Midwatch may do what `deploy/rbac` lets it do."""
    documents: list[JsonObject] = []
    for name in _ROLES:
        documents += yaml.safe_load_all((ROOT / "deploy" / "rbac" / name).read_text())
    cluster.create_namespace("midwatch")
    cluster.restrict("midwatch", read_rules(documents))


def _bare_pod(node: str) -> JsonObject:
    spec: JsonObject = {"nodeName": node, "containers": [{"name": "main", "image": "registry.invalid/pause:3"}]}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"bare-{node}", "namespace": "default"}, "spec": spec,
    }  # fmt: skip
