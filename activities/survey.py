"""Looking at clusters: for the orchestration, and for people."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from activities.preflight import foresee
from midwatch.domain.budget import Availability, Candidate
from midwatch.domain.clusters import ClusterRef
from midwatch.domain.errors import MidwatchError
from midwatch.domain.node_images import oldest_image
from midwatch.domain.nodes import Claim, Judgement, Needed, NodeView, Verdict, judge
from midwatch.domain.packages import packages_in
from midwatch.domain.policy import Policy
from midwatch.domain.steps import (
    Abandoned,
    Failure,
    Foresight,
    Skipped,
    Surveyed,
    SurveyedCluster,
    SurveyedNode,
    SurveyStep,
    SurveyView,
)
from midwatch.kube import nodes, version
from midwatch.kube.client import KubeClient
from midwatch.kube.pool import ClientPool


async def survey_cluster(client: KubeClient, step: SurveyStep) -> Surveyed:
    """Candidates, nodes to skip, and what is unavailable. Reads only.

    A node that needs no reboot is not mentioned; one of which that is not known is skipped.
    """
    now = datetime.now(UTC)
    found = await nodes.list_nodes(client)
    judged = [(node, judge(node, step.policy.nodes, now, step.cluster.barred_pools)) for node in found]
    wanted = [(n, j) for n, j in judged if not step.nodes or n.name in step.nodes]
    left = _left_claimed(found, step.run)
    candidates = [n for n, j in wanted if step.foresee and j.verdict is Verdict.CANDIDATE]
    lines = await foresee(client, candidates, step.policy)
    return Surveyed(
        candidates=tuple(
            Candidate(name=n.name, pool=n.pool, zone=n.zone, since=j.need.since)
            for n, j in wanted
            if j.verdict is Verdict.CANDIDATE
        ),
        skipped=tuple(
            Skipped(name=n.name, pool=n.pool, zone=n.zone, reason=_why(j))
            for n, j in wanted
            if (j.verdict is Verdict.SKIPPED and j.need.needed is not Needed.FALSE) or (step.nodes and _refused(j))
        ),
        availability=Availability(
            total=len(found),
            not_ready=tuple(n.name for n in found if not n.ready),
            cordoned=tuple(n.name for n in found if n.ready and (n.cordoned_by_others or _by_hand(n))),
            claimed=tuple(n.name for n, _ in left if n.unschedulable),
        ),
        foreseen=tuple(Foresight(name=name, line=line) for name, line in lines.items()),
        abandoned=tuple(Abandoned(name=n.name, run=claim.run) for n, claim in left),
    )


def _by_hand(node: NodeView) -> bool:
    return node.unschedulable and node.claim is not None and node.claim.by_hand


def _left_claimed(found: Sequence[NodeView], run: str) -> list[tuple[NodeView, Claim]]:
    """The nodes that another run claimed. It holds the lease no more, since we do."""
    claimed = [(node, node.claim) for node in found if node.claim is not None]
    return [(node, claim) for node, claim in claimed if claim.run != run and not claim.by_hand]


def _refused(judgement: Judgement) -> bool:
    return judgement.verdict is not Verdict.CANDIDATE


def _why(judgement: Judgement) -> str:
    return judgement.reason or "not-needed: the node asks for no reboot"


async def survey_fleet(pool: ClientPool, clusters: tuple[ClusterRef, ...], policy: Policy) -> SurveyView:
    """The `survey` JSON: every cluster side by side; one that cannot be read has its error instead of nodes."""
    views = await asyncio.gather(*(_survey_one(pool, cluster, policy) for cluster in clusters))
    return SurveyView(clusters=tuple(views))


async def _survey_one(pool: ClientPool, cluster: ClusterRef, policy: Policy) -> SurveyedCluster:
    server = None
    try:
        client = await pool.client(cluster)
        server = client.server
        found, kubernetes = await asyncio.gather(nodes.list_nodes(client), version.server_version(client))
        now = datetime.now(UTC)
        in_order = sorted(found, key=lambda n: n.name)
        judged = [(node, judge(node, policy.nodes, now, cluster.barred_pools)) for node in in_order]
        lines = await foresee(client, [n for n, j in judged if j.verdict is Verdict.CANDIDATE], policy)
    except MidwatchError as error:
        failure = Failure(code=error.code, message=error.message)
        return SurveyedCluster(
            name=cluster.name, server=server, kubernetes_version=None, error=failure, nodes=(), notes=cluster.notes
        )
    surveyed = tuple(_node(node, judgement, lines.get(node.name)) for node, judgement in judged)
    image = oldest_image((node.labels for node in found), now.date())
    notes = (*cluster.notes, image) if image else cluster.notes
    return SurveyedCluster(
        name=cluster.name, server=server, kubernetes_version=kubernetes, error=None, nodes=surveyed, notes=notes
    )


def _node(node: NodeView, judgement: Judgement, foreseen: str | None) -> SurveyedNode:
    needed = judgement.need.needed is Needed.TRUE
    return SurveyedNode(
        name=node.name,
        pool=node.pool,
        zone=node.zone,
        os=node.os,
        ready=node.ready,
        schedulable=not node.unschedulable,
        needs_reboot=judgement.need.needed,
        since=judgement.need.since if needed else None,
        packages=packages_in(judgement.need.message) if needed else (),
        kernel_version=node.kernel_version,
        boot_id=node.boot_id,
        verdict=judgement.verdict,
        reason=judgement.reason or foreseen,
    )
