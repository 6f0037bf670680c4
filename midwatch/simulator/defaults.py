"""What the API server fills in when an object is created, as far as clients look at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from midwatch.simulator.documents import JsonObject, JsonValue, name_of, objects, part, put, text, value
from midwatch.simulator.resources import (
    BUDGETS,
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Resource,
)

_ABSENCES = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_CRITICAL = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
_POD: JsonObject = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "serviceAccountName": "default",
    "serviceAccount": "default",
    "securityContext": {},
    "schedulerName": "default-scheduler",
    "enableServiceLinks": True,
}


def pod_spec(spec: JsonObject) -> JsonObject:
    """A pod's specification as it is stored."""
    containers: list[JsonValue] = [
        {"imagePullPolicy": "IfNotPresent", "resources": {}, **container} for container in objects(spec, "containers")
    ]
    priority = _CRITICAL.get(text(spec, "priorityClassName"), 0)
    return {**_POD, **spec, "containers": containers, "priority": priority, "tolerations": _tolerations(spec)}


def _tolerations(spec: JsonObject) -> list[JsonValue]:
    """Those of the pod, and five minutes for a node that is away (admission plugin DefaultTolerationSeconds)."""
    own = objects(spec, "tolerations")
    wanted = [key for key in _ABSENCES if not any(t.get("key", key) == key for t in own)]
    base: JsonObject = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    added: list[JsonObject] = [{**base, "key": key} for key in wanted]
    return [*own, *added]


def _pod(doc: JsonObject) -> JsonObject:
    doc = put(doc, pod_spec(part(doc, "spec")), "spec")
    return {**doc, "status": {"phase": "Pending", "qosClass": "BestEffort"}}


def _namespace(doc: JsonObject) -> JsonObject:
    doc = put(doc, name_of(doc), "metadata", "labels", "kubernetes.io/metadata.name")
    return {**doc, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}


def _node(doc: JsonObject) -> JsonObject:
    return {"spec": {}, "status": {}, **doc}


def _replicated(doc: JsonObject) -> JsonObject:
    return _workload(doc) if value(doc, "spec", "replicas") is not None else _workload(put(doc, 1, "spec", "replicas"))


def _workload(doc: JsonObject) -> JsonObject:
    return {**doc, "status": {}}


_BY_RESOURCE: Mapping[Resource, Callable[[JsonObject], JsonObject]] = {
    PODS: _pod,
    NAMESPACES: _namespace,
    NODES: _node,
    DEPLOYMENTS: _replicated,
    REPLICA_SETS: _replicated,
    STATEFUL_SETS: _replicated,
    DAEMON_SETS: _workload,
    BUDGETS: _workload,
}


def fill_in(resource: Resource, doc: JsonObject) -> JsonObject:
    """The object with its defaults."""
    fill = _BY_RESOURCE.get(resource)
    return fill(doc) if fill is not None else doc
