"""A fleet in the box: Midwatch patches simulated clusters at scale 0, on virtual time. Needs no control plane."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from midwatch.simulator import SimulatedFleet, Workload
from tests.bench.figures import Figure
from tests.soak.hosting import VirtualHost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kit.fleet import Fleet

_CLUSTERS, _NODES = 10, 100
_PODS_PER_NODE = 30
_PODS_PER_WORKLOAD = 20
_SECONDS_GOAL = 300.0
_MEMORY_GOAL = 1536.0
_GROWTH_GOAL = 1.25
_LONGEST_SECONDS = 3600.0
_IDLE_WATCH_SECONDS = 0.05
_POLICY: dict[str, object] = {
    "nodes": {"settle": "0s", "maxUnavailable": "10%", "order": "name"},
    "verify": {"stableFor": "0s"},
}
_MEBIBYTE = 1024.0
"""In KiB, in which Linux counts."""


@dataclass(frozen=True)
class Cost:
    """What patching a fleet took. Memory: the most of the simulator's process, and of the host's; MiB."""

    nodes: int
    seconds: float
    simulator_mib: float
    host_mib: float

    def __str__(self) -> str:
        each = 1000 * self.seconds / self.nodes
        memory = f"simulator {self.simulator_mib:.0f} MiB, host {self.host_mib:.0f} MiB"
        return f"  {self.nodes} nodes patched in {self.seconds:.1f} s, {each:.0f} ms each; {memory}"


def measure(_: Fleet) -> Iterator[Figure]:
    """Simulate 10 clusters of 100 nodes and 3,000 pods each, and patch every node, in real time scale 0.

    `FLEET=2x10` measures another number of clusters and nodes; the growth compares one of its clusters with all.
    """
    clusters, nodes = (int(n) for n in os.environ.get("FLEET", f"{_CLUSTERS}x{_NODES}").split("x"))
    small = patch_fleet(1, nodes)
    print(small, flush=True)
    large = patch_fleet(clusters, nodes)
    print(large, flush=True)
    yield Figure("fleet-seconds", round(large.seconds, 1), _SECONDS_GOAL, "s")
    yield Figure("fleet-memory", round(large.simulator_mib), _MEMORY_GOAL, "MiB")
    yield Figure("fleet-growth", (large.seconds / large.nodes) / (small.seconds / small.nodes), _GROWTH_GOAL)


def patch_fleet(clusters: int, nodes: int) -> Cost:
    """Patch every node of simulated clusters that have so many each; what it took."""
    names = [f"cluster{n}" for n in range(clusters)]
    with (
        tempfile.TemporaryDirectory() as scratch,
        SimulatedFleet(scale=0, idle_watch_seconds=_IDLE_WATCH_SECONDS) as fleet,
    ):
        for cluster in fleet.create(*names, nodes=nodes):
            cluster.create_namespace("midwatch")
            for number in range(nodes * _PODS_PER_NODE // _PODS_PER_WORKLOAD):
                guard = _PODS_PER_WORKLOAD - 2
                cluster.deploy(Workload(f"app{number}", replicas=_PODS_PER_WORKLOAD, min_available=guard))
            for machine in cluster.machines:
                cluster.require_reboot(machine, "linux-image")
        fleet.quiesce(600)
        folder = Path(scratch)
        sources = [{"kubeconfig": {"context": name}} for name in names]
        policy = {"apiVersion": "midwatch/v1", "clusters": sources, **_POLICY}
        (folder / "policy.yaml").write_text(yaml.safe_dump(policy))
        kubeconfig = fleet.kubeconfig(folder / "kubeconfig", "midwatch")
        host = VirtualHost(folder, {"KUBECONFIG": str(kubeconfig), "MIDWATCH_POLICY": str(folder / "policy.yaml")})
        host.start()
        try:
            seconds = _run(host)
            host_mib = host.peak_kib / _MEBIBYTE
        finally:
            host.stop()
        booted = sum(sum(cluster.boots.values()) for cluster in fleet.clusters.values())
        assert booted == clusters * nodes, f"{booted} of {clusters * nodes} nodes were rebooted"
    own_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MEBIBYTE
    return Cost(clusters * nodes, seconds, own_mib, host_mib)


def _run(host: VirtualHost) -> float:
    began = time.monotonic()
    code, answer = host.ask("POST", "runs", {})
    assert code == 202, answer
    while time.monotonic() - began < _LONGEST_SECONDS:
        time.sleep(0.5)
        listed = host.ask("GET", "runs")[1]["runs"]
        assert isinstance(listed, list)
        assert isinstance(listed[0], dict)
        if listed[0]["status"] == "ended":
            assert listed[0]["outcome"] == "completed", listed
            return time.monotonic() - began
    raise AssertionError(f"the run did not end within {_LONGEST_SECONDS:.0f} s")
