"""What kubelets and controllers say of a node in events."""

from __future__ import annotations

from midwatch.simulator.documents import JsonObject, name_of, stamp
from midwatch.simulator.registry import Registry
from midwatch.simulator.resources import EVENTS

_NAMESPACE = "default"
"""Events on what has no namespace live there."""


def record(registry: Registry, node: JsonObject, kind: str, reason: str, message: str) -> None:
    """Write an event on a node. `kind` is `Normal` or `Warning`; a kubelet names its node as UID, so this does, too."""
    world, name = registry.world, name_of(node)
    now = stamp(world.now())
    body: JsonObject = {
        "metadata": {"name": f"{name}.{world.dice.getrandbits(64):016x}"},
        "involvedObject": {"kind": "Node", "name": name, "uid": name},
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": "kubelet", "host": name},
        "reportingComponent": "kubelet",
        "reportingInstance": name,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    registry.create(EVENTS, _NAMESPACE, body)
