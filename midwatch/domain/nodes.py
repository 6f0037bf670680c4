"""A node as the rules see it, and whether it is a candidate."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from midwatch.domain.base import Message
from midwatch.domain.durations import format_duration
from midwatch.domain.phases import NodePhase
from midwatch.domain.policy import Need, NodePolicy

HEARTBEAT = timedelta(minutes=5)
"""node-problem-detector's default heartbeat (`--k8s-exporter-heartbeat-period`)."""
STALE_AFTER = 2 * HEARTBEAT + timedelta(minutes=1)
"""A condition without a newer heartbeat says nothing any more: two heartbeats, and a minute for the clocks."""


class Condition(Message):
    """One node condition.

    `heartbeat` and `since` (last transition) are the node's own clock; None when the API object has none.
    """

    type: str
    status: str
    reason: str = ""
    message: str = ""
    heartbeat: datetime | None = None
    since: datetime | None = None


class Claim(Message):
    """What our annotations on a node say: which run holds it, where its patch is, and how the node was before.

    `by_hand` is the claim of `midwatch drain`: the node stays drained until `midwatch uncordon`, whatever runs come.
    """

    run: str
    boot_id: str
    was_unschedulable: bool
    phase: NodePhase = NodePhase.CLAIM
    by_hand: bool = False


class NodeView(Message):
    """A node, as far as Midwatch looks at it."""

    name: str
    uid: str
    resource_version: str
    labels: dict[str, str]
    unschedulable: bool
    conditions: tuple[Condition, ...]
    boot_id: str
    kernel_version: str
    os: str
    pool: str | None
    zone: str | None
    claim: Claim | None = None
    excluded_by: str | None = None
    """The value of the label that keeps external load balancers off the node, None without it."""
    volumes_attached: bool = False
    """Whether the attach-detach controller says that any volume is attached to it."""

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, or None."""
        return next((c for c in self.conditions if c.type == kind), None)

    @property
    def ready(self) -> bool:
        """Whether the kubelet is reported Ready; Unknown is not Ready."""
        condition = self.condition("Ready")
        return condition is not None and condition.status == "True"

    @property
    def cordoned_by_others(self) -> bool:
        """Whether it is cordoned, and not by us. Our own cordon comes together with a phase after the claim's."""
        if self.claim is None or not self.unschedulable:
            return self.unschedulable
        return self.claim.was_unschedulable or self.claim.phase is NodePhase.CLAIM

    def claimed_by(self, run: str, *, by_hand: bool = False) -> Claim:
        """The claim of a run on the node as it is. A cordon that a dead run has made is taken over as ours."""
        others = self.cordoned_by_others
        phase = NodePhase.DRAIN if self.unschedulable and not others else NodePhase.CLAIM
        return Claim(run=run, boot_id=self.boot_id, was_unschedulable=others, phase=phase, by_hand=by_hand)

    @property
    def unreachable(self) -> bool:
        """Whether its kubelet has stopped reporting."""
        condition = self.condition("Ready")
        return condition is not None and condition.status == "Unknown"

    @property
    def newest_heartbeat(self) -> datetime | None:
        """The latest time that the node itself has written: a lower bound of its clock."""
        return max((c.heartbeat for c in self.conditions if c.heartbeat is not None), default=None)


class Needed(StrEnum):
    """Whether a node needs a reboot."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Verdict(StrEnum):
    """What the survey makes of a node."""

    CANDIDATE = "candidate"
    NOT_NEEDED = "not-needed"
    SKIPPED = "skipped"


class NeedView(Message):
    """Whether a node needs a reboot, since when, and why that is not known."""

    needed: Needed
    since: datetime | None
    message: str
    unknown: str | None = None


class Judgement(Message):
    """A node's verdict; `reason` starts with a stable word, then says it for people."""

    verdict: Verdict
    reason: str | None
    need: NeedView


def _one_need(node: NodeView, need: Need, now: datetime) -> NeedView:
    condition = node.condition(need.condition)
    if condition is None:
        text = f"no-condition: the node does not report {need.condition}"
        return NeedView(needed=Needed.UNKNOWN, since=None, message="", unknown=text)
    if condition.heartbeat is None:
        text = f"no-heartbeat: {need.condition} does not say when it was last confirmed"
        return NeedView(needed=Needed.UNKNOWN, since=condition.since, message=condition.message, unknown=text)
    if now - condition.heartbeat > STALE_AFTER:
        text = f"stale: {need.condition} was last confirmed at {condition.heartbeat.isoformat()}"
        return NeedView(needed=Needed.UNKNOWN, since=condition.since, message=condition.message, unknown=text)
    if condition.status not in {"True", "False"}:
        text = f"unknown: {need.condition} is {condition.status}: {condition.message}"
        return NeedView(needed=Needed.UNKNOWN, since=condition.since, message=condition.message, unknown=text)
    needed = Needed.TRUE if condition.status == need.status.value else Needed.FALSE
    return NeedView(needed=needed, since=condition.since, message=condition.message)


def need_of(node: NodeView, needs: tuple[Need, ...], now: datetime) -> NeedView:
    """Whether any of the needs holds. One that cannot be known counts only where none holds.

    Args:
        node: the node as just read.
        needs: the policy's needs; any one is enough.
        now: aware, to tell a stale condition.
    """
    views = [_one_need(node, need, now) for need in needs]
    for wanted in (Needed.TRUE, Needed.UNKNOWN):
        for view in views:
            if view.needed is wanted:
                return view
    return views[0]


def _held_long_enough(node: NodeView, needs: tuple[Need, ...], now: datetime) -> timedelta | None:
    """None when a need has held for as long as it asks, else how long the most patient wait still is."""
    missing = []
    for need in needs:
        view = _one_need(node, need, now)
        if view.needed is not Needed.TRUE:
            continue
        held = now - view.since if view.since is not None else timedelta(0)
        if held >= need.for_:
            return None
        missing.append(need.for_ - held)
    return min(missing, default=None)


def judge(node: NodeView, policy: NodePolicy, now: datetime, barred_pools: Mapping[str, str]) -> Judgement:
    """Whether the node may be patched now. Fails closed: what is not known is skipped.

    The order of the rules is the order in which an operator wants to hear of them.

    Args:
        node: the node as just read.
        policy: the node policy.
        now: aware.
        barred_pools: node pools of which no node may be touched, and why.
    """
    need = need_of(node, policy.needs, now)
    wait = _held_long_enough(node, policy.needs, now)
    reason: str | None = None
    if node.os == "windows":
        reason = "windows: in-place reboots are for Linux nodes"
    elif mismatch := {k: v for k, v in policy.select.items() if node.labels.get(k) != v}:
        reason = "not-selected: the policy wants " + ", ".join(f"{k}={v}" for k, v in sorted(mismatch.items()))
    elif need.needed is Needed.FALSE:
        return Judgement(verdict=Verdict.NOT_NEEDED, reason=None, need=need)
    elif need.needed is Needed.UNKNOWN:
        reason = need.unknown
    elif wait is not None:
        reason = f"too-recent: the policy waits another {format_duration(wait)}"
    else:
        reason = _not_fit(node, barred_pools)
    return Judgement(verdict=Verdict.SKIPPED if reason else Verdict.CANDIDATE, reason=reason, need=need)


def _not_fit(node: NodeView, barred_pools: Mapping[str, str]) -> str | None:
    """Why a node that asks for a reboot is not in the state to get one."""
    if node.claim is not None and node.claim.by_hand:
        return "drained: `midwatch drain` emptied the node, and `midwatch uncordon` gives it back"
    if node.cordoned_by_others:
        return "cordoned: somebody else cordoned the node"
    if node.pool is not None and node.pool in barred_pools:
        return f"pool: node pool {node.pool}: {barred_pools[node.pool]}"
    if not node.ready:
        return "not-ready: the node is not Ready"
    if not node.boot_id:
        return "no-boot-id: the node does not say which boot it is, so no reboot could be proven"
    return None
