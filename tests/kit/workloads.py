"""Manifests of workloads. No image is ever pulled."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.kit.api import JsonObject, JsonValue

_IMAGE = "registry.invalid/pause:3"


def pod_template(app: str, *, annotations: dict[str, str] | None = None, empty_dir: bool = False) -> JsonObject:
    """A pod's metadata and specification. It asks for nothing, so any number fits on a node."""
    spec: JsonObject = {
        "terminationGracePeriodSeconds": 5,
        "automountServiceAccountToken": False,
        "containers": [{"name": "main", "image": _IMAGE}],
    }
    if empty_dir:
        spec["volumes"] = [{"name": "scratch", "emptyDir": {}}]
    notes: JsonObject = {**(annotations or {})}
    return {"metadata": {"labels": {"app": app}, "annotations": notes}, "spec": spec}


def deployment(app: str, replicas: int, template: JsonObject) -> JsonObject:
    """A Deployment whose pods the scheduler spreads over the nodes."""
    spread: list[JsonValue] = [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": app}},
        }
    ]
    inner = template["spec"]
    assert isinstance(inner, dict)
    return {
        "metadata": {"name": app},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": app}},
            "template": {**template, "spec": {**inner, "topologySpreadConstraints": spread}},
        },
    }


def daemon_set(app: str, template: JsonObject) -> JsonObject:
    """A DaemonSet on every node, whatever its taints."""
    inner = template["spec"]
    assert isinstance(inner, dict)
    everywhere: JsonValue = [{"operator": "Exists"}]
    return {
        "metadata": {"name": app},
        "spec": {
            "selector": {"matchLabels": {"app": app}},
            "template": {**template, "spec": {**inner, "tolerations": everywhere}},
        },
    }


def budget(app: str, *, min_available: int | str) -> JsonObject:
    """A PDB for the pods of an app."""
    return {
        "metadata": {"name": app},
        "spec": {"minAvailable": min_available, "selector": {"matchLabels": {"app": app}}},
    }


def bare_pod(name: str, node: str | None, template: JsonObject) -> JsonObject:
    """A pod that nobody owns, on a node or wherever the scheduler puts it."""
    meta, spec = template["metadata"], template["spec"]
    assert isinstance(meta, dict)
    assert isinstance(spec, dict)
    place: JsonObject = {"nodeName": node} if node else {}
    return {"metadata": {**meta, "name": name}, "spec": {**spec, **place}}


def mirror_pod(name: str, node: str, node_uid: str) -> JsonObject:
    """The API server's picture of a static pod of a node."""
    owner: JsonObject = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node_uid, "controller": True}
    return {
        "metadata": {
            "name": f"{name}-{node}",
            "annotations": {"kubernetes.io/config.mirror": "1", "kubernetes.io/config.source": "file"},
            "ownerReferences": [owner],
        },
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": _IMAGE}]},
    }


def host_pod(
    name: str, node: str, script: str, *, security: JsonObject, env: dict[str, str] | None = None
) -> JsonObject:
    """A bare host-PID pod whose shell script is really run in the machine, with the rights of a security context."""
    variables: list[JsonValue] = [{"name": key, "value": value} for key, value in (env or {}).items()]
    container: JsonObject = {
        "name": "main",
        "image": _IMAGE,
        "command": ["/bin/sh", "-c", script],
        "env": variables,
        "securityContext": security,
    }
    return {
        "metadata": {"name": name},
        "spec": {
            "nodeName": node,
            "hostPID": True,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "tolerations": [{"operator": "Exists"}],
            "containers": [container],
        },
    }
