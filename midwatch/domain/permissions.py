"""The one table of what a run may have to do in a cluster. `deploy/rbac` grants just this: a test compares them."""

from __future__ import annotations

from enum import StrEnum

from midwatch.domain.base import Message
from midwatch.domain.drain_policy import OnTimeout
from midwatch.domain.lease import NAME, NAMESPACE
from midwatch.domain.policy import Policy

_EVENTS = "default"
"""Events about nodes live there."""
_NODES = ("", "", "nodes")
_ROLES = {
    "": "ClusterRole midwatch",
    NAMESPACE: f"Role {NAMESPACE}/midwatch",
    _EVENTS: f"Role {_EVENTS}/midwatch-node-events",
}


class Reason(StrEnum):
    """Which policies need a permission."""

    ALWAYS = "always"
    DELETES = "drain.onTimeout: delete"
    DETACHES = "drain.detachTimeout above 0s"


class Permission(Message):
    """One verb on one resource.

    Attributes:
        namespace: where; empty for the whole cluster.
        group: API group; empty for the core group.
        resource: such as `pods/eviction`.
        verb: such as `create`.
        why: what does not work without it.
        name: of the one object that it is about; empty: any.
        needed: by which policies.
    """

    namespace: str
    group: str
    resource: str
    verb: str
    why: str
    name: str = ""
    needed: Reason = Reason.ALWAYS

    @property
    def text(self) -> str:
        """How people say it: `get leases/midwatch.coordination.k8s.io in midwatch`."""
        name = f"/{self.name}" if self.name else ""
        group = f".{self.group}" if self.group else ""
        place = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{name}{group}{place}"

    @property
    def role(self) -> str:
        """The role of `deploy/rbac` that grants it."""
        return _ROLES[self.namespace]


def _one(where: tuple[str, str, str], verb: str, why: str, needed: Reason = Reason.ALWAYS) -> Permission:
    namespace, group, resource = where
    return Permission(namespace=namespace, group=group, resource=resource, verb=verb, why=why, needed=needed)


_LEASES = (NAMESPACE, "coordination.k8s.io", "leases")
_BUDGETS = ("", "policy", "poddisruptionbudgets")
_REBOOT_PODS = (NAMESPACE, "", "pods")

PERMISSIONS: tuple[Permission, ...] = (
    _one(_NODES, "get", "every step reads its node first"),
    _one(_NODES, "list", "the survey"),
    _one(_NODES, "watch", "the wait for a node's return"),
    _one(_NODES, "patch", "claim, cordon and release"),
    _one(("", "", "pods"), "list", "the drain, and the proof at the end"),
    _one(("", "", "pods"), "watch", "the drain waits for evicted pods"),
    _one(("", "", "pods/eviction"), "create", "the drain"),
    _one(("", "", "pods"), "delete", "the drain deletes what is left at its deadline", Reason.DELETES),
    _one(("", "apps", "daemonsets"), "get", "the drain asks whether a pod's DaemonSet is still there"),
    _one(_BUDGETS, "list", "the drain says which budget refused"),
    _one(_BUDGETS, "watch", "the drain waits for a budget"),
    _one(("", "storage.k8s.io", "volumeattachments"), "list", "the drain waits for volumes", Reason.DETACHES),
    _one(("", "", "persistentvolumeclaims"), "get", "which volumes belong to pods that stay", Reason.DETACHES),
    _one((_EVENTS, "", "events"), "create", "events on the node say what was done to it"),
    _one((_EVENTS, "", "events"), "list", "whether AKS node auto-repair acts on the node"),
    _one(_LEASES, "get", "one run per cluster").model_copy(update={"name": NAME}),
    _one(_LEASES, "update", "one run per cluster").model_copy(update={"name": NAME}),
    _one(_LEASES, "create", "one run per cluster: the first in it"),
    _one(_REBOOT_PODS, "create", "the reboot pod"),
    _one(_REBOOT_PODS, "get", "why a node does not go down"),
    _one(_REBOOT_PODS, "delete", "the reboot pod is removed"),
)


def needed_by(policy: Policy) -> tuple[Permission, ...]:
    """What a run under this policy needs."""
    reasons = {Reason.ALWAYS}
    if policy.drain.on_timeout is OnTimeout.DELETE:
        reasons.add(Reason.DELETES)
    if policy.drain.detach_timeout:
        reasons.add(Reason.DETACHES)
    return tuple(permission for permission in PERMISSIONS if permission.needed in reasons)
