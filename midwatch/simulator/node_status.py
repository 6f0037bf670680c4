"""What a kubelet and the node-problem-detector write about a node."""

from __future__ import annotations

from datetime import datetime, timedelta

from midwatch.simulator.documents import (
    JsonObject,
    JsonValue,
    condition,
    moment,
    objects,
    part,
    put,
    stamp,
    text,
    with_conditions,
)
from midwatch.simulator.machines import Machine

NEED = "RebootRequired"
PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure")
KUBELET_CONDITIONS = (*PRESSURES, "Ready")
_QUIET = {
    "MemoryPressure": ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
}
_READY = ("True", "KubeletReady", "kubelet is posting ready status")
_SHUTTING_DOWN = ("False", "KubeletNotReady", "container runtime is down, node is shutting down")
_CAPACITY: JsonObject = {"cpu": "8", "memory": "32Gi", "pods": "110", "ephemeral-storage": "128Gi"}
_OS_IMAGES = {"linux": "Ubuntu 22.04.5 LTS", "windows": "Windows Server 2022 Datacenter"}


def registration(machine: Machine, now: datetime) -> JsonObject:
    """The node as its kubelet creates it: Ready at once."""
    spec = machine.spec
    labels: JsonObject = {
        "kubernetes.io/hostname": spec.name,
        "kubernetes.io/os": spec.os,
        "kubernetes.io/arch": "amd64",
        "agentpool": spec.pool,
        "kubernetes.azure.com/agentpool": spec.pool,
        **({"topology.kubernetes.io/zone": spec.zone} if spec.zone else {}),
        **spec.labels,
    }
    return ready_status({"metadata": {"name": spec.name, "labels": labels}, "spec": {}, "status": {}}, machine, now)


def ready_status(node: JsonObject, machine: Machine, now: datetime) -> JsonObject:
    """The node when its kubelet is well."""
    return _status(node, machine, now, _READY)


def leaving_status(node: JsonObject, machine: Machine, now: datetime) -> JsonObject:
    """The node when its machine shuts down properly."""
    return _status(node, machine, now, _SHUTTING_DOWN)


def silent_status(node: JsonObject, now: datetime) -> JsonObject:
    """The node when nobody has heard of it for too long (node lifecycle controller). Heartbeats stay as they were."""
    said = "Kubelet stopped posting node status."
    unknown: list[JsonObject] = [
        {
            **condition(node, kind),
            "type": kind,
            "status": "Unknown",
            "reason": "NodeStatusUnknown",
            "message": said,
            "lastTransitionTime": stamp(now),
        }
        for kind in KUBELET_CONDITIONS
    ]
    return with_conditions(node, unknown)


def need_status(node: JsonObject, machine: Machine, now: datetime) -> JsonObject:
    """The node with the detector's condition, as `deploy/npd` words it."""
    if machine.packages is None:
        found = _condition(NEED, ("False", "NoRebootRequired", "No reboot required"), now)
    else:
        names = ", ".join(sorted(machine.packages))
        said = f"Reboot required by: {names}" if names else "Reboot required"
        found = _condition(NEED, ("True", NEED, said), now)
    return with_conditions(node, [found])


def confirmed(node: JsonObject, now: datetime) -> JsonObject:
    """The node with all its heartbeats of now."""
    beats: list[JsonObject] = [{**c, "lastHeartbeatTime": stamp(now)} for c in objects(node, "status", "conditions")]
    return with_conditions(node, beats)


def newest_heartbeat(node: JsonObject) -> datetime | None:
    """The latest time that the node has written."""
    said = (moment(text(c, "lastHeartbeatTime")) for c in objects(node, "status", "conditions"))
    return max((when for when in said if when is not None), default=None)


def after_heartbeats(node: JsonObject, now: datetime) -> datetime:
    """A time for a heartbeat that is newer than all before: now, or the next whole second if it was quicker than that.

    Timestamps have whole seconds, and a simulated boot may take none; a real one takes many.
    """
    newest = newest_heartbeat(node)
    return now if newest is None else max(now, newest + timedelta(seconds=1))


def not_before(node: JsonObject, now: datetime) -> datetime:
    """Now, or the newest heartbeat where that is ahead: a node's clock does not go back."""
    newest = newest_heartbeat(node)
    return now if newest is None else max(now, newest)


def boot_id(node: JsonObject) -> str:
    """The boot ID that the node has reported."""
    return text(node, "status", "nodeInfo", "bootID")


def aged_need(node: JsonObject, since: datetime) -> JsonObject:
    """The node with a detector's condition that has had its status for longer."""
    listed: list[JsonValue] = [
        {**c, "lastTransitionTime": stamp(since)} if c.get("type") == NEED else c
        for c in objects(node, "status", "conditions")
    ]
    return put(node, listed, "status", "conditions")


def told(node: JsonObject, kind: str, status: str | None, when: datetime) -> JsonObject:
    """The node with a condition that says this since then, or without it."""
    others: list[JsonValue] = [c for c in objects(node, "status", "conditions") if c.get("type") != kind]
    said = [] if status is None else [_condition(kind, (status, "Told", "as a test says"), when)]
    return put(node, [*others, *said], "status", "conditions")


def _status(node: JsonObject, machine: Machine, now: datetime, ready: tuple[str, str, str]) -> JsonObject:
    conditions = [_condition(kind, ("False", *_QUIET[kind]), now) for kind in PRESSURES]
    conditions.append(_condition("Ready", ready, now))
    addresses: list[JsonValue] = [
        {"type": "InternalIP", "address": machine.address},
        {"type": "Hostname", "address": machine.name},
    ]
    status: JsonObject = {
        **part(node, "status"),
        "capacity": _CAPACITY,
        "allocatable": _CAPACITY,
        "addresses": addresses,
        "nodeInfo": _info(machine),
    }
    return with_conditions({**node, "status": status}, conditions)


def _condition(kind: str, said: tuple[str, str, str], now: datetime) -> JsonObject:
    status, reason, message = said
    return {
        "type": kind,
        "status": status,
        "lastHeartbeatTime": stamp(now),
        "lastTransitionTime": stamp(now),
        "reason": reason,
        "message": message,
    }


def _info(machine: Machine) -> JsonObject:
    return {
        "machineID": machine.name,
        "systemUUID": machine.name,
        "bootID": machine.boot_id,
        "kernelVersion": machine.kernel,
        "osImage": _OS_IMAGES.get(machine.spec.os, machine.spec.os),
        "containerRuntimeVersion": "containerd://1.7.28",
        "kubeletVersion": "v1.36.3",
        "kubeProxyVersion": "",
        "operatingSystem": machine.spec.os,
        "architecture": "amd64",
    }
