"""The steps on a node. Each reads the node first, so a second call finds its work done and does nothing."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from midwatch.domain.errors import MidwatchError, PermanentError
from midwatch.domain.nodes import Needed, NodeView, Verdict, judge, need_of
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
_UNCLAIMED = "possibly our cordon: somebody has removed our annotations, so nothing says whose it is"
_log = logging.getLogger("midwatch.steps")
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


def _before(node: NodeView, unready: tuple[str, ...] = ()) -> Before:
    return Before(
        boot_id=node.boot_id,
        kernel_version=node.kernel_version,
        heartbeat=node.newest_heartbeat,
        unready_daemon_pods=unready,
        conditions=tuple(sorted(condition.type for condition in node.conditions)),
    )


async def note(client: KubeClient, node: NodeView, run: str, reason: str, text: str, key: str = "") -> None:
    """Say it in an event on the node, once for each `key`. That is for people; what cannot be said stops nothing."""
    try:
        await events.record(client, node, run, reason, text, datetime.now(UTC), key)
    except MidwatchError as error:
        _log.warning("no event %s on node %s: %s: %s", reason, node.name, error.code, error.message)


async def claim_node(client: KubeClient, step: NodeStep) -> Claimed:
    """Step 1: make the node ours, unless it is no candidate any more, or the lease is another's.

    The claim of a run that is no more is taken over, together with what it says of the node's state before. Its
    reboot pod goes first: one that never started could otherwise reboot the node in the middle of our drain.
    """
    now = datetime.now(UTC)

    async def act(node: NodeView | None) -> Claimed:
        if node is None:
            return Claimed(outcome=NodeOutcome.GONE, reason=GONE.reason)
        need = need_of(node, step.policy.nodes.needs, now)
        packages = packages_in(need.message) if need.needed is Needed.TRUE else ()
        if node.claim is not None and node.claim.run == step.run:
            return Claimed(outcome=None, reason=None, before=_before(node), packages=packages)
        verdict = judge(node, step.policy.nodes, now, step.cluster.barred_pools)
        if verdict.verdict is not Verdict.CANDIDATE:
            reason = verdict.reason or "no-longer-needed: the node asks for no reboot any more"
            return Claimed(outcome=NodeOutcome.SKIPPED, reason=reason)
        if (lost := await _lease_lost(client, step)) is not None:
            return Claimed(outcome=lost.outcome, reason=lost.reason)
        if node.claim is not None:
            await reboot_pods.delete_reboot_pod(client, node.claim.run, node.name)
        await nodes.claim_node(client, node, node.claimed_by(step.run))
        await note(client, node, step.run, "MidwatchClaimed", f"run {step.run} patches this node")
        return Claimed(outcome=None, reason=None, before=_before(node), packages=packages)

    return await on_fresh(client, step.node, act)


async def cordon_node(client: KubeClient, step: NodeStep) -> Checked:
    """Step 2: cordon the node, if it is ours, and keep load balancers off it, if the policy says so.

    A node that somebody has cordoned since the claim is theirs: the claim is corrected, and the node is let go.
    """
    excludes = step.policy.drain.exclude_from_load_balancers

    async def act(node: NodeView | None) -> Checked:
        if node is None:
            return GONE
        if (refused := not_claimed(node, step.run)) is not None:
            return refused
        assert node.claim is not None
        if node.cordoned_by_others:
            await nodes.claim_node(client, node, node.claim.model_copy(update={"was_unschedulable": True}))
            return Checked(outcome=NodeOutcome.SKIPPED, reason="cordoned: somebody else cordoned the node meanwhile")
        if excludes and (not node.unschedulable or node.excluded_by is None):
            await nodes.exclude_node(client, node)
        elif not node.unschedulable:
            await nodes.cordon_node(client, node)
        return Checked()

    return await on_fresh(client, step.node, act)


async def _stop_before_reboot(client: KubeClient, node: NodeView | None, step: NodeStep) -> Checked | None:
    """Why the node must not be rebooted now, None when it may: ours, cordoned, in need, and we hold the lease."""
    if (refused := not_claimed(node, step.run)) is not None or node is None:
        return refused or GONE
    if not node.unschedulable:
        return await disown_cordon(client, node)
    need = need_of(node, step.policy.nodes.needs, datetime.now(UTC))
    if need.needed is not Needed.TRUE:
        return Checked(outcome=NodeOutcome.SKIPPED, reason=need.unknown or "no-longer-needed: the need is gone")
    return await _lease_lost(client, step)


async def disown_cordon(client: KubeClient, node: NodeView) -> Checked:
    """Somebody has uncordoned the node. If they cordon it again, that is not for us to undo: the claim says so.

    Raises:
        Conflict: the node has changed since it was read.
    """
    await nodes.note_phase(client, node, NodePhase.CLAIM)
    return Checked(outcome=NodeOutcome.DRAIN_FAILED, reason="uncordoned: somebody uncordoned the node meanwhile")


async def _lease_lost(client: KubeClient, step: NodeStep) -> Checked | None:
    lease = await leases.read_lease(client)
    if lease is not None and lease.holder == step.holder:
        return None
    return Checked(outcome=NodeOutcome.CANCELLED, reason="lease-lost: this run no longer holds the cluster's lease")


async def recheck_node(client: KubeClient, step: NodeStep) -> Checked:
    """Step 4: the last look before the reboot. Anything that has changed stops it."""

    async def act(node: NodeView | None) -> Checked:
        if (refused := await _stop_before_reboot(client, node, step)) is not None:
            return refused
        assert node is not None
        found, _ = await pods.list_pods(client, step.node)
        return Checked(before=_before(node, unready_daemon_sets(found)))

    return await on_fresh(client, step.node, act)


async def _has_begun(client: KubeClient, node: NodeView, step: RebootStep) -> bool:
    """Whether an earlier call has started the pod; from then on the node is on its way, and is only waited for."""
    ours = node.claim is not None and node.claim.run == step.run and node.claim.phase is NodePhase.REBOOT
    return ours and await reboot_pods.has_reboot_pod(client, step.run, step.node)


async def reboot_node(client: KubeClient, step: RebootStep) -> Checked:
    """Step 5: start the reboot pod. A node that has booted since is left alone.

    All of the recheck holds here too: between the two, this process may have been down for hours.
    """
    reboot = step.policy.reboot
    pod = reboot_pods.reboot_pod(step.run, step.node, step.before.boot_id, reboot.method, reboot.image)

    async def act(node: NodeView | None) -> Checked:
        if node is not None and node.boot_id != step.before.boot_id:
            return Checked()
        if node is not None and await _has_begun(client, node, step):
            return Checked()
        if (refused := await _stop_before_reboot(client, node, step)) is not None:
            return refused
        assert node is not None
        await nodes.note_phase(client, node, NodePhase.REBOOT)
        await reboot_pods.start_reboot_pod(client, pod)
        return Checked()

    return await on_fresh(client, step.node, act)


async def release_node(client: KubeClient, step: ReleaseStep) -> Released:
    """Step 8: undo just what the claim's run did. A node that is not claimed by it is left as it is.

    A pod that may not be deleted does not keep the node cordoned: it is reported.
    """

    async def act(node: NodeView | None) -> Released:
        if node is None:
            return Released()
        if node.claim is None:
            return Released(left=(_UNCLAIMED,) if node.unschedulable else ())
        if node.claim.run != step.claimed_by:
            return Released()
        ours = node.unschedulable and not node.cordoned_by_others
        keep = ours and step.keep_cordoned
        await nodes.release_node(client, node, uncordon=ours and not keep)
        text = f"run {step.claimed_by}: {step.outcome or 'released'}" + (f": {step.reason}" if step.reason else "")
        await note(client, node, step.claimed_by, "MidwatchReleased", text)
        return Released(left=("the cordon (failure.keepCordoned)",) if keep else ())

    left: tuple[str, ...] = ()
    try:
        await reboot_pods.delete_reboot_pod(client, step.claimed_by, step.node)
    except PermanentError as error:
        left = (f"the reboot pod ({error.code}: {error.message})",)
    released = await on_fresh(client, step.node, act)
    return released.model_copy(update={"left": (*released.left, *left)})
