"""Midwatch itself, in a process of its own, against simulated clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from midwatch.simulator import SimulatedCluster, SimulatedFleet, Workload, read_rules
from tests.e2e.midwatch import ROOT, Run, call
from tests.kit.objects import Node, Pod
from tests.simulator.simulator_kit import Watchman

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kit.api import JsonObject

_POLICY: dict[str, object] = {
    "apiVersion": "midwatch/v1",
    "nodes": {"settle": "0s"},
    "drain": {"timeout": "30s"},
    "reboot": {"timeout": "30s"},
    "verify": {"stableFor": "0s", "conditionClears": "30s"},
}
_ROLES = ("clusterrole.yaml", "role.yaml", "events-role.yaml")


def _shipped_rights(cluster: SimulatedCluster) -> None:
    """Midwatch may do what `deploy/rbac` lets it do, and nothing else."""
    documents: list[JsonObject] = []
    for name in _ROLES:
        documents += yaml.safe_load_all((ROOT / "deploy" / "rbac" / name).read_text())
    cluster.create_namespace("midwatch")
    cluster.restrict("midwatch", read_rules(documents))


def _leftovers(cluster: SimulatedCluster) -> list[str]:
    nodes = [Node.model_validate(doc) for doc in cluster.objects("v1", "Node")]
    found = [f"{n.metadata.name} cordoned" for n in nodes if n.spec.unschedulable]
    found += [f"{n.metadata.name} {key}" for n in nodes for key in n.metadata.annotations if "midwatch" in key]
    found += [Pod.model_validate(doc).metadata.name for doc in cluster.objects("v1", "Pod", "midwatch")]
    for lease in cluster.objects("coordination.k8s.io/v1", "Lease", "midwatch"):
        spec = lease["spec"]
        assert isinstance(spec, dict)
        found += [f"lease of {spec['holderIdentity']}"] if spec["holderIdentity"] else []
    return found


def _run(fleet: SimulatedFleet, folder: Path) -> Run:
    policy = folder / "policy.yaml"
    policy.write_text(yaml.safe_dump({**_POLICY, "clusters": [{"kubeconfig": {"context": n}} for n in fleet.clusters]}))
    kubeconfig = fleet.kubeconfig(folder / "kubeconfig", "midwatch")
    state = folder / "state"
    flags = ["--kubeconfig", str(kubeconfig), "--policy", str(policy), "--state", str(state), "--output", "json"]
    done = call("run", *flags, seconds=120)
    assert done.stdout, done.stderr
    return Run(done.json, done.code)


def test_midwatch_reboots_what_asks_for_it_on_three_simulated_clusters(tmp_path: Path) -> None:
    with SimulatedFleet(scale=0) as fleet:
        clusters = fleet.create("blue", "green", "red", nodes=4)
        watchmen = [Watchman(cluster, most=1) for cluster in clusters]
        waiting = [f"{cluster.name}-{n}" for cluster in clusters for n in (1, 3)]
        for cluster in clusters:
            _shipped_rights(cluster)
            cluster.deploy(Workload("shop", replicas=6, min_available=5), Workload("agent", daemon=True))
            for n in (1, 3):
                cluster.require_reboot(f"{cluster.name}-{n}", "linux-image", "libc6")
        fleet.quiesce()

        run = _run(fleet, tmp_path)

        fleet.check()
        assert (run.outcome, run.code) == ("completed", 0)
        assert run.outcomes == dict.fromkeys(waiting, "rebooted")
        for cluster, watchman in zip(clusters, watchmen, strict=True):
            assert cluster.boots == {f"{cluster.name}-1": 1, f"{cluster.name}-3": 1}
            assert [machine.signals for machine in cluster.machines.values()] == [0, 1, 0, 1]
            assert watchman.violations == []
            assert watchman.worst == 1
            assert _leftovers(cluster) == []
        for name, node in run.nodes.items():
            machine = fleet.clusters[name.split("-")[0]].machines[name]
            assert (node["kernelAfter"], node["bootIDAfter"]) == (machine.kernel, machine.boot_id)
            assert node["packages"] == ["libc6", "linux-image"]
