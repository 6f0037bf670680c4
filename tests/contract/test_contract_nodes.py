"""Nodes: cordon, scheduling, and a reboot by a pod."""

from __future__ import annotations

import pytest

from tests.contract.backend import Backend
from tests.kit import workloads
from tests.kit.api import MERGE_PATCH, JsonObject
from tests.kit.background import until
from tests.kit.objects import Node

_GUARD = '[ "$(cat /proc/sys/kernel/random/boot_id)" = "$BOOT_ID" ] || exit 3; '
_SIGNAL = _GUARD + "kill -39 1"
_COMMAND = _GUARD + "nsenter -m/proc/1/ns/mnt -- /bin/systemctl reboot"
_KILL_ONLY: JsonObject = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": ["KILL"]}}
_PRIVILEGED: JsonObject = {"privileged": True}


def _node(backend: Backend, name: str) -> Node:
    return Node.model_validate(backend.api.get(f"/api/v1/nodes/{name}"))


def _cordon(backend: Backend, name: str, *, on: bool) -> None:
    backend.api.patch(f"/api/v1/nodes/{name}", {"spec": {"unschedulable": True if on else None}}, MERGE_PATCH)


def _reboot(backend: Backend, space: str, node: Node, boot_id: str, script: str, security: JsonObject) -> None:
    pod = workloads.host_pod("reboot", node.metadata.name, script, security=security, env={"BOOT_ID": boot_id})
    backend.api.create(f"/api/v1/namespaces/{space}/pods", pod)


def test_a_cordon_is_a_taint_that_goes_with_it(backend: Backend) -> None:
    name = backend.nodes[1]
    _cordon(backend, name, on=True)
    until(lambda: [t.key for t in _node(backend, name).spec.taints] == ["node.kubernetes.io/unschedulable"], "taint")
    assert _node(backend, name).spec.taints[0].effect == "NoSchedule"
    assert _node(backend, name).ready
    _cordon(backend, name, on=False)
    until(lambda: not _node(backend, name).spec.taints, "no taint")


def test_a_cordoned_node_gets_no_new_pods_and_keeps_the_old(backend: Backend, space: str) -> None:
    cordoned, *others = backend.nodes
    backend.run_on(cordoned, space, "old")
    _cordon(backend, cordoned, on=True)
    until(lambda: _node(backend, cordoned).spec.taints, "taint")
    backend.deploy(space, 4)
    nodes = {p.spec.node_name for p in backend.pods(space) if p.metadata.name != "old"}
    _cordon(backend, cordoned, on=False)
    assert nodes <= set(others)
    assert backend.pod(space, "old").ready


def test_a_pod_waits_until_a_node_takes_it(backend: Backend, space: str) -> None:
    template = backend.template()
    spec = template["spec"]
    assert isinstance(spec, dict)
    name = backend.nodes[2]
    _cordon(backend, name, on=True)
    until(lambda: _node(backend, name).spec.taints, "taint")
    pinned: JsonObject = {
        "metadata": {"name": "one"},
        "spec": {**spec, "nodeSelector": {"kubernetes.io/hostname": name}},
    }
    backend.api.create(f"/api/v1/namespaces/{space}/pods", pinned)

    def refused() -> bool:
        return any(c.reason == "Unschedulable" for c in backend.pod(space, "one").status.conditions)

    until(refused, "the scheduler's word")
    assert backend.pod(space, "one").status.phase == "Pending"
    _cordon(backend, name, on=False)
    until(lambda: backend.pod(space, "one").ready, "the pod")
    assert backend.pod(space, "one").spec.node_name == name


def test_an_evicted_daemon_pod_comes_back_to_its_node(backend: Backend, space: str) -> None:
    daemons = f"/apis/apps/v1/namespaces/{space}/daemonsets"
    backend.api.create(daemons, workloads.daemon_set("x", backend.template()))
    until(lambda: sum(p.ready for p in backend.pods(space)) == 3, "a pod per node")
    first = backend.pods(space)[0]
    _cordon(backend, first.spec.node_name, on=True)
    assert backend.evict(space, first.metadata.name).code == 201

    def back() -> bool:
        found = [p for p in backend.pods(space) if p.spec.node_name == first.spec.node_name]
        return len(found) == 1 and found[0].ready and found[0].metadata.uid != first.metadata.uid

    until(back, "its successor")
    _cordon(backend, first.spec.node_name, on=False)
    owner = first.metadata.owner_references[0]
    assert (owner.kind, owner.name, owner.controller) == ("DaemonSet", "x", True)


def test_a_stateful_pod_comes_back_under_its_name(backend: Backend, space: str) -> None:
    body = workloads.deployment("x", 2, backend.template())
    spec = body["spec"]
    assert isinstance(spec, dict)
    path = f"/apis/apps/v1/namespaces/{space}/statefulsets"
    backend.api.create(path, {**body, "spec": {**spec, "serviceName": "x"}})
    until(lambda: sorted(p.metadata.name for p in backend.pods(space) if p.ready) == ["x-0", "x-1"], "two pods")
    before = backend.pod(space, "x-0").metadata.uid
    assert backend.evict(space, "x-0").code == 201

    def back() -> bool:
        found = [p for p in backend.pods(space) if p.metadata.name == "x-0" and p.ready]
        return bool(found) and found[0].metadata.uid != before

    until(back, "its successor")


def test_a_node_says_that_it_needs_a_reboot(backend: Backend) -> None:
    name = backend.nodes[2]
    backend.require_reboot(name)

    def said() -> bool:
        found = _node(backend, name).condition("RebootRequired")
        return found is not None and found.status == "True"

    until(said, "the condition")
    found = _node(backend, name).condition("RebootRequired")
    assert found is not None
    assert found.message == "Reboot required by: linux-image"


@pytest.mark.parametrize(
    ("script", "security"), [(_SIGNAL, _KILL_ONLY), (_COMMAND, _PRIVILEGED)], ids=["signal", "command"]
)
def test_a_pod_reboots_its_node(backend: Backend, space: str, script: str, security: JsonObject) -> None:
    name = backend.nodes[0]
    daemons = f"/apis/apps/v1/namespaces/{space}/daemonsets"
    backend.api.create(daemons, workloads.daemon_set("x", backend.template()))
    until(lambda: sum(p.ready for p in backend.pods(space)) == 3, "a pod per node")
    backend.require_reboot(name)
    before, boots = _node(backend, name), backend.boots(name)
    _reboot(backend, space, before, before.status.node_info.boot_id, script, security)
    seen: set[str] = set()

    def back() -> bool:
        node = _node(backend, name)
        ready = node.condition("Ready")
        assert ready is not None
        seen.update({f"Ready={ready.status}"}, (f"{t.key}:{t.effect}" for t in node.spec.taints))
        return node.ready and node.status.node_info.boot_id != before.status.node_info.boot_id

    until(back, "the reboot", every=0.01)
    after = _node(backend, name)
    assert "Ready=False" in seen
    assert "node.kubernetes.io/not-ready:NoSchedule" in seen
    assert after.status.node_info.kernel_version != before.status.node_info.kernel_version
    old, new = before.condition("Ready"), after.condition("Ready")
    assert old is not None
    assert new is not None
    assert old.last_heartbeat_time is not None
    assert new.last_heartbeat_time is not None
    assert new.last_heartbeat_time > old.last_heartbeat_time
    assert backend.boots(name) == boots + 1

    def cleared() -> bool:
        node = _node(backend, name)
        found = node.condition("RebootRequired")
        return found is not None and found.status == "False" and not node.spec.taints

    until(cleared, "no need, no taints")
    until(lambda: sum(p.ready for p in backend.pods(space) if p.metadata.name != "reboot") == 3, "the daemon's pods")
    until(lambda: backend.pod(space, "reboot").status.phase in {"Failed", "Succeeded"}, "the reboot pod's end")
    assert backend.pod(space, "reboot").exit_code in {0, 255}


def test_a_reboot_pod_of_another_boot_does_nothing(backend: Backend, space: str) -> None:
    name = backend.nodes[0]
    boots = backend.boots(name)
    _reboot(backend, space, _node(backend, name), "another", _SIGNAL, _KILL_ONLY)
    until(lambda: backend.pod(space, "reboot").status.phase == "Failed", "the pod's end")
    assert backend.pod(space, "reboot").exit_code == 3
    assert backend.boots(name) == boots


def test_without_the_right_a_pod_reboots_nothing(backend: Backend, space: str) -> None:
    name = backend.nodes[0]
    boots, boot_id = backend.boots(name), _node(backend, name).status.node_info.boot_id
    _reboot(backend, space, _node(backend, name), boot_id, _COMMAND, _KILL_ONLY)
    until(lambda: backend.pod(space, "reboot").status.phase == "Failed", "the pod's end")
    assert backend.pod(space, "reboot").exit_code == 1
    assert backend.boots(name) == boots
