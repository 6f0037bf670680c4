"""What `kubectl get` shows: the columns of the server-side tables, as in Kubernetes' own printers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from midwatch.simulator.documents import (
    JsonObject,
    JsonValue,
    is_deleting,
    labels_of,
    moment,
    name_of,
    number,
    objects,
    part,
    strings,
    text,
    value,
)

type Cell = Callable[[JsonObject, datetime], JsonValue]

_NONE = "<none>"
_ROLE = "node-role.kubernetes.io/"


@dataclass(frozen=True)
class Column:
    """One column. Those with `wide` are shown by `-o wide` alone."""

    name: str
    cell: Cell
    type: str = "string"
    wide: bool = False

    @property
    def definition(self) -> JsonObject:
        """Its TableColumnDefinition."""
        fmt = "name" if self.name == "Name" else ""
        return {
            "name": self.name, "type": self.type, "format": fmt, "description": "", "priority": 1 if self.wide else 0,
        }  # fmt: skip


def span(length: timedelta) -> str:
    """A duration as kubectl shows it: two units at most, fewer the longer it is."""
    seconds = int(length.total_seconds())
    if seconds < 0:
        return "0s" if seconds >= -2 else "<invalid>"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    for limit, whole, unit, rest, smaller in (
        (120, seconds, "s", 0, ""),
        (600, minutes, "m", seconds % 60, "s"),
        (3 * 3600, minutes, "m", 0, ""),
        (8 * 3600, hours, "h", minutes % 60, "m"),
        (48 * 3600, hours, "h", 0, ""),
        (8 * 86400, days, "d", hours % 24, "h"),
    ):
        if seconds < limit:
            return f"{whole}{unit}" + (f"{rest}{smaller}" if rest else "")
    return f"{days}d"


def _since(*path: str) -> Cell:
    def cell(doc: JsonObject, now: datetime) -> JsonValue:
        when = moment(text(doc, *path))
        return "<unknown>" if when is None else span(now - when)

    return cell


def _at(*path: str, missing: str = "") -> Cell:
    def cell(doc: JsonObject, _: datetime) -> JsonValue:
        found = value(doc, *path)
        return missing if found is None else found

    return cell


def _count(*path: str) -> Cell:
    return lambda doc, _: number(doc, *path)


def _of(*path: str, total: tuple[str, ...]) -> Cell:
    return lambda doc, _: f"{number(doc, *path)}/{number(doc, *total)}"


def _pairs(*path: str) -> Cell:
    return lambda doc, _: ",".join(f"{k}={v}" for k, v in sorted(strings(doc, *path).items())) or _NONE


def _containers(what: str) -> Cell:
    return lambda doc, _: ",".join(text(c, what) for c in objects(doc, "spec", "template", "spec", "containers"))


def _node_status(doc: JsonObject, _: datetime) -> JsonValue:
    ready = next((c for c in objects(doc, "status", "conditions") if c.get("type") == "Ready"), None)
    word = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    return f"{word},SchedulingDisabled" if value(doc, "spec", "unschedulable") else word


def _roles(doc: JsonObject, _: datetime) -> JsonValue:
    return ",".join(sorted(k.removeprefix(_ROLE) for k in labels_of(doc) if k.startswith(_ROLE))) or _NONE


def _address(kind: str) -> Cell:
    def cell(doc: JsonObject, _: datetime) -> JsonValue:
        found = (text(a, "address") for a in objects(doc, "status", "addresses") if a.get("type") == kind)
        return next(found, _NONE)

    return cell


def _pod_ready(doc: JsonObject, _: datetime) -> JsonValue:
    ready = sum(s.get("ready") is True for s in objects(doc, "status", "containerStatuses"))
    return f"{ready}/{len(objects(doc, 'spec', 'containers'))}"


def _pod_status(doc: JsonObject, _: datetime) -> JsonValue:
    reason = text(doc, "status", "reason") or text(doc, "status", "phase")
    for status in objects(doc, "status", "containerStatuses"):
        waiting, ended = part(status, "state", "waiting"), part(status, "state", "terminated")
        if text(waiting, "reason"):
            reason = text(waiting, "reason")
        elif ended:
            reason = text(ended, "reason") or f"ExitCode:{number(ended, 'exitCode')}"
    if is_deleting(doc):
        return "Unknown" if text(doc, "status", "reason") == "NodeLost" else "Terminating"
    return reason


def _restarts(doc: JsonObject, _: datetime) -> JsonValue:
    return str(sum(number(s, "restartCount") for s in objects(doc, "status", "containerStatuses")))


def _budget_limit(field: str) -> Cell:
    def cell(doc: JsonObject, _: datetime) -> JsonValue:
        found = value(doc, "spec", field)
        return "N/A" if found is None else str(found)

    return cell


def _involved(doc: JsonObject, _: datetime) -> JsonValue:
    return f"{text(doc, 'involvedObject', 'kind').lower()}/{text(doc, 'involvedObject', 'name')}"


def _last_seen(doc: JsonObject, now: datetime) -> JsonValue:
    when = moment(text(doc, "lastTimestamp") or text(doc, "eventTime") or text(doc, "metadata", "creationTimestamp"))
    return "<unknown>" if when is None else span(now - when)


def _desired_pods(doc: JsonObject, _: datetime) -> JsonValue:
    return number(doc, "status", "desiredNumberScheduled")


_NAME = Column("Name", lambda doc, _: name_of(doc))
_AGE = Column("Age", _since("metadata", "creationTimestamp"))
_IMAGES = (Column("Containers", _containers("name"), wide=True), Column("Images", _containers("image"), wide=True))
_SELECTOR = Column("Selector", _pairs("spec", "selector", "matchLabels"), wide=True)

PLAIN = (_NAME, _AGE)
NAMESPACE = (_NAME, Column("Status", _at("status", "phase")), _AGE)
NODE = (
    _NAME,
    Column("Status", _node_status),
    Column("Roles", _roles),
    _AGE,
    Column("Version", _at("status", "nodeInfo", "kubeletVersion")),
    Column("Internal-IP", _address("InternalIP"), wide=True),
    Column("External-IP", _address("ExternalIP"), wide=True),
    Column("OS-Image", _at("status", "nodeInfo", "osImage", missing="<unknown>"), wide=True),
    Column("Kernel-Version", _at("status", "nodeInfo", "kernelVersion", missing="<unknown>"), wide=True),
    Column("Container-Runtime", _at("status", "nodeInfo", "containerRuntimeVersion", missing="<unknown>"), wide=True),
)
POD = (
    _NAME,
    Column("Ready", _pod_ready),
    Column("Status", _pod_status),
    Column("Restarts", _restarts),
    _AGE,
    Column("IP", _at("status", "podIP", missing=_NONE), wide=True),
    Column("Node", _at("spec", "nodeName", missing=_NONE), wide=True),
    Column("Nominated Node", _at("status", "nominatedNodeName", missing=_NONE), wide=True),
    Column("Readiness Gates", lambda _doc, _now: _NONE, wide=True),
)
EVENT = (
    Column("Last Seen", _last_seen),
    Column("Type", _at("type")),
    Column("Reason", _at("reason")),
    Column("Object", _involved),
    Column("Subobject", _at("involvedObject", "fieldPath"), wide=True),
    Column("Source", _at("source", "component"), wide=True),
    Column("Message", _at("message")),
    Column("First Seen", _since("firstTimestamp"), wide=True),
    Column("Count", _count("count"), wide=True),
    Column("Name", lambda doc, _: name_of(doc), wide=True),
)
DEPLOYMENT = (
    _NAME,
    Column("Ready", _of("status", "readyReplicas", total=("spec", "replicas"))),
    Column("Up-to-date", _count("status", "updatedReplicas"), "integer"),
    Column("Available", _count("status", "availableReplicas"), "integer"),
    _AGE,
    *_IMAGES,
    _SELECTOR,
)
REPLICA_SET = (
    _NAME,
    Column("Desired", _count("spec", "replicas"), "integer"),
    Column("Current", _count("status", "replicas"), "integer"),
    Column("Ready", _count("status", "readyReplicas"), "integer"),
    _AGE,
    *_IMAGES,
    _SELECTOR,
)
STATEFUL_SET = (_NAME, Column("Ready", _of("status", "readyReplicas", total=("spec", "replicas"))), _AGE, *_IMAGES)
DAEMON_SET = (
    _NAME,
    Column("Desired", _desired_pods, "integer"),
    Column("Current", _count("status", "currentNumberScheduled"), "integer"),
    Column("Ready", _count("status", "numberReady"), "integer"),
    Column("Up-to-date", _count("status", "updatedNumberScheduled"), "integer"),
    Column("Available", _count("status", "numberAvailable"), "integer"),
    Column("Node Selector", _pairs("spec", "template", "spec", "nodeSelector")),
    _AGE,
    *_IMAGES,
    _SELECTOR,
)
BUDGET = (
    _NAME,
    Column("Min Available", _budget_limit("minAvailable")),
    Column("Max Unavailable", _budget_limit("maxUnavailable")),
    Column("Allowed Disruptions", _count("status", "disruptionsAllowed"), "integer"),
    _AGE,
)
LEASE = (_NAME, Column("Holder", _at("spec", "holderIdentity")), _AGE)
