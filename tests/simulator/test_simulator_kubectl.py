"""kubectl, the real one, on a simulated cluster."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from midwatch.simulator import SimulatedCluster, SimulatedFleet, Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    type Kubectl = Callable[..., str]


def _kubectl() -> str | None:
    """The control plane's, as far as it is built, else that on PATH."""
    assets = os.environ.get("KUBEBUILDER_ASSETS", "")
    caches = [os.environ.get("MIDWATCH_CACHE"), os.environ.get("XDG_CACHE_HOME"), str(Path.home() / ".cache")]
    built = [p for c in caches if c for p in Path(c).glob("**/controlplane/*/kubectl")]
    candidates = [Path(assets) / "kubectl", *built] if assets else built
    return next((str(path) for path in candidates if path.is_file()), None) or shutil.which("kubectl")


@pytest.fixture
def cluster() -> Iterator[SimulatedCluster]:
    """Three nodes with workloads; one asks for a reboot."""
    with SimulatedFleet(scale=0) as fleet:
        [made] = fleet.create("blue", nodes=3)
        made.deploy(Workload("shop", replicas=3, min_available=2, empty_dir=True), Workload("agent", daemon=True))
        made.require_reboot("blue-1", "linux-image")
        made.quiesce()
        yield made
        fleet.check()


@pytest.fixture
def kubectl(cluster: SimulatedCluster, tmp_path: Path) -> Kubectl:
    """Runs kubectl to success; what it printed."""
    program = _kubectl()
    if program is None:
        pytest.skip("there is no kubectl: neither built by `make e2e`, nor on PATH")
    config = cluster.kubeconfig(tmp_path / "kubeconfig")

    def run(*args: str) -> str:
        command = [program, "--kubeconfig", str(config), "--cache-dir", str(tmp_path / "cache"), *args]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run


def _rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_lists_look_as_they_do_on_a_real_cluster(kubectl: Kubectl) -> None:
    head, *nodes = _rows(kubectl("get", "nodes"))
    assert head == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert [(row[0], row[1], row[4]) for row in nodes] == [(f"blue-{n}", "Ready", "v1.36.3") for n in range(3)]
    head, *pods = _rows(kubectl("get", "pods", "-A"))
    assert head == ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert [row[2:5] for row in pods] == [["1/1", "Running", "0"]] * 6
    assert "linux-image" in kubectl("get", "node", "blue-1", "-o", "yaml")
    assert _rows(kubectl("get", "pdb,deploy,ds"))[1][:4] == ["poddisruptionbudget.policy/shop", "2", "N/A", "1"]
    assert "KERNEL-VERSION" in kubectl("get", "nodes", "-o", "wide")


def test_a_drained_node_is_empty_and_its_pods_are_elsewhere(cluster: SimulatedCluster, kubectl: Kubectl) -> None:
    assert "cordoned" in kubectl("cordon", "blue-1")
    assert _rows(kubectl("get", "node", "blue-1"))[1][1] == "Ready,SchedulingDisabled"
    flags = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=50s")
    said = kubectl("drain", "blue-1", *flags)
    assert "node/blue-1 drained" in said
    cluster.quiesce()
    pods = _rows(kubectl("get", "pods", "-o", "wide", "--no-headers"))
    assert sorted(row[6] for row in pods if row[0].startswith("shop")) in [
        ["blue-0", "blue-0", "blue-2"],
        ["blue-0", "blue-2", "blue-2"],
    ]
    assert [row[6] for row in pods if row[0].startswith("agent")].count("blue-1") == 1
    assert "uncordoned" in kubectl("uncordon", "blue-1")
    assert _rows(kubectl("get", "node", "blue-1"))[1][1] == "Ready"


def test_a_node_is_described_with_its_pods_and_events(cluster: SimulatedCluster, kubectl: Kubectl) -> None:
    cluster.power_off("blue-1")
    cluster.quiesce()
    said = kubectl("describe", "node", "blue-1")
    assert "No reboot required" in said
    assert "has been rebooted" in said
    assert "agent-" in said
    assert "Rebooted" in kubectl("get", "events", "-A")


def test_objects_can_be_applied_and_labelled(kubectl: Kubectl, tmp_path: Path) -> None:
    manifest = tmp_path / "pod.json"
    spec = {"containers": [{"name": "main", "image": "registry.invalid/x"}]}
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec}))
    assert "created" in kubectl("create", "--validate=false", "-f", str(manifest))
    assert "configured" in kubectl("apply", "--validate=false", "-f", str(manifest))
    assert "labeled" in kubectl("label", "pod", "one", "a=b")
    assert _rows(kubectl("get", "pod", "-l", "a=b", "--no-headers"))[0][0] == "one"
    assert "deleted" in kubectl("delete", "pod", "one", "--wait=true")
