"""The steps on a node. Each reads the node first, so a second call finds its work done and does nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from midwatch.domain.nodes import Claim, Needed, NodeView, Verdict, judge, need_of
from midwatch.domain.outcomes import NodeOutcome
from midwatch.domain.packages import packages_in
from midwatch.domain.phases import NodePhase
from midwatch.domain.proof import Before, unready_daemon_sets
from midwatch.domain.steps import Checked, Claimed, NodeStep, RebootStep, Released, ReleaseStep
from midwatch.kube import events, leases, nodes, pods, reboot_pods
from midwatch.kube.client import KubeClient
from midwatch.kube.errors import Conflict

_TRIES = 5
"""A node object changes with every heartbeat; five conflicts in a row do not happen by chance."""
GONE = Checked(outcome=NodeOutcome.GONE, reason="gone: the node object no longer exists")


async def on_fresh[R](client: KubeClient, name: str, act: Callable[[NodeView | None], Awaitable[R]]) -> R:
    """Read the node and act on it, again after a conflict: each write is decided on what it overwrites."""
    for _ in range(_TRIES - 1):
        try:
            return await act(await nodes.read_node(client, name))
        except Conflict:
            continue
    return await act(await nodes.read_node(client, name))


def not_claimed(node: NodeView | None, run: str) -> Checked | None:
    """Why the node is not (or no longer) claimed by the run as it was, None when it is."""
    if node is None:
        return GONE
    if node.claim is None or node.claim.run != run:
        other = node.claim.run if node.claim else "nobody"
        return Checked(outcome=NodeOutcome.DRAIN_FAILED, reason=f"not-ours: the node is claimed by {other}")
    if node.boot_id != node.claim.boot_id:
        return Checked(outcome=NodeOutcome.SKIPPED, reason="rebooted-by-others: the node has booted anew meanwhile")
    return None


def not_ours(node: NodeView | None, run: str) -> Checked | None:
    """Why the node is not (or no longer) ours to work on, None when it is: claimed, and cordoned."""
    if (refused := not_claimed(node, run)) is not None:
        return refused
    if node is not None and not node.unschedulable:
        return Checked(outcome=NodeOutcome.DRAIN_FAILED, reason="uncordoned: somebody uncordoned the node meanwhile")
    return None


def _before(node: NodeView, unready: tuple[str, ...] = ()) -> Before:
    return Before(
        boot_id=node.boot_id,
        kernel_version=node.kernel_version,
        heartbeat=node.newest_heartbeat,
        unready_daemon_pods=unready,
    )


async def claim_node(client: KubeClient, step: NodeStep) -> Claimed:
    """Step 1: make the node ours, unless it is no candidate any more.

    The claim of a run that is no more is taken over, together with what it says of the node's state before.
    """
    now = datetime.now(UTC)

    async def act(node: NodeView | None) -> Claimed:
        if node is None:
            return Claimed(outcome=NodeOutcome.GONE, reason=GONE.reason)
        need = need_of(node, step.policy.nodes.needs, now)
        packages = packages_in(need.message) if need.needed is Needed.TRUE else ()
        if node.claim is not None and node.claim.run == step.run:
            return Claimed(outcome=None, reason=None, before=_before(node), packages=packages)
        verdict = judge(node, step.policy.nodes, now)
        if verdict.verdict is not Verdict.CANDIDATE:
            reason = verdict.reason or "no-longer-needed: the node asks for no reboot any more"
            return Claimed(outcome=NodeOutcome.SKIPPED, reason=reason)
        was = node.claim.was_unschedulable if node.claim is not None else node.unschedulable
        await nodes.claim_node(client, node, Claim(run=step.run, boot_id=node.boot_id, was_unschedulable=was))
        await events.record(client, node, step.run, "MidwatchClaimed", f"run {step.run} patches this node", now)
        return Claimed(outcome=None, reason=None, before=_before(node), packages=packages)

    return await on_fresh(client, step.node, act)


async def cordon_node(client: KubeClient, step: NodeStep) -> Checked:
    """Step 2: cordon the node, if it is ours, and keep load balancers off it, if the policy says so."""

    async def act(node: NodeView | None) -> Checked:
        if node is None:
            return GONE
        if node.claim is None or node.claim.run != step.run:
            return not_ours(node, step.run) or Checked()
        if step.policy.drain.exclude_from_load_balancers:
            if not node.unschedulable or node.excluded_by is None:
                await nodes.exclude_node(client, node)
        elif not node.unschedulable:
            await nodes.cordon_node(client, node)
        return Checked()

    return await on_fresh(client, step.node, act)


async def recheck_node(client: KubeClient, step: NodeStep) -> Checked:
    """Step 4: the last look before the reboot. Anything that has changed stops it."""
    node = await nodes.read_node(client, step.node)
    if (refused := not_ours(node, step.run)) is not None:
        return refused
    assert node is not None
    need = need_of(node, step.policy.nodes.needs, datetime.now(UTC))
    if need.needed is not Needed.TRUE:
        return Checked(outcome=NodeOutcome.SKIPPED, reason=need.unknown or "no-longer-needed: the need is gone")
    lease = await leases.read_lease(client)
    if lease is None or lease.holder != step.run:
        return Checked(outcome=NodeOutcome.CANCELLED, reason="lease-lost: this run no longer holds the cluster's lease")
    found, _ = await pods.list_pods(client, step.node)
    return Checked(before=_before(node, unready_daemon_sets(found)))


async def reboot_node(client: KubeClient, step: RebootStep) -> Checked:
    """Step 5: start the reboot pod. A node that has booted since is left alone."""
    reboot = step.policy.reboot
    pod = reboot_pods.reboot_pod(step.run, step.node, step.before.boot_id, reboot.method, reboot.image)

    async def act(node: NodeView | None) -> Checked:
        if node is None:
            return GONE
        if node.boot_id != step.before.boot_id:
            return Checked()
        if (refused := not_ours(node, step.run)) is not None:
            return refused
        await nodes.note_phase(client, node, NodePhase.REBOOT)
        await reboot_pods.start_reboot_pod(client, pod)
        return Checked()

    return await on_fresh(client, step.node, act)


async def release_node(client: KubeClient, step: ReleaseStep) -> Released:
    """Step 8: undo just what the claim's run did. A node that is not claimed by it is left as it is."""

    async def act(node: NodeView | None) -> Released:
        if node is None:
            return Released(gone=True)
        if node.claim is None or node.claim.run != step.claimed_by:
            return Released()
        keep = step.keep_cordoned and node.unschedulable and not node.claim.was_unschedulable
        await nodes.release_node(client, node, uncordon=not node.claim.was_unschedulable and not keep)
        text = f"run {step.claimed_by}: {step.outcome or 'released'}" + (f": {step.reason}" if step.reason else "")
        await events.record(client, node, step.claimed_by, "MidwatchReleased", text, datetime.now(UTC))
        return Released(left=("the cordon (failure.keepCordoned)",) if keep else ())

    await reboot_pods.delete_reboot_pod(client, step.claimed_by, step.node)
    return await on_fresh(client, step.node, act)
