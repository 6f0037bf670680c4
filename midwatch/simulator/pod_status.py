"""What a kubelet and the scheduler write about a pod, and what a pod's annotations ask of them."""

from __future__ import annotations

from datetime import datetime

from midwatch.simulator.documents import (
    JsonObject,
    JsonValue,
    number,
    objects,
    part,
    stamp,
    strings,
    text,
    with_conditions,
)

PREFIX = "simulator.midwatch.dev/"
STOP_SECONDS = f"{PREFIX}stop-seconds"
"""How long the pod takes to end, in simulated seconds; never longer than its grace."""
RUN_SECONDS = f"{PREFIX}run-seconds"
"""The pod succeeds after that long; without it, it runs on."""
NEVER_READY = f"{PREFIX}never-ready"
"""The pod runs, and is never Ready."""
BAD_IMAGE = f"{PREFIX}bad-image"
"""The pod's image cannot be pulled."""
DIED_WITH_MACHINE = 255
"""What containerd reports of a container that it finds dead after a boot (reason `Unknown`)."""


def note(pod: JsonObject, name: str) -> str | None:
    """An annotation of the pod."""
    return strings(pod, "metadata", "annotations").get(name)


def restarts(pod: JsonObject) -> int:
    """How often its first container was restarted."""
    return max((number(s, "restartCount") for s in objects(pod, "status", "containerStatuses")), default=0)


def scheduled(pod: JsonObject, node: str, now: datetime) -> JsonObject:
    """The pod when it is bound to a node."""
    spec: JsonObject = {**part(pod, "spec"), "nodeName": node}
    said: JsonObject = {
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": stamp(now),
    }
    return with_conditions({**pod, "spec": spec}, [said])


def unschedulable(pod: JsonObject, message: str, now: datetime) -> JsonObject:
    """The pod when no node takes it."""
    said: JsonObject = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastTransitionTime": stamp(now),
    }
    return with_conditions(pod, [said])


def running(pod: JsonObject, now: datetime, *, ready: bool, restart_count: int, address: str) -> JsonObject:
    """The pod when its containers run."""
    state: JsonObject = {"running": {"startedAt": stamp(now)}}
    doc = _with_containers(pod, state, ready=ready, restart_count=restart_count)
    status: JsonObject = {
        **part(doc, "status"),
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": part(doc, "status").get("startTime") or stamp(now),
    }
    return _with_readiness({**doc, "status": status}, now, ready=ready)


def waiting(pod: JsonObject, now: datetime, reason: str, message: str) -> JsonObject:
    """The pod when its containers cannot start."""
    state: JsonObject = {"waiting": {"reason": reason, "message": message}}
    return _with_readiness(_with_containers(pod, state, ready=False, restart_count=restarts(pod)), now, ready=False)


def finished(pod: JsonObject, now: datetime, exit_code: int) -> JsonObject:
    """The pod when its containers have ended for good."""
    reason = "Completed" if exit_code == 0 else "Unknown" if exit_code == DIED_WITH_MACHINE else "Error"
    ended: JsonObject = {"exitCode": exit_code, "reason": reason, "finishedAt": stamp(now)}
    doc = _with_containers(pod, {"terminated": ended}, ready=False, restart_count=restarts(pod))
    doc = {**doc, "status": {**part(doc, "status"), "phase": "Failed" if exit_code else "Succeeded"}}
    return _with_readiness(doc, now, ready=False)


def not_ready(pod: JsonObject, now: datetime) -> JsonObject:
    """The pod when its node is not Ready (node lifecycle controller)."""
    return with_conditions(pod, [{"type": "Ready", "status": "False", "lastTransitionTime": stamp(now)}])


def _with_readiness(pod: JsonObject, now: datetime, *, ready: bool) -> JsonObject:
    answer = "True" if ready else "False"
    parts = {"Initialized": "True", "ContainersReady": answer, "Ready": answer}
    if text(pod, "spec", "nodeName"):
        parts["PodScheduled"] = "True"
    return with_conditions(
        pod, [{"type": kind, "status": status, "lastTransitionTime": stamp(now)} for kind, status in parts.items()]
    )


def _with_containers(pod: JsonObject, state: JsonObject, *, ready: bool, restart_count: int) -> JsonObject:
    statuses: list[JsonValue] = [
        {
            "name": container["name"],
            "ready": ready,
            "started": "running" in state,
            "restartCount": restart_count,
            "image": container.get("image", ""),
            "imageID": "",
            "state": state,
        }
        for container in objects(pod, "spec", "containers")
    ]
    return {**pod, "status": {**part(pod, "status"), "containerStatuses": statuses}}
