"""One drain pass: list, judge, evict, watch for a few seconds, and say what is left and why."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from activities.evictions import Blocked, Evictions
from activities.nodes import GONE, disown_cordon, not_claimed, note, on_fresh
from midwatch.domain.drain_pace import BLOCKS, Blocker
from midwatch.domain.drain_policy import OnTimeout
from midwatch.domain.draining import MOST_RECORDONS, Drained, DrainStep
from midwatch.domain.eviction import Waiting
from midwatch.domain.nodes import NodeView
from midwatch.domain.outcomes import NodeOutcome
from midwatch.domain.pods import Judged, Moment, PodVerdict, PodView, judge_pod, waves
from midwatch.domain.steps import Checked
from midwatch.domain.verdicts import named
from midwatch.kube import nodes, pods, volumes
from midwatch.kube.client import KubeClient

_UNREACHABLE_GRACE = timedelta(seconds=1)
"""Nobody is there who could end the pod in good order; Cluster API's figure."""
_STAYS_BEHIND = frozenset({"unreachable", "terminating-too-long"})
"""Reasons for which a pod is left aside that should have gone."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """The node's pods with their verdicts. `daemon_sets` were there a moment ago."""

    judged: tuple[Judged, ...]
    version: str
    daemon_sets: frozenset[str]

    def of(self, verdict: PodVerdict) -> list[PodView]:
        return [one.pod for one in self.judged if one.verdict is verdict]


async def drain_pass(client: KubeClient, step: DrainStep) -> Drained:
    """Step 3, one round. Idempotent: a pod that is already leaving is waited for, not evicted again."""
    ends_at = asyncio.get_running_loop().time() + step.hold.total_seconds()
    node = await nodes.read_node(client, step.node)
    if (refused := not_claimed(node, step.run)) is not None or node is None:
        refused = refused or GONE
        return Drained(outcome=refused.outcome, reason=refused.reason)
    if not node.unschedulable and (refused := await _cordon_again(client, step)).outcome is not None:
        return Drained(outcome=refused.outcome, reason=refused.reason)
    await _tell(client, step, node)
    listed = await _list(client, step, node, frozenset())
    seen = await _work(client, step, node, listed, ends_at)
    return seen.model_copy(update={"recordoned": not node.unschedulable})


async def _cordon_again(client: KubeClient, step: DrainStep) -> Checked:
    """Somebody has uncordoned the node: cordon it again, unless that has happened too often."""

    async def act(node: NodeView | None) -> Checked:
        if (refused := not_claimed(node, step.run)) is not None or node is None:
            return refused or GONE
        if not node.unschedulable and step.recordons >= MOST_RECORDONS:
            text = f"uncordoned: somebody uncordoned the node again after it was cordoned anew {step.recordons} times"
            return (await disown_cordon(client, node)).model_copy(update={"reason": text})
        if not node.unschedulable:
            await nodes.cordon_node(client, node)
            times = step.recordons + 1
            text = f"run {step.run}: somebody uncordoned the node in mid-drain, it is cordoned again ({times})"
            await note(client, node, step.run, "MidwatchCordonedAgain", text, str(times))
        return Checked()

    return await on_fresh(client, step.node, act)


async def _tell(client: KubeClient, step: DrainStep, node: NodeView) -> None:
    """One event on the node for each cause that has delayed the drain for a minute; each pod is in just one."""
    causes: dict[str, list[str]] = {}
    for waiting in step.tell:
        name = f"{waiting.namespace}/{waiting.name}" if waiting.namespace else waiting.name
        causes.setdefault(waiting.because, []).append(f"{waiting.kind} {name}")
    for because, names in causes.items():
        text = f"run {step.run}: the drain waits for {', '.join(names)} ({because})"
        key = "\0".join(sorted(names))
        await note(client, node, step.run, "MidwatchDrainDelayed", text, key)


async def _list(client: KubeClient, step: DrainStep, node: NodeView, known: frozenset[str]) -> _Listed:
    found, version = await pods.list_pods(client, step.node)
    orphans = await pods.missing_daemon_sets(client, found, known)
    moment = Moment(now=datetime.now(UTC), unreachable=node.unreachable)
    judged = tuple(judge_pod(pod, step.policy.drain, orphans, moment) for pod in found)
    return _Listed(judged, version, frozenset(pods.daemon_sets_of(found)) - orphans.daemon_sets)


async def _work(client: KubeClient, step: DrainStep, node: NodeView, listed: _Listed, ends_at: float) -> Drained:
    policy = step.policy.drain
    if errors := [one for one in listed.judged if one.verdict is PodVerdict.ERROR]:
        return _refused(step, [_waiting(one.pod, one.reason) for one in errors])
    grace = _UNREACHABLE_GRACE if node.unreachable else policy.grace_period
    async with Evictions(client, step.node, listed.version, ends_at=ends_at, grace=grace) as evictions:
        await evictions.learn(step.budgets_in)
        for wave in waves(listed.of(PodVerdict.EVICT), policy):
            gone = await (evictions.delete(wave, policy.delete_grace_period) if step.delete else evictions.clear(wave))
            if not gone:
                break
    seen = _seen(step, listed, evictions)
    if seen.outcome is not None or seen.left:
        return seen
    return await _empty(client, step, node, listed, seen)


def _seen(step: DrainStep, listed: _Listed, evictions: Evictions) -> Drained:
    now, clock = evictions.progress, datetime.now(UTC)
    blocked = list(now.blocked.values())
    left = [_leaving(pod, clock) for pod in now.leaving.values()]
    left += [(_kind(one), _waiting(one.pod, one.because)) for one in blocked]
    completing = listed.of(PodVerdict.WAIT)
    left += [(Blocker.COMPLETION, _waiting(pod, "until-completed: it runs to its end")) for pod in completing]
    refused = bool(blocked) and all(_kind(one) is Blocker.REFUSED for one in blocked)
    if refused and not now.leaving:
        return _refused(step, [waiting for _, waiting in left])
    kinds = {kind for kind, _ in left} | ({Blocker.REPLACED} if now.replaced else set())
    aside = [one for one in listed.judged if one.reason in _STAYS_BEHIND]
    return Drained(
        moved=bool(now.gone) or bool(now.granted),
        left=tuple(waiting for _, waiting in left),
        blockers=tuple(sorted(kinds)),
        retry_after=now.retry_after,
        deleted=tuple(_waiting(pod, "deleted: it was left at the deadline") for pod in now.deleted),
        stays=tuple(_waiting(one.pod, one.reason) for one in aside),
        budgets_in=evictions.budgets_in,
    )


def _refused(step: DrainStep, left: Sequence[Waiting]) -> Drained:
    """The drain cannot go on; with `reboot-anyway` the node does."""
    if step.policy.drain.on_timeout is OnTimeout.REBOOT_ANYWAY:
        return Drained(done=True, stays=tuple(left))
    return Drained(outcome=NodeOutcome.DRAIN_FAILED, reason=f"refused: {named(left)}", left=tuple(left))


def _waiting(pod: PodView, because: str) -> Waiting:
    return Waiting(kind="Pod", namespace=pod.namespace, name=pod.name, because=because)


def _kind(blocked: Blocked) -> Blocker:
    return Blocker.NEVER if blocked.never else BLOCKS[blocked.result]


def _leaving(pod: PodView, now: datetime) -> tuple[Blocker, Waiting]:
    """A pod whose deletion timestamp is past should be gone: its grace ended then."""
    if pod.deleted is not None and now > pod.deleted:
        over = round((now - pod.deleted).total_seconds())
        return Blocker.STUCK, _waiting(pod, f"stuck: it is still there {over}s after its grace was over")
    return Blocker.TERMINATING, _waiting(pod, "terminating: it is within its grace")


async def _empty(client: KubeClient, step: DrainStep, node: NodeView, listed: _Listed, seen: Drained) -> Drained:
    """The pods of the list are gone: have others come since, and are the volumes detached?"""
    again = await _list(client, step, node, listed.daemon_sets)
    if any(one.verdict not in {PodVerdict.SKIP} for one in again.judged):
        return seen.model_copy(update={"moved": True})  # the next pass's
    if node.volumes_attached and step.policy.drain.detach_timeout:
        staying = [one.pod for one in again.judged]
        if attached := await volumes.attached_volumes(client, step.node, staying):
            left = tuple(_volume(name) for name in attached)
            return seen.model_copy(update={"left": left, "blockers": (Blocker.VOLUMES,)})
    return seen.model_copy(update={"done": True, "moved": True})


def _volume(name: str) -> Waiting:
    because = "attached: its volume is still attached to the node"
    return Waiting(kind="PersistentVolume", namespace=None, name=name, because=because)
