"""The table of resources: what there is, how it is named, and what is special about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from midwatch.simulator import columns
from midwatch.simulator.columns import Column

_ALWAYS = frozenset({"metadata.name", "metadata.namespace"})

POD_KEYS: Mapping[str, str] = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "podIPs": "ip",
    "hostIPs": "ip",
    "ports": "containerPort",
}
"""The patch merge keys of core/v1 PodSpec and PodStatus."""


@dataclass(frozen=True, eq=False)
class Resource:
    """One row.

    Attributes:
        subresources: with the kind that each takes and gives.
        generation: whether a changed `spec` counts up `metadata.generation`.
        keeps_status: whether an object may be created with a status (nodes may, pods may not).
        unconditional: whether a PUT without a resource version is taken.
        fields: what field selectors may name besides name and namespace.
        field_defaults: what a missing field counts as in a selector.
        merge_keys: lists whose items a strategic merge patch merges, and by which key; others it replaces.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    subresources: Mapping[str, str] = field(default_factory=dict)
    generation: bool = False
    keeps_status: bool = False
    unconditional: bool = True
    fields: frozenset[str] = frozenset()
    field_defaults: Mapping[str, str] = field(default_factory=dict)
    merge_keys: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[Column, ...] = columns.PLAIN

    @property
    def api_version(self) -> str:
        """`v1`, or `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def selectable(self) -> frozenset[str]:
        """All fields that a selector may name."""
        return self.fields | _ALWAYS


def _status(kind: str) -> Mapping[str, str]:
    return {"status": kind}


NAMESPACES = Resource(
    "", "v1", "namespaces", "Namespace", namespaced=False, short_names=("ns",),
    subresources=_status("Namespace"), fields=frozenset({"status.phase"}), columns=columns.NAMESPACE,
)  # fmt: skip
NODES = Resource(
    "", "v1", "nodes", "Node", namespaced=False, short_names=("no",), subresources=_status("Node"),
    keeps_status=True, fields=frozenset({"spec.unschedulable"}), field_defaults={"spec.unschedulable": "false"},
    merge_keys={"conditions": "type", "addresses": "type"}, columns=columns.NODE,
)  # fmt: skip
PODS = Resource(
    "", "v1", "pods", "Pod", short_names=("po",), subresources={"status": "Pod", "eviction": "Eviction"},
    generation=True,
    fields=frozenset({
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.nominatedNodeName",
    }),
    field_defaults={"spec.hostNetwork": "false"},
    merge_keys={"conditions": "type", **POD_KEYS}, columns=columns.POD,
)  # fmt: skip
EVENTS = Resource(
    "", "v1", "events", "Event", short_names=("ev",),
    fields=frozenset({
        *(f"involvedObject.{name}" for name in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")),
        "involvedObject.resourceVersion", "reason", "reportingComponent", "source", "type",
    }),
    columns=columns.EVENT,
)  # fmt: skip
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", short_names=("sa",))
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", short_names=("cm",))
DEPLOYMENTS = Resource(
    "apps", "v1", "deployments", "Deployment", short_names=("deploy",), subresources=_status("Deployment"),
    generation=True, merge_keys={"conditions": "type", **POD_KEYS}, columns=columns.DEPLOYMENT,
)  # fmt: skip
REPLICA_SETS = Resource(
    "apps", "v1", "replicasets", "ReplicaSet", short_names=("rs",), subresources=_status("ReplicaSet"),
    generation=True, fields=frozenset({"status.replicas"}), field_defaults={"status.replicas": "0"},
    merge_keys={"conditions": "type", **POD_KEYS}, columns=columns.REPLICA_SET,
)  # fmt: skip
STATEFUL_SETS = Resource(
    "apps", "v1", "statefulsets", "StatefulSet", short_names=("sts",), subresources=_status("StatefulSet"),
    generation=True, merge_keys={"conditions": "type", **POD_KEYS}, columns=columns.STATEFUL_SET,
)  # fmt: skip
DAEMON_SETS = Resource(
    "apps", "v1", "daemonsets", "DaemonSet", short_names=("ds",), subresources=_status("DaemonSet"),
    generation=True, merge_keys={"conditions": "type", **POD_KEYS}, columns=columns.DAEMON_SET,
)  # fmt: skip
BUDGETS = Resource(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", short_names=("pdb",),
    subresources=_status("PodDisruptionBudget"), generation=True, merge_keys={"conditions": "type"},
    columns=columns.BUDGET,
)  # fmt: skip
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", unconditional=False, columns=columns.LEASE)
PRIORITY_CLASSES = Resource(
    "scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False, short_names=("pc",)
)
VOLUME_ATTACHMENTS = Resource(
    "storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment", namespaced=False,
    subresources=_status("VolumeAttachment"),
)  # fmt: skip

RESOURCES = (
    NAMESPACES, NODES, PODS, EVENTS, SERVICE_ACCOUNTS, CONFIG_MAPS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS,
    DAEMON_SETS, BUDGETS, LEASES, PRIORITY_CLASSES, VOLUME_ATTACHMENTS,
)  # fmt: skip
WORKLOADS = (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS)

_BY_PATH = {(r.group, r.version, r.plural): r for r in RESOURCES}
_BY_KIND = {(r.api_version, r.kind): r for r in RESOURCES}


def at(group: str, version: str, plural: str) -> Resource | None:
    """The resource of a path."""
    return _BY_PATH.get((group, version, plural))


def of_kind(api_version: str, kind: str) -> Resource | None:
    """The resource of an object or of a reference to one."""
    return _BY_KIND.get((api_version, kind))


def groups() -> dict[str, list[Resource]]:
    """The resources by group version, such as `apps/v1`, in the table's order."""
    found: dict[str, list[Resource]] = {}
    for resource in RESOURCES:
        found.setdefault(resource.api_version, []).append(resource)
    return found
