"""A pod on a node that is drained, and kubectl's verdict on it.

The chain follows kubectl 1.36 `pkg/drain/filters.go`: the filters run in this order, the first that keeps the pod ends
the chain, and one error means that nothing is evicted. Its defaults here are kured's: DaemonSet pods are ignored. What
is ours comes around it: the pod selector before (kubectl lists by it), labels and rules of single pods after.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from midwatch.domain.base import Message
from midwatch.domain.drain_policy import DrainPolicy, DrainRule, PodAction
from midwatch.domain.selectors import all_match, parse_selector

_OUR_LABEL = "midwatch.dev/drain"
_CAPI_LABEL = "cluster.x-k8s.io/drain"
_BY_LABEL = {
    (_OUR_LABEL, "skip"): PodAction.SKIP,
    (_OUR_LABEL, "wait"): PodAction.WAIT,
    (_CAPI_LABEL, "skip"): PodAction.SKIP,
    (_CAPI_LABEL, "wait-completed"): PodAction.WAIT,
}
"""Cluster API's label has just these two values (`PodDrainLabel`); another value says nothing, to it as to us."""
UNREACHABLE_SKIP = timedelta(minutes=5)
"""On a node that cannot be reached, a pod that has been terminating for longer is left aside; Cluster API's figure."""
_CRITICAL = frozenset({"system-cluster-critical", "system-node-critical"})


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
    """A pod, as far as Midwatch looks at it.

    `deleted` is its deletion timestamp, at which its grace is over. `claims`: the PersistentVolumeClaims that it uses.
    """

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
    priority_class: str = ""
    grace: timedelta = timedelta(seconds=30)
    claims: tuple[str, ...] = ()

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


class Moment(Message):
    """When the pods were listed, and whether the node's kubelet can be reached."""

    now: datetime
    unreachable: bool = False


def _too_long(pod: PodView, policy: DrainPolicy, moment: Moment) -> str | None:
    """Why a terminating pod is not waited for, None where it is."""
    if pod.deleted is None:
        return None
    waited = moment.now - pod.deleted
    if policy.skip_wait_for_delete_timeout and waited > policy.skip_wait_for_delete_timeout:
        return "terminating-too-long"
    return "unreachable" if moment.unreachable and waited > UNREACHABLE_SKIP else None


def _daemon_set_pod(pod: PodView, policy: DrainPolicy, orphans: Orphans) -> tuple[PodVerdict, str] | None:
    if pod.controller is None or not pod.controller.is_daemon_set or pod.finished:
        return None
    if f"{pod.namespace}/{pod.controller.name}" in orphans.daemon_sets:
        return None if policy.force else (PodVerdict.ERROR, "daemonset-gone")
    return PodVerdict.SKIP if policy.ignore_daemon_sets else PodVerdict.ERROR, "daemonset"


def _kept(pod: PodView, policy: DrainPolicy, orphans: Orphans, moment: Moment) -> tuple[PodVerdict, str] | None:  # noqa: PLR0911 - a chain, one row each
    """The verdict of the first filter that keeps the pod, None where all let it go."""
    if policy.pod_selector is not None and not all_match(parse_selector(policy.pod_selector), pod.labels):
        return PodVerdict.SKIP, "not-selected"
    if (reason := _too_long(pod, policy, moment)) is not None:
        return PodVerdict.SKIP, reason
    if (kept := _daemon_set_pod(pod, policy, orphans)) is not None:
        return kept
    if pod.mirror:
        return PodVerdict.SKIP, "mirror"
    if pod.empty_dir and not pod.finished and not policy.delete_empty_dir_data:
        return PodVerdict.ERROR, "empty-dir"
    if pod.controller is None and not pod.finished and not policy.force:
        return PodVerdict.ERROR, "unmanaged"
    return None


def _rule_for(pod: PodView, policy: DrainPolicy) -> DrainRule | None:
    """The first rule that matches the pod."""
    for rule in policy.rules:
        selected = all(pod.labels.get(key) == value for key, value in rule.select.items())
        if selected and rule.namespace in {None, pod.namespace}:
            return rule
    return None


def _own_way(pod: PodView, policy: DrainPolicy) -> tuple[PodVerdict, str] | None:
    """What the pod's label, or else a rule, says other than to drain it."""
    rule = _rule_for(pod, policy)
    by_label = (_BY_LABEL.get((key, pod.labels.get(key, ""))) for key in (_OUR_LABEL, _CAPI_LABEL))
    action = next((a for a in by_label if a is not None), rule.action if rule is not None else PodAction.DRAIN)
    if action is PodAction.SKIP:
        return PodVerdict.SKIP, "opted-out"
    if action is PodAction.WAIT and not pod.finished:
        return PodVerdict.WAIT, "until-completed"
    return None


def judge_pod(pod: PodView, policy: DrainPolicy, orphans: Orphans, moment: Moment) -> Judged:
    """The verdict on one pod, and why.

    A label or a rule that keeps a pod on the node goes before an error: what is not deleted loses nothing.

    Args:
        pod: the pod as just listed.
        policy: all that does not concern time between passes.
        orphans: the DaemonSets that no longer exist.
        moment: when it was listed.
    """
    kept = _kept(pod, policy, orphans, moment)
    if kept is None or kept[0] is PodVerdict.ERROR:
        kept = _own_way(pod, policy) or kept
    verdict, reason = kept or (PodVerdict.EVICT, _why_evicted(pod))
    return Judged(pod=pod, verdict=verdict, reason=reason)


def _why_evicted(pod: PodView) -> str:
    if pod.deleted is not None:
        return "terminating"
    if pod.finished:
        return "finished"
    if pod.controller is None:
        return "unmanaged"
    if pod.controller.is_daemon_set:
        return "daemonset-gone"
    return "empty-dir" if pod.empty_dir else "managed"


def waves(pods: list[PodView], policy: DrainPolicy) -> list[list[PodView]]:
    """The pods that go together, in the order in which they go: by their rule's order, critical pods last in each.

    Every wave is gone before the next one is evicted (Cluster API's drain order; Karpenter's tiers).
    """
    found: dict[tuple[int, bool], list[PodView]] = {}
    for pod in pods:
        rule = _rule_for(pod, policy)
        key = (rule.order if rule is not None else 0, pod.priority_class in _CRITICAL)
        found.setdefault(key, []).append(pod)
    return [found[key] for key in sorted(found)]
