"""The three clusters of `midwatch demo`, and what is to be seen on them."""

from __future__ import annotations

import random
from datetime import timedelta

from midwatch.domain.base import Json
from midwatch.simulator import NodeSpec, SimulatedCluster, SimulatedFleet, Timings, Workload

SPEED = 15
"""So many simulated seconds pass in a second: a boot of a minute takes four."""
TIMINGS = Timings(pod_start=8, pod_stop=15)
BLOCKED = "staging-apps-1"
"""The node on which a pod stays, because its PDB never lets it go."""
CORDONED = "staging-apps-3"
"""The node that a human has cordoned."""
POLICY: Json = {
    "apiVersion": "midwatch/v1",
    "nodes": {"maxUnavailable": "25%", "settle": "1s"},
    "drain": {"timeout": "30s", "misconfiguredTimeout": "6s"},
    "reboot": {"timeout": "60s"},
    "verify": {"stableFor": "1s", "conditionClears": "30s"},
    "failure": {"maxFailedNodes": 1},
}
"""Its times are real ones. One failed node is tolerated in each cluster."""

_POOLS = {
    "dev": {"system": 2, "apps": 2},
    "staging": {"system": 2, "apps": 4},
    "prod": {"system": 2, "apps": 4, "batch": 2},
}
_ZONES = 3
_KERNEL = ("linux-image-5.15.0-1065-azure", "linux-modules-5.15.0-1065-azure")
_LIBRARIES = ("libc6", "libssl3", "openssl")
_WAITING = {
    "dev-apps-1": _KERNEL, "dev-system-0": _KERNEL,
    "staging-apps-0": _KERNEL, BLOCKED: _KERNEL, CORDONED: (*_LIBRARIES, *_KERNEL), "staging-system-1": _LIBRARIES,
    "prod-apps-0": _KERNEL, "prod-apps-2": _KERNEL, "prod-batch-0": _LIBRARIES, "prod-batch-1": _KERNEL,
    "prod-system-0": (*_LIBRARIES, *_KERNEL),
}  # fmt: skip
_BOOT_SECONDS = (40, 75)
_LONGEST_DAYS = 20


def build_fleet(fleet: SimulatedFleet, seed: int) -> None:
    """Start the clusters; their nodes ask for their reboots when it returns. `seed` draws boot times and ages."""
    dice = random.Random(seed)  # noqa: S311 - a simulation that can be repeated
    for name, pools in _POOLS.items():
        specs = [
            NodeSpec(f"{name}-{pool}-{n}", pool=pool, zone=f"westeurope-{n % _ZONES + 1}")
            for pool, count in pools.items()
            for n in range(count)
        ]
        [cluster] = fleet.create(name, nodes=specs)
        cluster.create_namespace("midwatch")  # as `kubectl apply -k deploy/rbac` does
        _furnish(cluster)
        for spec in specs:
            cluster.behave(spec.name, boot_seconds=dice.uniform(*_BOOT_SECONDS))
            if spec.name in _WAITING:
                age = timedelta(days=dice.uniform(1, _LONGEST_DAYS))
                cluster.require_reboot(spec.name, *_WAITING[spec.name], age=age)
    fleet.quiesce()


def _furnish(cluster: SimulatedCluster) -> None:
    if cluster.name == "staging":
        cluster.cordon(CORDONED)
        # The first pod of all goes to the second node by name, which is `BLOCKED`.
        cluster.deploy(Workload("ledger", namespace="payments", min_available=1))
    cluster.deploy(
        Workload("node-problem-detector", namespace="kube-system", daemon=True),
        Workload("log-shipper", namespace="kube-system", daemon=True),
        Workload("coredns", namespace="kube-system", replicas=2, min_available=1),
        Workload("shop", namespace="shop", replicas=6, min_available=4),
        Workload("search", namespace="shop", replicas=3, max_unavailable=1, empty_dir=True),
        Workload("checkout", namespace="payments", replicas=4, min_available="75%"),
    )
