"""A cluster copied for a simulation: what its rules look at, and nothing else.

The models are the list of what is copied. A field that none of them names stays in the cluster: environment
variables, annotations, images, commands, secrets and configuration above all.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field, ValidationError

from midwatch.domain.errors import UsageError
from midwatch.domain.nodes import STALE_AFTER
from midwatch.domain.policy import REBOOT_REQUIRED
from midwatch.kube.answers import JsonObject
from midwatch.kube.client import KubeClient
from midwatch.kube.objects import ApiObject, OwnerReference
from midwatch.kube.version import server_version


class _Meta(ApiObject):
    name: str
    namespace: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    owner_references: list[OwnerReference] = Field(default_factory=list)


class _Condition(ApiObject):
    type: str
    status: str
    message: str = ""
    """Only that of `RebootRequired`, which names packages."""
    last_heartbeat_time: datetime | None = None
    last_transition_time: datetime | None = None


class _Taint(ApiObject):
    key: str
    value: str = ""
    effect: str


class _Toleration(ApiObject):
    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class _NodeSpec(ApiObject):
    unschedulable: bool = False
    taints: list[_Taint] = Field(default_factory=list)


class _Conditions(ApiObject):
    conditions: list[_Condition] = Field(default_factory=list)


class NodeCopy(ApiObject):
    """A node."""

    metadata: _Meta
    spec: _NodeSpec = _NodeSpec()
    status: _Conditions = _Conditions()

    def as_of(self, now: datetime) -> NodeCopy:
        """The node as the rules see it then: a condition that nobody has confirmed for too long is Unknown."""
        conditions = [_as_of(c, now) for c in self.status.conditions]
        return self.model_copy(update={"status": _Conditions(conditions=conditions)})


def _as_of(condition: _Condition, now: datetime) -> _Condition:
    wanted = condition.type == REBOOT_REQUIRED
    beat = condition.last_heartbeat_time
    stale = wanted and (beat is None or now - beat > STALE_AFTER)
    update = {"message": condition.message if wanted else "", "last_heartbeat_time": None}
    return condition.model_copy(update={**update, "status": "Unknown"} if stale else update)


class _Resources(ApiObject):
    requests: dict[str, str] = Field(default_factory=dict)


class _Container(ApiObject):
    name: str
    resources: _Resources = _Resources()


class _Nothing(ApiObject):
    """That it is there is all that is copied."""


class _Volume(ApiObject):
    name: str
    empty_dir: _Nothing | None = None


class _PodSpec(ApiObject):
    node_name: str = ""
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: list[_Toleration] = Field(default_factory=list)
    termination_grace_period_seconds: int | None = None
    priority_class_name: str = ""
    restart_policy: str = ""
    containers: list[_Container] = Field(default_factory=list)
    volumes: list[_Volume] = Field(default_factory=list)


class _PodStatus(_Conditions):
    phase: str = ""


class _PodMeta(_Meta):
    deletion_timestamp: datetime | None = Field(default=None, exclude=True)


class PodCopy(ApiObject):
    """A pod."""

    metadata: _PodMeta
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()

    def trimmed(self) -> PodCopy:
        """The pod with the condition Ready alone, and without its words."""
        ready = [c.model_copy(update={"message": ""}) for c in self.status.conditions if c.type == "Ready"]
        return self.model_copy(update={"status": _PodStatus(phase=self.status.phase, conditions=ready)})


class _Expression(ApiObject):
    key: str
    operator: str
    values: list[str] = Field(default_factory=list)


class _Selector(ApiObject):
    match_labels: dict[str, str] = Field(default_factory=dict)
    match_expressions: list[_Expression] = Field(default_factory=list)


class _TemplateMeta(ApiObject):
    labels: dict[str, str] = Field(default_factory=dict)


class _Template(ApiObject):
    metadata: _TemplateMeta = _TemplateMeta()
    spec: _PodSpec = _PodSpec()


class _ControllerSpec(ApiObject):
    replicas: int | None = None
    selector: _Selector | None = None
    template: _Template = _Template()


class ControllerCopy(ApiObject):
    """A Deployment, ReplicaSet, StatefulSet or DaemonSet."""

    metadata: _Meta
    spec: _ControllerSpec = _ControllerSpec()


class _BudgetSpec(ApiObject):
    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    selector: _Selector | None = None
    unhealthy_pod_eviction_policy: str | None = None


class BudgetCopy(ApiObject):
    """A PodDisruptionBudget."""

    metadata: _Meta
    spec: _BudgetSpec = _BudgetSpec()


class Snapshot(ApiObject):
    """A cluster at a moment. Written to a file it holds no secret, environment variable or annotation."""

    cluster: str
    taken_at: datetime
    kubernetes_version: str | None = None
    nodes: list[NodeCopy] = Field(default_factory=list)
    pods: list[PodCopy] = Field(default_factory=list)
    budgets: list[BudgetCopy] = Field(default_factory=list)
    deployments: list[ControllerCopy] = Field(default_factory=list)
    replica_sets: list[ControllerCopy] = Field(default_factory=list)
    stateful_sets: list[ControllerCopy] = Field(default_factory=list)
    daemon_sets: list[ControllerCopy] = Field(default_factory=list)

    @property
    def documents(self) -> list[JsonObject]:
        """All objects as the API would write them, as far as they were copied."""
        listed: list[tuple[str, str, list[ApiObject]]] = [
            ("v1", "Node", [*self.nodes]),
            ("v1", "Pod", [*self.pods]),
            ("policy/v1", "PodDisruptionBudget", [*self.budgets]),
            ("apps/v1", "Deployment", [*self.deployments]),
            ("apps/v1", "ReplicaSet", [*self.replica_sets]),
            ("apps/v1", "StatefulSet", [*self.stateful_sets]),
            ("apps/v1", "DaemonSet", [*self.daemon_sets]),
        ]
        return [
            {"apiVersion": version, "kind": kind, **item.model_dump(mode="json", by_alias=True, exclude_defaults=True)}
            for version, kind, items in listed
            for item in items
        ]


def load_snapshot(path: Path) -> Snapshot:
    """Read a copy from a file.

    Raises:
        UsageError: `snapshot-unreadable`, with the first thing that is wrong.
    """
    try:
        return Snapshot.model_validate_json(path.read_bytes())
    except OSError as error:
        text = f"the snapshot {path} cannot be read: {error.strerror or error}"
    except ValidationError as error:
        first = error.errors()[0]
        text = f"{path} is no snapshot: {'.'.join(str(part) for part in first['loc']) or 'file'}: {first['msg']}"
    raise UsageError("snapshot-unreadable", text)


def save_snapshot(snapshot: Snapshot, path: Path) -> None:
    """Write a copy to a file.

    Raises:
        UsageError: `snapshot-unwritable`.
    """
    try:
        path.write_text(snapshot.model_dump_json(by_alias=True, exclude_defaults=True, indent=1))
    except OSError as error:
        text = f"the snapshot {path} cannot be written: {error.strerror or error}"
        raise UsageError("snapshot-unwritable", text) from error


async def take_snapshot(client: KubeClient, cluster: str) -> Snapshot:
    """Copy a cluster. Reads only.

    Raises:
        MidwatchError: one of the lists cannot be read.
    """
    apps, policy = "/apis/apps/v1", "/apis/policy/v1"
    paths = ["/api/v1/nodes", "/api/v1/pods", f"{policy}/poddisruptionbudgets"]
    paths += [f"{apps}/{name}" for name in ("deployments", "replicasets", "statefulsets", "daemonsets")]
    found = await asyncio.gather(*(client.list(path) for path in paths))
    nodes, pods, budgets, *controllers = (result.items for result in found)
    now = datetime.now(UTC)
    read = [[ControllerCopy.read(item) for item in items] for items in controllers]
    running = [pod for item in pods if (pod := PodCopy.read(item)).metadata.deletion_timestamp is None]
    return Snapshot(
        cluster=cluster,
        taken_at=now,
        kubernetes_version=await server_version(client),
        nodes=[NodeCopy.read(item).as_of(now) for item in nodes],
        pods=[pod.trimmed() for pod in running],
        budgets=[BudgetCopy.read(item) for item in budgets],
        deployments=read[0],
        replica_sets=[controller for controller in read[1] if controller.spec.replicas],
        stateful_sets=read[2],
        daemon_sets=read[3],
    )
