"""The kit itself: its machines really reboot, its pods really run, and its sampler sees what must never happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kit import workloads
from tests.kit.background import until
from tests.kit.kubelet.node import NodeSpec
from tests.kit.kubelet.npd import NpdSettings
from tests.kit.kubelet.pods import BAD_IMAGE, NEVER_READY, RUN_SECONDS, STOP_SECONDS
from tests.kit.sampler import Sampler
from tests.kit.timeline import What

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kit.api import JsonObject
    from tests.kit.cluster import Cluster
    from tests.kit.fleet import Fleet
    from tests.kit.objects import Node

_KILL_ONLY: JsonObject = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": ["KILL"]}}
_PRIVILEGED: JsonObject = {"privileged": True}
_SIGNAL = "kill -39 1"
_SYSTEMCTL = "nsenter -m/proc/1/ns/mnt -- /bin/systemctl reboot"


@pytest.fixture
def cluster(fleet: Fleet) -> Cluster:
    """Two nodes."""
    [made] = fleet.create("blue", nodes=2)
    return made


def _reboot(cluster: Cluster, node: str, script: str = _SIGNAL, security: JsonObject = _KILL_ONLY) -> None:
    cluster.create_pod(workloads.host_pod(f"reboot-{node}", node, script, security=security))


def _until_booted(cluster: Cluster, before: Node) -> Node:
    name, boot = before.metadata.name, before.status.node_info.boot_id

    def back() -> bool:
        node = cluster.node(name)
        return node.ready and node.status.node_info.boot_id != boot

    until(back, f"{name} after its reboot")
    return cluster.node(name)


@pytest.mark.parametrize(
    ("script", "security"), [(_SIGNAL, _KILL_ONLY), (_SYSTEMCTL, _PRIVILEGED)], ids=["signal", "systemctl"]
)
def test_a_host_pid_pod_can_reboot_its_machine(cluster: Cluster, script: str, security: JsonObject) -> None:
    machine, before = cluster.machines["blue-0"], cluster.node("blue-0")
    machine.require_reboot(["libc6", "linux-image"])
    cluster.wait_condition("blue-0", "True")
    with Sampler(cluster) as sampler:
        _reboot(cluster, "blue-0", script, security)
        after = _until_booted(cluster, before)
        cluster.wait_condition("blue-0", "False")
    assert cluster.boots == {"blue-0": 1}
    assert after.status.node_info.kernel_version != before.status.node_info.kernel_version
    assert after.status.node_info.boot_id == machine.boot_id
    assert not list(machine.run_folder.iterdir())
    assert sampler.timeline.of("blue-0") == [What.NOT_READY, What.READY, What.BOOT]
    assert sampler.violations == []


def test_a_pod_that_may_only_send_signals_cannot_enter_the_machine(cluster: Cluster) -> None:
    _reboot(cluster, "blue-0", _SYSTEMCTL, _KILL_ONLY)
    assert cluster.wait_pod("reboot-blue-0", "Failed").exit_code == 1
    assert cluster.boots == {}
    assert cluster.machines["blue-0"].signals == 0


@pytest.mark.parametrize(
    ("security", "has", "lacks"),
    [
        (_KILL_ONLY, {"KILL"}, {"SYS_ADMIN", "CHOWN"}),
        ({}, {"KILL", "CHOWN"}, {"SYS_ADMIN", "SYS_BOOT"}),
        (_PRIVILEGED, {"KILL", "SYS_ADMIN"}, set()),
        ({"capabilities": {"drop": ["ALL"]}}, set(), {"KILL", "CHOWN"}),
    ],
    ids=["kill", "default", "privileged", "none"],
)
def test_a_command_runs_with_the_capabilities_that_its_pod_declares(
    cluster: Cluster, security: JsonObject, has: set[str], lacks: set[str]
) -> None:
    script = 'echo "$GREETING"; cat /proc/sys/kernel/random/boot_id; exit 7'
    pod = workloads.host_pod("look", "blue-1", script, security=security, env={"GREETING": "hello"})
    cluster.create_pod(pod)
    assert cluster.wait_pod("look", "Failed").exit_code == 7
    machine = cluster.machines["blue-1"]
    [execution] = machine.executions
    assert execution.effective == execution.bounding
    assert has <= execution.effective
    assert not lacks & execution.effective
    assert execution.no_new_privileges == (security is _KILL_ONLY)
    assert execution.output.split() == ["hello", machine.boot_id]


def test_nodes_carry_their_pool_zone_and_system(fleet: Fleet) -> None:
    specs = [NodeSpec("a", pool="system", zone="westeurope-2"), NodeSpec("b", pool="win", zone=None, os="windows")]
    [cluster] = fleet.create("blue", nodes=specs)
    a, b = cluster.nodes()
    assert a.metadata.labels["kubernetes.azure.com/agentpool"] == a.metadata.labels["agentpool"] == "system"
    assert a.metadata.labels["topology.kubernetes.io/zone"] == "westeurope-2"
    assert b.metadata.labels["kubernetes.io/os"] == "windows"
    assert "topology.kubernetes.io/zone" not in b.metadata.labels


def test_pods_start_and_end_as_their_annotations_say(cluster: Cluster) -> None:
    for name, notes in {
        "slow": {STOP_SECONDS: "60"},
        "quick": {},
        "job": {RUN_SECONDS: "0.2"},
        "sick": {NEVER_READY: "1"},
        "stuck": {BAD_IMAGE: "1"},
    }.items():
        cluster.create_pod(workloads.bare_pod(name, "blue-0", workloads.pod_template("x", annotations=notes)))
    node = cluster.node("blue-0")
    cluster.create_pod(workloads.mirror_pod("static", "blue-0", node.metadata.uid))
    assert cluster.wait_pod("job", "Succeeded").exit_code == 0
    assert cluster.wait_pod("static-blue-0", "Running").ready
    assert not cluster.wait_pod("sick", "Running").ready
    assert cluster.wait_pod("stuck", "Pending").status.phase == "Pending"
    for name in ("slow", "quick"):
        assert cluster.wait_pod(name, "Running").ready
        cluster.api.delete(f"/api/v1/namespaces/default/pods/{name}", grace_seconds=2)
    until(lambda: "quick" not in {p.metadata.name for p in cluster.pods()}, "quick gone", seconds=1.5)
    assert "slow" in {p.metadata.name for p in cluster.pods()}, "it takes the whole grace"
    until(lambda: "slow" not in {p.metadata.name for p in cluster.pods()}, "slow gone", seconds=4)


def test_a_reboot_restarts_the_pods_of_the_machine(cluster: Cluster) -> None:
    cluster.deploy_daemons("agent")
    before = cluster.node("blue-0")
    _reboot(cluster, "blue-0")
    _until_booted(cluster, before)

    def restarts() -> dict[str, int]:
        return {p.spec.node_name: p.status.container_statuses[0].restart_count for p in cluster.pods("agent")}

    until(lambda: restarts() == {"blue-0": 1, "blue-1": 0}, "the restart of one pod")
    cluster.wait_pods("agent", 2)
    assert cluster.wait_pod("reboot-blue-0", "Failed", "Succeeded").exit_code in {0, 255}
    assert cluster.boots == {"blue-0": 1}, "the pod is not run a second time"


def test_a_machine_can_ignore_the_signal(cluster: Cluster) -> None:
    machine = cluster.machines["blue-0"]
    machine.behave(ignores_reboot=True)
    _reboot(cluster, "blue-0")
    until(lambda: machine.signals == 1, "the signal")
    assert cluster.wait_pod("reboot-blue-0", "Succeeded").exit_code == 0
    assert cluster.node("blue-0").ready
    assert cluster.boots == {}


def test_a_machine_can_stay_down(cluster: Cluster) -> None:
    machine = cluster.machines["blue-0"]
    machine.behave(returns=False)
    _reboot(cluster, "blue-0")
    until(lambda: not cluster.node("blue-0").ready, "NotReady")
    until(lambda: not machine.up.is_set(), "the machine down")
    assert cluster.boots == {}


def test_a_machine_can_go_down_uncleanly(cluster: Cluster) -> None:
    before = cluster.node("blue-0")
    cluster.machines["blue-0"].behave(clean=False)
    with Sampler(cluster) as sampler:
        _reboot(cluster, "blue-0")
        _until_booted(cluster, before)
    assert sampler.timeline.of("blue-0") == [What.BOOT], "nobody said NotReady, and it was back within the grace"


def test_a_machine_can_be_deleted_while_it_is_down(cluster: Cluster) -> None:
    cluster.machines["blue-0"].behave(deleted_while_down=True)
    _reboot(cluster, "blue-0")
    until(lambda: [n.metadata.name for n in cluster.nodes()] == ["blue-1"], "the node's end")


def test_a_machine_can_keep_its_sentinel(cluster: Cluster) -> None:
    machine, before = cluster.machines["blue-0"], cluster.node("blue-0")
    machine.behave(keeps_sentinel=True)
    machine.require_reboot(["libc6"])
    cluster.wait_condition("blue-0", "True")
    _reboot(cluster, "blue-0")
    _until_booted(cluster, before)
    assert (machine.run_folder / "reboot-required").exists()
    cluster.wait_condition("blue-0", "True")


def test_the_real_node_problem_detector_sets_and_clears_the_condition(fleet: Fleet, tmp_path: Path) -> None:
    [cluster] = fleet.create("blue", nodes=1, simulated_npd=False)
    (tmp_path / "check.sh").write_text('[ -e "$1/reboot-required" ] || exit 0\ncat "$1/reboot-required.pkgs"\nexit 1\n')
    (tmp_path / "config.json").write_text("""{
        "plugin": "custom", "source": "kit",
        "pluginConfig": {"timeout": "3s", "concurrency": 1, "skip_initial_status": true},
        "conditions": [{"type": "RebootRequired", "reason": "None", "message": "none"}],
        "rules": [{"type": "permanent", "condition": "RebootRequired", "reason": "Sentinel",
                   "path": "/bin/sh", "args": ["/plugin/check.sh", "/host/run"]}]}""")
    cluster.plane.create_role(
        "kit-npd",
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    )
    cluster.plane.bind("npd", "kit-npd")
    paths = {"/plugin": str(tmp_path), "/host/run": "/var/run"}
    cluster.start_npd(NpdSettings(tmp_path / "config.json", paths))
    cluster.wait_condition("blue-0", "False")
    cluster.machines["blue-0"].require_reboot(["libc6"])
    cluster.wait_condition("blue-0", "True")
    found = cluster.node("blue-0").condition("RebootRequired")
    assert found is not None
    assert (found.reason, found.message) == ("Sentinel", "libc6")
    before = cluster.node("blue-0")
    _reboot(cluster, "blue-0")
    _until_booted(cluster, before)
    cluster.wait_condition("blue-0", "False")
    assert {e.code for e in cluster.audit_events("npd")} <= {200, 201}
