"""One drain pass: list, judge, evict, watch for a few seconds, and say what is left and why."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import timedelta

from activities.nodes import not_ours
from midwatch.domain.errors import MidwatchError
from midwatch.domain.eviction import Answer, EvictionResult, Waiting, read_answer
from midwatch.domain.outcomes import NodeOutcome
from midwatch.domain.pods import Judged, PodVerdict, PodView, judge_pod
from midwatch.domain.selectors import BudgetView, covering
from midwatch.domain.steps import LookStep, Seen
from midwatch.domain.verdicts import named
from midwatch.kube import nodes, pods
from midwatch.kube.client import KubeClient

_AT_ONCE = 20
"""Evictions under way at once: enough to be bound by the pods' own grace, few enough for any API server."""
_ON_THE_WAY = frozenset({EvictionResult.LEAVING, EvictionResult.NAMESPACE_ENDS})


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One eviction that was asked for, and what came of it."""

    pod: PodView
    result: EvictionResult
    because: str


async def drain_pass(client: KubeClient, step: LookStep) -> Seen:
    """Step 3, one round. Idempotent: a pod that is already leaving is waited for, not evicted again."""
    refused = not_ours(await nodes.read_node(client, step.node), step.run)
    if refused is not None:
        return Seen(outcome=refused.outcome, reason=refused.reason)
    judged, version = await _judge(client, step)
    if errors := [j for j in judged if j.verdict is PodVerdict.ERROR]:
        return _failed([_waiting(j.pod, j.reason) for j in errors])
    going = [j.pod for j in judged if j.verdict is PodVerdict.EVICT]
    attempts = await _evict(client, step, [pod for pod in going if pod.deleted is None])
    leaving = [pod for pod in going if pod.deleted is not None]
    leaving += [attempt.pod for attempt in attempts if attempt.result in _ON_THE_WAY]
    still = await _until_gone(client, step.node, leaving, version, step.hold)
    blocked = [a for a in attempts if a.result not in _ON_THE_WAY and a.result is not EvictionResult.GONE]
    left = [*(_waiting(pod, "terminating") for pod in still), *(_waiting(a.pod, a.because) for a in blocked)]
    if blocked and not still and all(a.result is EvictionResult.REFUSED for a in blocked):
        return _failed(left)
    moved = len(still) < len(leaving) or len(blocked) < len(attempts)
    done = not left and not await _late(client, step)
    return Seen(done=done, moved=moved or not left, left=tuple(left))


def _failed(left: Sequence[Waiting]) -> Seen:
    return Seen(outcome=NodeOutcome.DRAIN_FAILED, reason=f"refused: {named(left)}", left=tuple(left))


def _waiting(pod: PodView, because: str) -> Waiting:
    return Waiting(kind="Pod", namespace=pod.namespace, name=pod.name, because=because)


async def _judge(client: KubeClient, step: LookStep) -> tuple[list[Judged], str]:
    found, version = await pods.list_pods(client, step.node)
    orphans = await pods.missing_daemon_sets(client, found)
    return [judge_pod(pod, step.policy.drain, orphans) for pod in found], version


async def _late(client: KubeClient, step: LookStep) -> bool:
    """Whether pods have come since the pass began; they are the next pass's."""
    judged, _ = await _judge(client, step)
    return any(j.verdict in {PodVerdict.EVICT, PodVerdict.ERROR} for j in judged)


async def _evict(client: KubeClient, step: LookStep, wanted: Sequence[PodView]) -> list[_Attempt]:
    """Evict, several at once. The budgets of a namespace are read only where an answer asks for it."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(pod: PodView) -> tuple[PodView, Answer]:
        async with places:
            return pod, await pods.evict(client, pod, step.policy.drain.grace_period)

    answers = await asyncio.gather(*(one(pod) for pod in wanted))
    budgets = await pods.list_budgets(client, {pod.namespace for pod, a in answers if a.status in {429, 500}})
    return [_attempt(pod, answer, budgets) for pod, answer in answers]


def _attempt(pod: PodView, answer: Answer, budgets: Sequence[BudgetView]) -> _Attempt:
    names = covering(budgets, pod.namespace, pod.labels)
    result = read_answer(answer, len(names))
    listed = ", ".join(f"{pod.namespace}/{name}" for name in names) or "that is gone meanwhile"
    match result:
        case EvictionResult.BUDGET:
            because = f"budget: PodDisruptionBudget {listed} allows no disruption now"
        case EvictionResult.TWO_BUDGETS:
            because = f"two-budgets: the API evicts no pod that PodDisruptionBudgets {listed} both cover"
        case EvictionResult.THROTTLED:
            because = f"throttled: the API server answered {answer.status}"
        case _:
            because = f"{result}: {answer.message}"
    return _Attempt(pod, result, because)


async def _until_gone(
    client: KubeClient, node: str, leaving: Sequence[PodView], version: str, hold: timedelta
) -> list[PodView]:
    """Watch until these pods are gone, by UID, for at most `hold`. A watch that breaks ends the look, not the drain."""
    left = {pod.uid: pod for pod in leaving}
    if not left:
        return []
    async with aclosing(pods.watch_pods(client, node, version, hold)) as changes:
        with suppress(MidwatchError):
            async for kind, pod in changes:
                if kind == "DELETED":
                    left.pop(pod.uid, None)
                if not left:
                    break
    return list(left.values())
