"""Looking ahead at a drain: which pods would block, be down meanwhile, or find no other place. Touches nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime

from activities.by_hand import confirm
from midwatch.domain.by_hand import DrainView
from midwatch.domain.errors import MidwatchError, UsageError
from midwatch.domain.nodes import NodeView
from midwatch.domain.pods import Judged, Moment, judge_pod
from midwatch.domain.policy import Policy
from midwatch.domain.preflight import Outlook, PlacedPod, summary
from midwatch.kube import budgets, nodes, placement, pods
from midwatch.kube.client import KubeClient


async def foresee(client: KubeClient, wanted: Collection[NodeView], policy: Policy) -> dict[str, str]:
    """One line for each of these nodes whose drain would block, or take something down. Reads only.

    It lists all pods, budgets and nodes of the cluster, and only when there is a node to look at. What cannot be
    read, for want of a right say, is the line.
    """
    if not wanted:
        return {}
    try:
        return await _lines(client, wanted, policy)
    except MidwatchError as error:
        return dict.fromkeys((node.name for node in wanted), f"not-foreseen: {error.message}")


async def _lines(client: KubeClient, wanted: Collection[NodeView], policy: Policy) -> dict[str, str]:
    placed, outlook = await _outlook(client)
    lines = {}
    for node in wanted:
        judged = await _judge(client, node, placed, policy)
        if (line := summary(outlook.of(node.name, judged, {}))) is not None:
            lines[node.name] = line
    return lines


async def explain_node(client: KubeClient, cluster: str, name: str, policy: Policy) -> DrainView:
    """Every pod of one node, and what its drain would mean, confirmed by server-side dry runs of the evictions.

    Raises:
        UsageError: `unknown-node`.
    """
    node = await nodes.read_node(client, name)
    if node is None:
        raise UsageError("unknown-node", f"cluster {cluster} has no node {name}")
    placed, outlook = await _outlook(client)
    judged = await _judge(client, node, placed, policy)
    foreseen = outlook.of(name, judged, await confirm(client, judged))
    return DrainView(cluster=cluster, node=name, outcome=None, dry_run=True, pods=tuple(one.pod for one in foreseen))


async def _outlook(client: KubeClient) -> tuple[list[PlacedPod], Outlook]:
    placed, found = await asyncio.gather(placement.list_placed(client), budgets.list_all_budgets(client))
    return placed, Outlook(placed, found, await placement.list_places(client, placed))


async def _judge(client: KubeClient, node: NodeView, placed: list[PlacedPod], policy: Policy) -> list[Judged]:
    mine = [one.view for one in placed if one.node == node.name]
    orphans = await pods.missing_daemon_sets(client, mine)
    moment = Moment(now=datetime.now(UTC), unreachable=node.unreachable)
    return [judge_pod(pod, policy.drain, orphans, moment) for pod in mine]
