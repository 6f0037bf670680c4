"""The clusters that there are, for those who start runs: policy, kubeconfig, and a first look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from activities.doctor import examine_fleet
from activities.preflight import explain_node
from activities.survey import survey_fleet
from midwatch.domain.by_hand import DrainView
from midwatch.domain.clusters import ClusterRef, named_or_near, refuse_twins, resolve
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


class KubeconfigDirectory:
    """Clusters by kubeconfig contexts."""

    def __init__(self, pool: ClientPool, policy: Callable[[], Policy]) -> None:
        self._pool = pool
        self._policy = policy

    def policy(self) -> Policy:
        """Read the policy anew: a changed file counts from the next run on."""
        return self._policy()

    def resolve(self, policy: Policy, wanted: Sequence[str]) -> tuple[ClusterRef, ...]:
        """The clusters of a run, with the servers that their contexts lead to now."""
        found = tuple(self._placed(cluster) for cluster in resolve(policy, wanted, self._pool.contexts()))
        refuse_twins(found)
        return found

    def _placed(self, cluster: ClusterRef) -> ClusterRef:
        """One whose context cannot be used is left as it is: it is reported, and stops no other."""
        with suppress(MidwatchError):
            return cluster.model_copy(update={"server": self._pool.server(cluster.context)})
        return cluster

    async def check(self, clusters: Sequence[ClusterRef], names: Sequence[str]) -> None:
        """Look at every cluster with the credentials of the run, before anything starts.

        Raises:
            UsageError: with the cluster's own code when none can be read; `unknown-node` when a name is on none.
        """
        answers = await asyncio.gather(*(self._find(cluster, names) for cluster in clusters))
        errors = [(c, answer) for c, answer in zip(clusters, answers, strict=True) if isinstance(answer, MidwatchError)]
        if errors and (names or len(errors) == len(clusters)):
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
        policy = self.policy()
        clusters = self.resolve(policy, wanted)
        if len(clusters) != 1:
            raise UsageError("one-cluster", "which cluster is the node on? name it with --context")
        await self.check(clusters, [node])
        return await explain_node(await self._pool.client(clusters[0]), clusters[0].name, node, policy)

    async def survey(self, wanted: Sequence[str]) -> SurveyView:
        """The fleet as it is now."""
        policy = self.policy()
        return await survey_fleet(self._pool, self.resolve(policy, wanted), policy)

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
        policy = self.policy()
        return await examine_fleet(self._pool, self.resolve(policy, wanted), policy, seen)
