"""Simulated clusters that speak the Kubernetes REST API over HTTPS on loopback. See docs/simulator.md.

    with SimulatedFleet(scale=0) as fleet:
        [blue] = fleet.create("blue", nodes=100)
        blue.deploy(Workload("shop", replicas=20, min_available=18))
        blue.require_reboot("blue-7", "linux-image")
        fleet.kubeconfig(Path("kubeconfig"))

It is the other side of the wire, and imports nothing else of Midwatch. Only the CLI and the tests import it.
"""

from midwatch.simulator.access import EVERYTHING, Rule, read_rules
from midwatch.simulator.cluster import SimulatedCluster
from midwatch.simulator.documents import JsonObject, JsonValue
from midwatch.simulator.faults import Fault, FaultKind
from midwatch.simulator.fleet import SimulatedFleet, numbered
from midwatch.simulator.machines import Behaviour, Machine, NodeSpec
from midwatch.simulator.pod_status import BAD_IMAGE, NEVER_READY, RUN_SECONDS, STOP_SECONDS
from midwatch.simulator.refusals import Refusal
from midwatch.simulator.store import Change, ChangeType
from midwatch.simulator.workloads import Workload
from midwatch.simulator.world import Timings

__all__ = [
    "BAD_IMAGE",
    "EVERYTHING",
    "NEVER_READY",
    "RUN_SECONDS",
    "STOP_SECONDS",
    "Behaviour",
    "Change",
    "ChangeType",
    "Fault",
    "FaultKind",
    "JsonObject",
    "JsonValue",
    "Machine",
    "NodeSpec",
    "Refusal",
    "Rule",
    "SimulatedCluster",
    "SimulatedFleet",
    "Timings",
    "Workload",
    "numbered",
    "read_rules",
]
