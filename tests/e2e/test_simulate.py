"""`midwatch simulate` on a copy of a real cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.midwatch import Midwatch, call, objects, require_reboot

if TYPE_CHECKING:
    from tests.kit.cluster import Cluster
    from tests.kit.fleet import Fleet

_QUICK = ("--boot-time", "20s", "--detector-time", "1s", "--speed", "30", "--output", "json")


def _state(cluster: Cluster) -> list[object]:
    """What a simulation must not change. The cluster's own heartbeats go on."""
    nodes = [(n.metadata.name, n.metadata.annotations, n.spec.unschedulable) for n in cluster.nodes()]
    return [*nodes, *sorted((p.metadata.namespace, p.metadata.name, p.metadata.uid) for p in cluster.pods())]


def test_a_simulation_of_a_real_cluster_predicts_its_run_and_changes_nothing(fleet: Fleet) -> None:
    [blue] = fleet.create("blue", nodes=4)
    blue.deploy_daemons("agent")
    blue.deploy("shop", 4, min_available=3)
    blue.deploy("ledger", 1, min_available=1)
    require_reboot(blue, *blue.machines)
    midwatch = Midwatch(fleet, drain={"timeout": "10m", "misconfiguredTimeout": "5s"}, reboot={"timeout": "10m"})
    before = _state(blue)

    admin = ["--kubeconfig", str(fleet.kubeconfig("admin")), "--policy", str(midwatch.policy)]
    done = call("simulate", "--like", "blue", *admin, *_QUICK, seconds=150)

    assert done.stdout, done.stderr
    predicted = {str(node["name"]): node["outcome"] for node in objects(done.json["nodes"])}
    assert _state(blue) == before
    assert predicted == midwatch.patch().outcomes
    assert sorted(map(str, predicted.values())) == ["drain-failed", "rebooted", "rebooted", "rebooted"]
    assert {one["namespace"] for one in objects(done.json["blocking"])} == {"default"}
