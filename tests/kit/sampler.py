"""Watches a cluster during a run and keeps what must never happen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from tests.kit import background
from tests.kit.kubelet.client import KubeletClient
from tests.kit.objects import Budget, Node, Pod
from tests.kit.timeline import Timeline, What

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kit.cluster import Cluster
    from tests.kit.kubelet.client import Change

    type Take = Callable[[Change], None]


class Sampler:
    """A context manager. Watches nodes, pods and PDBs; `timeline` has the events and the violations.

    Rules:
        pdb: a PDB that was healthy falls below its desired count (the API server allows no eviction that does that).
        budget: more than `max_unavailable` nodes are not Ready or cordoned at once; None: not checked. A node that was
            cordoned when the sampler started does not count while it is Ready.
        human-cordon: such a node becomes schedulable.
    """

    def __init__(self, cluster: Cluster, *, max_unavailable: int | None = 1) -> None:
        self.timeline = Timeline(cluster.name)
        self._api = cluster.api
        self._max = max_unavailable
        self._nodes: dict[str, Node] = {}
        self._pods: dict[str, Pod] = {}
        self._healthy_once: set[str] = set()
        self._human: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._client: KubeletClient | None = None

    def __enter__(self) -> Self:
        """Start to watch; the first lists are in when this returns."""
        background.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        background.run(self._stop())

    @property
    def violations(self) -> list[str]:
        """What was violated, as text; empty in a good run."""
        return [f"{v.cluster} {v.rule}: {v.text}" for v in self.timeline.violations]

    # -- in the background loop ---------------------------------------------------------------------------------------

    async def _start(self) -> None:
        self._client = KubeletClient(self._api)
        listed = [asyncio.Event() for _ in range(3)]
        watched = (
            ("/api/v1/pods", self._take_pod),
            ("/apis/policy/v1/poddisruptionbudgets", self._take_budget),
            ("/api/v1/nodes", self._take_node),
        )
        for (path, take), event in zip(watched, listed, strict=True):
            self._tasks.append(asyncio.create_task(self._follow(self._client, path, take, event)))
        await asyncio.gather(*(event.wait() for event in listed))

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _follow(self, client: KubeletClient, path: str, take: Take, listed: asyncio.Event) -> None:
        async for change in client.watch(path):
            take(change)
            if change.type == "LISTED":
                listed.set()

    def _take_pod(self, change: Change) -> None:
        if change.type == "LISTED":
            self._pods = {uid: pod for uid, pod in self._pods.items() if uid in change.uids}
            return
        pod = Pod.model_validate(change.object)
        if change.type == "DELETED":
            self._pods.pop(pod.metadata.uid, None)
        else:
            self._pods[pod.metadata.uid] = pod

    def _take_budget(self, change: Change) -> None:
        if change.type in {"LISTED", "DELETED"}:
            return
        budget = Budget.model_validate(change.object)
        uid, status = budget.metadata.uid, budget.status
        if status.current_healthy >= status.desired_healthy > 0:
            self._healthy_once.add(uid)
        elif uid in self._healthy_once and status.current_healthy < status.desired_healthy:
            text = f"{budget.metadata.name} has {status.current_healthy} of {status.desired_healthy}"
            self.timeline.violate("pdb", f"{text}; ending: {', '.join(self._ending(budget)) or 'nothing known'}")

    def _ending(self, budget: Budget) -> list[str]:
        wanted = budget.spec.selector.match_labels.items()
        return [
            pod.metadata.name
            for pod in self._pods.values()
            if pod.metadata.namespace == budget.metadata.namespace
            and wanted <= pod.metadata.labels.items()
            and pod.metadata.deletion_timestamp is not None
        ]

    def _take_node(self, change: Change) -> None:
        if change.type == "LISTED":
            for name in [n for n, node in self._nodes.items() if node.metadata.uid not in change.uids]:
                self._gone(name)
            return
        node = Node.model_validate(change.object)
        name, before = node.metadata.name, self._nodes.get(node.metadata.name)
        if change.type == "DELETED":
            self._gone(name)
            return
        self._nodes[name] = node
        if before is None:
            if node.spec.unschedulable:
                self._human.add(name)
        else:
            self._compare(before, node)
        self._count()

    def _gone(self, name: str) -> None:
        self._nodes.pop(name, None)
        self.timeline.note(name, What.GONE)

    def _compare(self, before: Node, node: Node) -> None:
        name = node.metadata.name
        if before.spec.unschedulable != node.spec.unschedulable:
            self.timeline.note(name, What.CORDON if node.spec.unschedulable else What.UNCORDON)
            if name in self._human and not node.spec.unschedulable:
                self.timeline.violate("human-cordon", f"{name} became schedulable")
        if before.ready != node.ready:
            self.timeline.note(name, What.READY if node.ready else What.NOT_READY)
        if before.status.node_info.boot_id != node.status.node_info.boot_id:
            self.timeline.note(name, What.BOOT)

    def _count(self) -> None:
        if self._max is None:
            return
        out = [
            name
            for name, node in self._nodes.items()
            if not node.ready or (node.spec.unschedulable and name not in self._human)
        ]
        if len(out) > self._max:
            self.timeline.violate("budget", f"{len(out)} nodes unavailable: {', '.join(sorted(out))}")
