"""The machines behind the nodes: how they take a reboot, and how they fail."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from midwatch.simulator import Behaviour, NodeSpec, SimulatedCluster, SimulatedFleet, Workload
from midwatch.simulator.host_commands import effect_of
from tests.kit import workloads
from tests.kit.objects import Node, Pod

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kit.api import JsonObject

_KILL = "kill -39 1"
_GUARDED = '[ "$(cat /proc/sys/kernel/random/boot_id)" = "$BOOT_ID" ] || exit 3; ' + _KILL
_KILL_ONLY: JsonObject = {"capabilities": {"drop": ["ALL"], "add": ["KILL"]}}


@pytest.fixture
def fleet() -> Iterator[SimulatedFleet]:
    """A fleet that takes no time; what goes wrong inside fails the test."""
    with SimulatedFleet(scale=0) as made:
        yield made
        made.check()


@pytest.fixture
def cluster(fleet: SimulatedFleet) -> SimulatedCluster:
    """Two nodes."""
    [made] = fleet.create("blue", nodes=2)
    return made


def _node(cluster: SimulatedCluster, name: str = "blue-0") -> Node:
    nodes = [Node.model_validate(doc) for doc in cluster.objects("v1", "Node")]
    return next(node for node in nodes if node.metadata.name == name)


def _status(cluster: SimulatedCluster, kind: str, name: str = "blue-0") -> str:
    found = _node(cluster, name).condition(kind)
    return found.status if found is not None else ""


def _reboot(cluster: SimulatedCluster, name: str = "blue-0", script: str = _KILL) -> None:
    body = workloads.host_pod(f"reboot-{name}", name, script, security=_KILL_ONLY)
    cluster.create({**body, "apiVersion": "v1", "kind": "Pod"})
    cluster.quiesce()


def test_a_sound_machine_comes_back_with_another_boot_and_kernel(cluster: SimulatedCluster) -> None:
    before = _node(cluster)
    cluster.require_reboot("blue-0", "libc6")
    cluster.quiesce()
    assert _status(cluster, "RebootRequired") == "True"
    _reboot(cluster)
    after = _node(cluster)
    assert after.ready
    assert after.status.node_info.boot_id not in {"", before.status.node_info.boot_id}
    assert after.status.node_info.kernel_version != before.status.node_info.kernel_version
    assert _status(cluster, "RebootRequired") == "False"
    assert cluster.boots == {"blue-0": 1}
    reasons = [event["reason"] for event in cluster.objects("v1", "Event")]
    assert sorted(map(str, reasons)) == ["NodeNotReady", "NodeReady", "Rebooted"]


def test_every_heartbeat_after_a_boot_is_newer_than_all_before_however_quick_it_was(cluster: SimulatedCluster) -> None:
    for _ in range(3):
        last = max(c.last_heartbeat_time for c in _node(cluster).status.conditions if c.last_heartbeat_time)
        cluster.power_off("blue-0")
        cluster.quiesce()
        beats = {c.type: c.last_heartbeat_time for c in _node(cluster).status.conditions}
        assert all(beat is not None and beat > last for beat in beats.values()), beats
    assert cluster.boots == {"blue-0": 3}


def test_a_machine_can_ignore_the_signal(cluster: SimulatedCluster) -> None:
    cluster.behave("blue-0", ignores_reboot=True)
    _reboot(cluster)
    assert (cluster.machines["blue-0"].signals, cluster.boots) == (1, {})
    [pod] = [Pod.model_validate(doc) for doc in cluster.objects("v1", "Pod")]
    assert (pod.status.phase, pod.exit_code) == ("Succeeded", 0)


def test_a_machine_can_stay_down(cluster: SimulatedCluster) -> None:
    cluster.behave("blue-0", returns=False)
    _reboot(cluster)
    assert _status(cluster, "Ready") == "False"
    assert {t.key for t in _node(cluster).spec.taints} == {"node.kubernetes.io/not-ready"}
    assert (cluster.machines["blue-0"].up, cluster.boots) == (False, {})


def test_a_machine_that_dies_in_silence_is_missed_after_a_while(cluster: SimulatedCluster) -> None:
    cluster.behave("blue-0", clean=False, returns=False)
    _reboot(cluster)
    assert _status(cluster, "Ready") == "Unknown"
    assert {t.key for t in _node(cluster).spec.taints} == {"node.kubernetes.io/unreachable"}
    assert cluster.elapsed_seconds >= 50


def test_an_unclean_reboot_within_the_grace_is_never_noticed(cluster: SimulatedCluster) -> None:
    seen: list[str] = []
    cluster.observe(lambda c: seen.append(str(c.record.doc.get("status"))) if c.resource.plural == "nodes" else None)
    cluster.behave("blue-0", clean=False, boot_seconds=20)
    _reboot(cluster)
    assert cluster.boots == {"blue-0": 1}
    assert not any("NodeStatusUnknown" in status or "KubeletNotReady" in status for status in seen)


def test_a_machine_can_be_deleted_while_it_is_down(cluster: SimulatedCluster) -> None:
    cluster.behave("blue-0", deleted_while_down=True)
    _reboot(cluster)
    assert [Node.model_validate(doc).metadata.name for doc in cluster.objects("v1", "Node")] == ["blue-1"]
    assert cluster.objects("v1", "Pod") == []


def test_a_machine_can_keep_its_sentinel(cluster: SimulatedCluster) -> None:
    cluster.behave("blue-0", keeps_sentinel=True)
    cluster.require_reboot("blue-0")
    cluster.quiesce()
    _reboot(cluster)
    found = _node(cluster).condition("RebootRequired")
    assert found is not None
    assert (found.status, found.message) == ("True", "Reboot required")


def test_a_need_can_be_older_than_the_simulation(cluster: SimulatedCluster) -> None:
    cluster.require_reboot("blue-0", age=timedelta(hours=2))
    cluster.quiesce()
    found = _node(cluster).condition("RebootRequired")
    assert found is not None
    assert found.last_heartbeat_time is not None
    assert found.last_transition_time is not None
    assert found.last_heartbeat_time - found.last_transition_time == timedelta(hours=2)


def test_pods_leave_a_node_that_stays_away(cluster: SimulatedCluster) -> None:
    cluster.deploy(Workload("shop", replicas=4), Workload("agent", daemon=True))
    cluster.quiesce()
    cluster.behave("blue-0", returns=False)
    cluster.power_off("blue-0")
    cluster.quiesce()
    pods = [Pod.model_validate(doc) for doc in cluster.objects("v1", "Pod")]
    shop = [pod for pod in pods if pod.metadata.labels["app"] == "shop"]
    assert sum(pod.ready for pod in shop) == 4
    assert {pod.spec.node_name for pod in shop if pod.ready} == {"blue-1"}
    assert [p.ready for p in pods if p.metadata.labels["app"] == "agent" and p.spec.node_name == "blue-0"] == [False]


def test_a_boot_restarts_the_pods_of_the_machine(cluster: SimulatedCluster) -> None:
    cluster.deploy(Workload("agent", daemon=True))
    _reboot(cluster)
    pods = [Pod.model_validate(doc) for doc in cluster.objects("v1", "Pod")]
    counts = {
        p.spec.node_name: p.status.container_statuses[0].restart_count for p in pods if "agent" in p.metadata.name
    }
    assert counts == {"blue-0": 1, "blue-1": 0}
    assert all(p.ready for p in pods if "agent" in p.metadata.name)


def test_nodes_carry_their_pool_zone_and_system(fleet: SimulatedFleet) -> None:
    specs = [NodeSpec("a", pool="system", zone="westeurope-2"), NodeSpec("b", pool="win", zone=None, os="windows")]
    [cluster] = fleet.create("blue", nodes=specs, behaviour=Behaviour(boot_seconds=1))
    cluster.deploy(Workload("shop", replicas=2))
    a, b = (_node(cluster, name) for name in "ab")
    assert a.metadata.labels["kubernetes.azure.com/agentpool"] == a.metadata.labels["agentpool"] == "system"
    assert a.metadata.labels["topology.kubernetes.io/zone"] == "westeurope-2"
    assert b.metadata.labels["kubernetes.io/os"] == "windows"
    assert "topology.kubernetes.io/zone" not in b.metadata.labels


@pytest.mark.parametrize(
    ("script", "security", "effect"),
    [
        (_GUARDED, _KILL_ONLY, (0, True)),
        (_GUARDED.replace('= "$BOOT_ID"', '= "$OTHER"'), _KILL_ONLY, (3, False)),
        (_KILL, {"capabilities": {"drop": ["ALL"]}}, (1, False)),
        (_KILL, {}, (0, True)),
        ("kill -s SIGRTMIN+5 1", {"privileged": True}, (0, True)),
        ("kill -9 1", {"privileged": True}, None),
        ("nsenter -m/proc/1/ns/mnt -- /bin/systemctl reboot", {"privileged": True}, (0, True)),
        ("nsenter -m/proc/1/ns/mnt -- /bin/systemctl reboot", _KILL_ONLY, (1, False)),
        ("test $(cat /proc/sys/kernel/random/boot_id) = x && kill -39 1", {}, (64, False)),
        ("sleep 5; exit 7", {}, (7, False)),
        ("sleep infinity", {}, None),
    ],
)
def test_a_host_pod_does_what_its_command_and_its_rights_say(
    script: str, security: JsonObject, effect: tuple[int, bool] | None
) -> None:
    pod = workloads.host_pod("p", "n", script, security=security, env={"BOOT_ID": "b"})
    found = effect_of(pod, "b")
    assert (None if found is None else (found.exit_code, found.reboots)) == effect


def test_a_pod_outside_of_the_hosts_process_namespace_reboots_nothing() -> None:
    pod = workloads.host_pod("p", "n", _KILL, security={})
    spec = pod["spec"]
    assert isinstance(spec, dict)
    assert effect_of({**pod, "spec": {**spec, "hostPID": False}}, "b") is None
