"""The clusters that there are, for those who start runs: policy, kubeconfig, Azure, and a first look."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from typing import Protocol

from activities.doctor import examine_fleet
from activities.preflight import explain_node
from activities.survey import survey_fleet
from midwatch.domain.by_hand import DrainView
from midwatch.domain.clusters import ClusterRef, Found, named_or_near, refuse_twins, resolve
from midwatch.domain.doctor.checks import CheckedCluster
from midwatch.domain.errors import MidwatchError, UsageError
from midwatch.domain.policy import Policy
from midwatch.domain.steps import SurveyView
from midwatch.kube import nodes
from midwatch.kube.pool import ClientPool

_NAMED_NODES = 20
"""Up to so many names are read one by one; more are looked up in one list."""


def _unwatched(_: CheckedCluster) -> None:
    """Nobody wants to see how far it is."""


class Azure(Protocol):
    """The clusters that Azure has."""

    async def find(self, policy: Policy) -> Found:
        """What Azure has for each source of the policy. Raises MidwatchError."""


class ClusterDirectory:
    """The clusters of the policy: contexts of the kubeconfig, and what Azure has."""

    def __init__(self, pool: ClientPool, azure: Azure, policy: Callable[[], Awaitable[Policy]]) -> None:
        self._pool = pool
        self._azure = azure
        self._policy = policy

    async def policy(self) -> Policy:
        """Read the policy anew: a changed one counts from the next run on."""
        return await self._policy()

    async def resolve(self, policy: Policy, wanted: Sequence[str]) -> tuple[ClusterRef, ...]:
        """The clusters of a run, with the servers that their names lead to now.

        Raises:
            UsageError: a name is wrong, or two of them are one cluster.
            MidwatchError: Azure refuses or does not answer.
        """
        found = await self._azure.find(policy)
        chosen = resolve(policy, wanted, self._contexts(policy), found)
        placed = tuple(await asyncio.gather(*(self._placed(cluster) for cluster in chosen)))
        refuse_twins(placed)
        return placed

    def _contexts(self, policy: Policy) -> Collection[str]:
        """The kubeconfig's contexts; where all clusters are Azure's there need be no kubeconfig."""
        needed = not policy.clusters or any(source.kubeconfig is not None for source in policy.clusters)
        return self._pool.contexts() if needed else ()

    async def _placed(self, cluster: ClusterRef) -> ClusterRef:
        """One that cannot be reached is left as it is: it is reported, and stops no other."""
        with suppress(MidwatchError):
            connection = await self._pool.connection(cluster)
            return cluster.model_copy(update={"server": connection.server})
        return cluster

    async def check(self, clusters: Sequence[ClusterRef], names: Sequence[str]) -> None:
        """Look at every cluster with the credentials of the run, before anything starts.

        Clusters that the run will skip are not looked at, unless nodes are named: then each could have them.

        Raises:
            UsageError: with the cluster's own code when none can be read; `unknown-node` when a name is on none.
        """
        asked = [cluster for cluster in clusters if names or not cluster.skip]
        answers = await asyncio.gather(*(self._find(cluster, names) for cluster in asked))
        errors = [(c, answer) for c, answer in zip(asked, answers, strict=True) if isinstance(answer, MidwatchError)]
        if errors and (names or len(errors) == len(asked)):
            code = errors[0][1].code
            raise UsageError(code, "; ".join(f"cluster {c.name}: {error.message}" for c, error in errors))
        known = set().union(*(answer for answer in answers if isinstance(answer, set)))
        missing = [name for name in names if name not in known]
        if missing:
            near = await self._near(clusters, missing[0])
            raise UsageError("unknown-node", f"no cluster of this run has a node {', '.join(missing)}: {near}")

    async def _find(self, cluster: ClusterRef, names: Sequence[str]) -> set[str] | MidwatchError:
        """Which of the names the cluster has, or why it cannot be read. Without names: only whether it can be."""
        try:
            client = await self._pool.client(cluster)
            if not names:
                await nodes.can_read(client)
                return set()
            if len(names) > _NAMED_NODES:
                return {node.name for node in await nodes.list_nodes(client)}
            found = await asyncio.gather(*(nodes.read_node(client, name) for name in names))
        except MidwatchError as error:
            return error
        return {node.name for node in found if node is not None}

    async def _near(self, clusters: Sequence[ClusterRef], name: str) -> str:
        known = [n.name for c in clusters for n in await nodes.list_nodes(await self._pool.client(c))]
        return named_or_near(name, known)

    async def explain(self, wanted: Sequence[str], node: str) -> DrainView:
        """What the drain of one node would mean.

        Raises:
            UsageError: more or less than one cluster, or no such node.
        """
        policy = await self.policy()
        clusters = await self.resolve(policy, wanted)
        if len(clusters) != 1:
            raise UsageError("one-cluster", "which cluster is the node on? name it with --context")
        await self.check(clusters, [node])
        return await explain_node(await self._pool.client(clusters[0]), clusters[0].name, node, policy)

    async def survey(self, wanted: Sequence[str]) -> SurveyView:
        """The fleet as it is now."""
        policy = await self.policy()
        return await survey_fleet(self._pool, await self.resolve(policy, wanted), policy)

    async def examine(
        self, wanted: Sequence[str], seen: Callable[[CheckedCluster], None] = _unwatched
    ) -> tuple[CheckedCluster, ...]:
        """Whether a run would find what it needs. Changes nothing.

        Args:
            wanted: names of clusters; empty means all that the policy lists.
            seen: called with each cluster that has been looked at.

        Raises:
            UsageError: the policy, the kubeconfig as a whole, or a name is wrong.
        """
        policy = await self.policy()
        return await examine_fleet(self._pool, await self.resolve(policy, wanted), policy, seen)
