"""The steps of `midwatch drain` and `midwatch uncordon` that runs do not have."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from activities.nodes import GONE, note, on_fresh
from midwatch.domain.by_hand import DrainedPod, GivenBack, Previewed, PreviewStep, Reported, ReportStep
from midwatch.domain.eviction import Answer, EvictionResult, read_answer
from midwatch.domain.nodes import NodeView
from midwatch.domain.outcomes import NodeOutcome
from midwatch.domain.pod_budgets import BudgetView, covering, why_held
from midwatch.domain.pods import Judged, Moment, PodVerdict, judge_pod
from midwatch.domain.proof import Before
from midwatch.domain.steps import Claimed, NodeStep
from midwatch.kube import budgets, nodes, pods, reboot_pods
from midwatch.kube.client import KubeClient

_AT_ONCE = 20


async def claim_by_hand(client: KubeClient, step: NodeStep) -> Claimed:
    """Make the node ours, whether or not it asks for a reboot. A second call finds its claim.

    The caller holds the cluster's lease, so a claim of another run is a dead one's, or an earlier drain's: it is taken
    over with what it says of the node before.
    """

    async def act(node: NodeView | None) -> Claimed:
        if node is None:
            return Claimed(outcome=NodeOutcome.GONE, reason=GONE.reason)
        before = Before(boot_id=node.boot_id, kernel_version=node.kernel_version, heartbeat=node.newest_heartbeat)
        if node.claim is None or node.claim.run != step.run:
            if node.claim is not None:
                await reboot_pods.delete_reboot_pod(client, node.claim.run, node.name)
            await nodes.claim_node(client, node, node.claimed_by(step.run, by_hand=True))
            await note(client, node, step.run, "MidwatchClaimed", f"drain {step.run} empties this node by hand")
        return Claimed(outcome=None, reason=None, before=before)

    return await on_fresh(client, step.node, act)


async def preview_drain(client: KubeClient, step: PreviewStep) -> Previewed:
    """Every pod of the node with its verdict. Reads only; with `ask` also server-side dry runs of the evictions."""
    node = await nodes.read_node(client, step.node)
    found, _ = await pods.list_pods(client, step.node)
    orphans = await pods.missing_daemon_sets(client, found)
    moment = Moment(now=datetime.now(UTC), unreachable=node is not None and node.unreachable)
    judged = [judge_pod(pod, step.policy.drain, orphans, moment) for pod in found]
    judged.sort(key=lambda one: one.pod.full_name)
    answers = await confirm(client, judged) if step.ask else {}
    return Previewed(
        pods=tuple(
            DrainedPod(
                namespace=one.pod.namespace,
                name=one.pod.name,
                verdict=one.verdict,
                reason=one.reason,
                result=None,
                because=answers.get(one.pod.uid),
            )
            for one in judged
        ),
        uids=tuple(one.pod.uid for one in judged),
    )


async def confirm(client: KubeClient, judged: list[Judged]) -> dict[str, str]:
    """What the API server would refuse, by UID, in a dry run of each eviction. With an error none is sent at all."""
    if any(one.verdict is PodVerdict.ERROR for one in judged):
        return {}
    places = asyncio.Semaphore(_AT_ONCE)

    async def ask(one: Judged) -> tuple[Judged, Answer]:
        async with places:
            return one, await pods.try_evict(client, one.pod)

    asked = await asyncio.gather(*(ask(one) for one in judged if one.verdict is PodVerdict.EVICT))
    refused = [(one, answer) for one, answer in asked if answer.status >= 300]
    spaces = sorted({one.pod.namespace for one, answer in refused if answer.status in {429, 500}})
    found = [budget for space in spaces for budget in (await budgets.list_budgets(client, space))[0]]
    return {one.pod.uid: _refusal(answer, covering(found, one.pod)) for one, answer in refused}


def _refusal(answer: Answer, found: tuple[BudgetView, ...]) -> str:
    result = read_answer(answer, len(found))
    if result in {EvictionResult.BUDGET, EvictionResult.TWO_BUDGETS}:
        return why_held(found)
    return f"{result}: {answer.message}"


async def report_drain(client: KubeClient, step: ReportStep) -> Reported:
    """Which of the pods are still on the node, by UID. Reads only."""
    found, _ = await pods.list_pods(client, step.node)
    return Reported(left=frozenset({pod.uid for pod in found} & set(step.uids)))


async def give_back(client: KubeClient, step: NodeStep) -> GivenBack:
    """Undo what the claim on the node says was done, and nothing else. A second call finds no claim."""

    async def act(node: NodeView | None) -> GivenBack:
        if node is None:
            return GivenBack(ours=True, reason=str(GONE.reason))
        if node.claim is None:
            if node.unschedulable:
                return GivenBack(
                    ours=False, reason="not-ours: Midwatch did not cordon the node; `kubectl uncordon` does"
                )
            return GivenBack(ours=True, reason="nothing-to-do: the node is not cordoned, and not claimed")
        was = node.cordoned_by_others
        await nodes.release_node(client, node, uncordon=not was)
        text = "left cordoned, as it was before" if was else "uncordoned"
        await note(client, node, node.claim.run, "MidwatchReleased", f"{step.run}: {text} by hand")
        return GivenBack(ours=True, reason=f"released: {text}")

    return await on_fresh(client, step.node, act)
