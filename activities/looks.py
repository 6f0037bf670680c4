"""The looks at a node that reboots: is it back, and is the need gone?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from activities.nodes import GONE
from midwatch.domain.errors import MidwatchError
from midwatch.domain.eviction import CONDITION, DAEMON_SET, Waiting
from midwatch.domain.nodes import NodeView
from midwatch.domain.outcomes import NodeOutcome
from midwatch.domain.proof import BootState, boot_state, need_is_gone, unready_daemon_sets
from midwatch.domain.steps import LookStep, Seen
from midwatch.kube import events, nodes, pods, reboot_pods
from midwatch.kube.client import KubeClient


async def look_for_boot(client: KubeClient, step: LookStep) -> Seen:
    """Step 6, one round: watch the node until it is Ready with another boot ID. Reads only."""
    node = await nodes.read_node(client, step.node)
    if node is not None and boot_state(node, step.before) is not BootState.READY:
        node = await _watch(client, node, step)
    if node is None:
        return Seen(outcome=GONE.outcome, reason=GONE.reason, down=True)
    state = boot_state(node, step.before)
    ready = node.condition("Ready")
    seen = Seen(
        done=state is BootState.READY,
        down=not node.ready,
        boot_id=node.boot_id,
        kernel_version=node.kernel_version,
        ready_since=ready.since if ready is not None else None,
    )
    if state is BootState.READY:
        return seen
    if state is BootState.SAME_BOOT and node.ready:
        return await _still_up(client, step, seen)
    repair = await events.auto_repair(client, step.node, step.before.heartbeat)
    if repair is not None:
        reason = f"taken-over: AKS auto-repair acts on the node: {repair}"
        return seen.model_copy(update={"outcome": NodeOutcome.TAKEN_OVER, "reason": reason})
    return seen.model_copy(update={"left": (_node(step, "the node is not Ready yet"),)})


async def _watch(client: KubeClient, node: NodeView, step: LookStep) -> NodeView | None:
    """The node when it is back, or as last seen. A watch that breaks ends the look, not the wait."""
    latest: NodeView | None = node
    async with aclosing(nodes.watch_node(client, node, step.hold)) as changes:
        with suppress(MidwatchError):
            async for latest in changes:
                if latest is None or boot_state(latest, step.before) is BootState.READY:
                    break
    return latest


async def _still_up(client: KubeClient, step: LookStep, seen: Seen) -> Seen:
    """The node has not gone down: the reboot pod may know why."""
    pod = await reboot_pods.read_reboot_pod(client, step.run, step.node)
    if pod.failed is not None:
        return seen.model_copy(update={"outcome": NodeOutcome.REBOOT_FAILED, "reason": f"reboot-pod: {pod.failed}"})
    left = _node(step, pod.stuck or "the node has not gone down yet")
    return seen.model_copy(update={"left": (left,)})


def _node(step: LookStep, because: str) -> Waiting:
    return Waiting(kind="Node", namespace=None, name=step.node, because=because)


async def look_for_proof(client: KubeClient, step: LookStep) -> Seen:
    """Step 7, one round: watch until the need is explicitly gone and the DaemonSet pods are Ready. Reads only."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + step.hold.total_seconds()
    while True:
        look = await _proof(client, step)
        left = timedelta(seconds=max(deadline - clock(), 0))
        if not look.seen.left or look.node is None or not await _changes(client, look, left):
            return look.seen


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen, of which node, and the resource version from which its pods can be watched."""

    seen: Seen
    node: NodeView | None = None
    pods_version: str = ""


async def _changes(client: KubeClient, look: _Look, hold: timedelta) -> bool:
    """Wait for a change of what is still waited for; False when none came in time, or the watch broke."""
    assert look.node is not None
    if not hold:
        return False
    if all(waiting.kind == DAEMON_SET for waiting in look.seen.left):
        changes: AsyncGenerator[object] = pods.watch_pods(client, look.node.name, look.pods_version, hold)
    else:
        changes = nodes.watch_node(client, look.node, hold)
    async with aclosing(changes):
        with suppress(MidwatchError):
            async for _ in changes:
                return True
    return False


async def _proof(client: KubeClient, step: LookStep) -> _Look:
    node = await nodes.read_node(client, step.node)
    if node is None:
        return _Look(Seen(outcome=GONE.outcome, reason=GONE.reason))
    left = []
    if not node.ready:
        left.append(_node(step, "the node is not Ready any more"))
    open_need = need_is_gone(node, step.policy.nodes.needs, step.before, datetime.now(UTC))
    if open_need is not None:
        left.append(Waiting(kind=CONDITION, namespace=None, name=step.node, because=open_need))
    found, version = await pods.list_pods(client, step.node)
    for name in sorted(set(unready_daemon_sets(found)) - set(step.before.unready_daemon_pods)):
        namespace, _, short = name.partition("/")
        left.append(Waiting(kind=DAEMON_SET, namespace=namespace, name=short, because="its pod is not Ready"))
    seen = Seen(done=not left, boot_id=node.boot_id, kernel_version=node.kernel_version, left=tuple(left))
    return _Look(seen, node, version)
