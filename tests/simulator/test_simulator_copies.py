"""A cluster that is copied into a simulated one: what is kept, and what goes on there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from midwatch.kube.client import open_client
from midwatch.kube.kubeconfig import Kubeconfig
from midwatch.kube.snapshots import Snapshot, load_snapshot, save_snapshot, take_snapshot
from midwatch.simulator import JsonObject, SimulatedCluster, SimulatedFleet, Workload
from tests.kit.objects import Budget, Node, Pod

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary-4711"
_TEMPLATE: JsonObject = {
    "metadata": {"labels": {"app": "secretive"}, "annotations": {"note": CANARY}},
    "spec": {
        "containers": [
            {
                "name": "main",
                "image": f"registry.invalid/{CANARY}",
                "command": [CANARY],
                "env": [{"name": "TOKEN", "value": CANARY}],
                "resources": {"requests": {"cpu": "250m"}},
            }
        ],
        "volumes": [{"name": "key", "secret": {"secretName": CANARY}}, {"name": "tmp", "emptyDir": {}}],
    },
}


def _source(fleet: SimulatedFleet) -> SimulatedCluster:
    [source] = fleet.create("source", nodes=4)
    source.deploy(Workload("shop", replicas=6, min_available=5), Workload("agent", daemon=True))
    source.create({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "annotations": {"note": CANARY}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "secretive"}}, "template": _TEMPLATE},
    })  # fmt: skip
    source.cordon("source-3")
    source.require_reboot("source-1", "libc6", age=timedelta(days=3))
    source.behave("source-2", returns=False)
    fleet.quiesce()
    source.power_off("source-2")
    fleet.quiesce()
    return source


async def _snapshot(source: SimulatedCluster, folder: Path) -> Snapshot:
    config = Kubeconfig.load([source.kubeconfig(folder / "kubeconfig", "reader")], {})
    async with open_client(config.connection("source")) as client:
        return await take_snapshot(client, "source")


def _pods(cluster: SimulatedCluster) -> dict[str, tuple[str, bool]]:
    """Node and readiness of each pod; those that are leaving are not copied."""
    pods = [Pod.model_validate(doc) for doc in cluster.objects("v1", "Pod")]
    staying = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
    return {pod.metadata.name: (pod.spec.node_name, pod.ready) for pod in staying}


def _budgets(cluster: SimulatedCluster) -> dict[str, tuple[int, int, int]]:
    budgets = [Budget.model_validate(doc) for doc in cluster.objects("policy/v1", "PodDisruptionBudget")]
    return {
        b.metadata.name: (b.status.disruptions_allowed, b.status.current_healthy, b.status.desired_healthy)
        for b in budgets
    }


async def test_a_copy_keeps_names_places_and_states_and_its_controllers_find_nothing_to_do(tmp_path: Path) -> None:
    with SimulatedFleet(scale=0) as fleet:
        source = _source(fleet)
        snapshot = await _snapshot(source, tmp_path)
        [copy] = fleet.create("copy", nodes=[])
        copy.copy(snapshot.documents, taken_at=snapshot.taken_at)
        fleet.quiesce()
        fleet.check()
        assert _pods(copy) == _pods(source)
        assert len(copy.objects("apps/v1", "ReplicaSet")) == 1
        nodes = {n.metadata.name: n for n in (Node.model_validate(doc) for doc in copy.objects("v1", "Node"))}
        assert [name for name, node in nodes.items() if node.spec.unschedulable] == ["source-3"]
        assert [name for name, node in nodes.items() if not node.ready] == ["source-2"]
        assert _budgets(copy) == _budgets(source) == {"shop": (1, 6, 5)}


async def test_a_condition_is_as_old_in_the_copy_as_it_was_and_one_that_is_missing_stays_missing(
    tmp_path: Path,
) -> None:
    with SimulatedFleet(scale=0) as fleet:
        snapshot = await _snapshot(_source(fleet), tmp_path)
        nodes = [n.model_copy(update={"status": n.status.model_copy(update={"conditions": [
            c for c in n.status.conditions if n.metadata.name != "source-0" or c.type != "RebootRequired"
        ]})}) for n in snapshot.nodes]  # fmt: skip
        partial = snapshot.model_copy(update={"nodes": nodes})
        [copy] = fleet.create("copy", nodes=[])
        copy.copy(partial.documents, taken_at=partial.taken_at + timedelta(days=1))
        found = {n.metadata.name: n for n in (Node.model_validate(doc) for doc in copy.objects("v1", "Node"))}
        needs = {name: [c for c in n.status.conditions if c.type == "RebootRequired"] for name, n in found.items()}
        assert needs["source-0"] == []
        assert needs["source-1"][0].status == "True"
        since = needs["source-1"][0].last_transition_time
        assert since is not None
        assert timedelta(days=3.9) < datetime.now(UTC) - since < timedelta(days=4.1)


async def test_a_snapshot_holds_no_environment_annotation_image_command_or_secret_and_reads_back(
    tmp_path: Path,
) -> None:
    with SimulatedFleet(scale=0) as fleet:
        source = _source(fleet)
        snapshot = await _snapshot(source, tmp_path)
        save_snapshot(snapshot, tmp_path / "snapshot.json")
        written = (tmp_path / "snapshot.json").read_text()
        assert "db-0" in written
        assert [word for word in (CANARY, '"env"', "annotations", '"image"', "secretName") if word in written] == []
        assert load_snapshot(tmp_path / "snapshot.json") == snapshot
        assert {verb for user, verb, _ in source.calls if user == "reader"} == {"list"}
