"""What proves that a node rebooted, is back, and needs no reboot any more.

What came before and what after is told by times that the node itself wrote, so clocks that differ between machines do
no harm; only whether a condition is stale is told by our own clock.
Success needs all three: another boot ID, Ready with a newer heartbeat, and the need explicitly gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from midwatch.domain.base import Message
from midwatch.domain.nodes import Needed, NodeView, need_of
from midwatch.domain.pods import PodView
from midwatch.domain.policy import Need


class Before(Message):
    """The node just before its reboot. `heartbeat` is the newest time that the node had written, by its own clock."""

    boot_id: str
    kernel_version: str
    heartbeat: datetime | None
    conditions: tuple[str, ...] | None = None
    """The types of the conditions that it had. None: not recorded."""
    unready_daemon_pods: tuple[str, ...] = ()
    """DaemonSets (`namespace/name`) that already had an unready pod here: they prove nothing afterwards."""


class BootState(StrEnum):
    """How far the node is on its way back."""

    SAME_BOOT = "same-boot"
    DOWN = "down"
    READY = "ready"


def boot_state(node: NodeView, before: Before) -> BootState:
    """Whether the node has booted anew and is Ready since.

    A Ready that was written before the reboot proves nothing: its heartbeat must be newer than the node's last word
    from before. An empty boot ID proves nothing either.
    """
    if not node.boot_id or node.boot_id == before.boot_id:
        return BootState.SAME_BOOT
    ready = node.condition("Ready")
    if ready is None or ready.status != "True":
        return BootState.DOWN
    if before.heartbeat is not None and (ready.heartbeat is None or ready.heartbeat <= before.heartbeat):
        return BootState.DOWN
    return BootState.READY


def need_is_gone(node: NodeView, needs: Iterable[Need], before: Before, now: datetime) -> str | None:
    """None when every need is explicitly gone, else one line that says which is not, and why.

    A condition that was last written before the reboot proves nothing, whatever it says.
    """
    for need in needs:
        view = need_of(node, (need,), now)
        condition = node.condition(need.condition)
        if condition is None and before.conditions is not None and need.condition not in before.conditions:
            continue  # the node never reported it, so it was not why it rebooted
        if condition is None or view.needed is Needed.UNKNOWN:
            return view.unknown
        if before.heartbeat is not None and (condition.heartbeat is None or condition.heartbeat <= before.heartbeat):
            return f"unconfirmed: {need.condition} has not been reported since the boot"
        if view.needed is Needed.TRUE:
            return f"still-set: {need.condition} is {condition.status}: {condition.message}"
    return None


def daemon_set_of(pod: PodView) -> str | None:
    """`namespace/name` of the DaemonSet that runs the pod, None for other pods."""
    if pod.controller is None or not pod.controller.is_daemon_set:
        return None
    return f"{pod.namespace}/{pod.controller.name}"


def unready_daemon_sets(pods: Iterable[PodView]) -> tuple[str, ...]:
    """The DaemonSets with a pod here that is not Ready, sorted."""
    return tuple(sorted({ds for pod in pods if not pod.ready and (ds := daemon_set_of(pod)) is not None}))
