"""A pod on a node that is drained, and kubectl's verdict on it.

The chain follows kubectl 1.36 `pkg/drain/filters.go`: the filters run in this order, the first that keeps the pod ends
the chain, and one error means that nothing is evicted. Its defaults here are kured's: DaemonSet pods are ignored.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from midwatch.domain.base import Message
from midwatch.domain.policy import DrainPolicy


class Controller(Message):
    """The owner reference that is marked as controller."""

    api_version: str
    kind: str
    name: str

    @property
    def is_daemon_set(self) -> bool:
        """Since kubectl 1.36 the group and version are compared, too: another API's DaemonSet is any controller."""
        return self.kind == "DaemonSet" and self.api_version == "apps/v1"


class PodView(Message):
    """A pod, as far as Midwatch looks at it. `deleted` is its deletion timestamp."""

    namespace: str
    name: str
    uid: str
    labels: dict[str, str]
    phase: str
    ready: bool
    deleted: datetime | None
    mirror: bool
    empty_dir: bool
    controller: Controller | None

    @property
    def finished(self) -> bool:
        """Whether it has run to its end."""
        return self.phase in {"Succeeded", "Failed"}

    @property
    def full_name(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


class PodVerdict(StrEnum):
    """What the drain makes of a pod, before anything is sent."""

    EVICT = "evict"
    SKIP = "skip"
    WAIT = "wait"
    ERROR = "error"


class Judged(Message):
    """A pod with its verdict; `reason` is a stable word."""

    pod: PodView
    verdict: PodVerdict
    reason: str


class Orphans(Message):
    """The DaemonSets, as `namespace/name`, that pods name as controller and that no longer exist."""

    daemon_sets: frozenset[str] = frozenset()


def _kept(pod: PodView, policy: DrainPolicy, orphans: Orphans) -> tuple[PodVerdict, str] | None:
    """The verdict of the first filter that keeps the pod, None where all let it go."""
    controller = pod.controller
    if controller is not None and controller.is_daemon_set and not pod.finished:
        if f"{pod.namespace}/{controller.name}" not in orphans.daemon_sets:
            return PodVerdict.SKIP, "daemonset"
        if not policy.force:
            return PodVerdict.ERROR, "daemonset-gone"
    if pod.mirror:
        return PodVerdict.SKIP, "mirror"
    if pod.empty_dir and not pod.finished and not policy.delete_empty_dir_data:
        return PodVerdict.ERROR, "empty-dir"
    if controller is None and not pod.finished and not policy.force:
        return PodVerdict.ERROR, "unmanaged"
    return None


def judge_pod(pod: PodView, policy: DrainPolicy, orphans: Orphans) -> Judged:
    """The verdict on one pod, and why.

    Args:
        pod: the pod as just listed.
        policy: `force` and `deleteEmptyDirData` count.
        orphans: the DaemonSets that no longer exist.
    """
    kept = _kept(pod, policy, orphans)
    if kept is not None:
        return Judged(pod=pod, verdict=kept[0], reason=kept[1])
    if pod.deleted is not None:
        reason = "terminating"
    elif pod.finished:
        reason = "finished"
    elif pod.controller is None:
        reason = "unmanaged"
    elif pod.controller.is_daemon_set:
        reason = "daemonset-gone"
    elif pod.empty_dir:
        reason = "empty-dir"
    else:
        reason = "managed"
    return Judged(pod=pod, verdict=PodVerdict.EVICT, reason=reason)
