"""The evictions of one pass: asked for as the budgets have room, watched until the pods are gone or time is over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from midwatch.domain.errors import MidwatchError, TransientError
from midwatch.domain.eviction import Answer, EvictionResult, read_answer
from midwatch.domain.pod_budgets import BudgetView, Ledger, why_held
from midwatch.domain.pods import PodView
from midwatch.kube import budgets, pods
from midwatch.kube.client import KubeClient

_AT_ONCE = 50
"""Evictions under way at once: enough to be bound by the pods' own grace, few enough for any API server."""
_ON_THE_WAY = frozenset({EvictionResult.LEAVING, EvictionResult.NAMESPACE_ENDS})
_NOT_THERE = frozenset({EvictionResult.GONE, EvictionResult.REPLACED})

type _Act = Callable[[PodView], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Blocked:
    """A pod that was not let go, and why."""

    pod: PodView
    result: EvictionResult
    because: str
    never: bool = False


@dataclass(slots=True)
class Progress:
    """What has come of the pods so far, by UID."""

    leaving: dict[str, PodView] = field(default_factory=dict)
    blocked: dict[str, Blocked] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    granted: set[str] = field(default_factory=set)
    deleted: list[PodView] = field(default_factory=list)
    replaced: int = 0
    retry_after: timedelta | None = None


class Evictions:
    """One pass over a node's pods. A context manager, since it watches while it works.

    Args:
        client: the cluster.
        node: its name.
        version: the resource version of the list that the pods come from.
        ends_at: of the loop's clock.
        grace: for every pod; None leaves it to the pod.
    """

    def __init__(self, client: KubeClient, node: str, version: str, *, ends_at: float, grace: timedelta | None) -> None:
        self._client = client
        self._node = node
        self._version = version
        self._ends_at = ends_at
        self._grace = grace
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._ledger = Ledger()
        self._learning: dict[str, asyncio.Task[None]] = {}
        self._changes: asyncio.Queue[str | BudgetView | None] = asyncio.Queue()
        self._watches: list[asyncio.Task[None]] = []
        self._watching_pods = False
        self._throttled = False
        """A 429 without a budget's cause: no more is asked in this pass. A 5xx may be just one pod's webhook."""
        self.progress = Progress()

    async def __aenter__(self) -> Evictions:
        """Nothing is asked yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the watches."""
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)

    @property
    def budgets_in(self) -> tuple[str, ...]:
        """The namespaces whose budgets have refused."""
        held = {EvictionResult.BUDGET, EvictionResult.TWO_BUDGETS}
        return tuple(sorted({b.pod.namespace for b in self.progress.blocked.values() if b.result in held}))

    async def learn(self, namespaces: Sequence[str]) -> None:
        """Read the budgets of these namespaces before anything is asked there."""
        await asyncio.gather(*(self._learn(namespace) for namespace in namespaces))

    async def clear(self, wave: Sequence[PodView]) -> bool:
        """Evict these pods and wait until they are gone. False when some are left, or time is over."""
        there = [pod for pod in wave if pod.uid not in self.progress.gone]
        self.progress.leaving |= {pod.uid: pod for pod in there if pod.deleted is not None}
        await self._each(self._evict, [pod for pod in there if pod.deleted is None])
        await self._until_gone()
        return not self.progress.leaving and not self.progress.blocked

    async def delete(self, wave: Sequence[PodView], most_grace: timedelta) -> bool:
        """The same past the budgets: delete each pod with its own grace or the most that it may have."""

        async def one(pod: PodView) -> None:
            grace = min(pod.grace, most_grace)
            answer = await pods.delete_pod(self._client, pod, grace)
            self.progress.deleted.append(pod)
            self._take(pod, answer)

        await self._each(one, [pod for pod in wave if pod.uid not in self.progress.gone])
        await self._until_gone()
        return not self.progress.leaving and not self.progress.blocked

    async def _each(self, act: _Act, wanted: Sequence[PodView]) -> None:
        """Do it to each, several at once. One that gets no answer is left for the next pass; the others go on."""

        async def one(pod: PodView) -> None:
            async with self._places:
                try:
                    await act(pod)
                except MidwatchError as error:
                    passing = isinstance(error, TransientError)
                    result = EvictionResult.THROTTLED if passing else EvictionResult.REFUSED
                    self.progress.blocked[pod.uid] = Blocked(pod, result, f"{error.code}: {error.message}")

        async with asyncio.TaskGroup() as group:
            for pod in wanted:
                group.create_task(one(pod))

    async def _evict(self, pod: PodView) -> None:
        """Ask once, unless the budgets that we have read have no room."""
        if self._throttled:
            because = "throttled: the API server asked for patience"
            self.progress.blocked[pod.uid] = Blocked(pod, EvictionResult.THROTTLED, because)
            return
        if not self._ledger.admits(pod):
            self._hold_back(pod)
            return
        self._ledger.spend(pod)
        answer = await pods.evict(self._client, pod, self._grace)
        if answer.status in {429, 500} and not self._ledger.knows(pod.namespace):
            await self._learn(pod.namespace)
        self._take(pod, answer)

    def _take(self, pod: PodView, answer: Answer) -> None:
        now = self.progress
        now.blocked.pop(pod.uid, None)
        covering = self._ledger.covering(pod)
        result = read_answer(answer, len(covering))
        if result is EvictionResult.THROTTLED:
            self._throttled = self._throttled or answer.status == 429
            now.retry_after = max(answer.retry_after or timedelta(0), now.retry_after or timedelta(0))
        if result in _ON_THE_WAY:
            if result is EvictionResult.LEAVING:
                now.granted.add(pod.uid)
            if pod.uid not in now.gone:
                now.leaving[pod.uid] = pod
        elif result in _NOT_THERE:
            now.gone.add(pod.uid)
            now.replaced += result is EvictionResult.REPLACED
        elif result is EvictionResult.BUDGET:
            self._ledger.refused(pod)
            self._hold_back(pod)
        elif result is EvictionResult.TWO_BUDGETS:
            self._hold_back(pod)
        else:
            because = f"{result}: {answer.message or f'the API server answered {answer.status}'}"
            now.blocked[pod.uid] = Blocked(pod, result, because)

    def _hold_back(self, pod: PodView) -> None:
        covering = self._ledger.covering(pod)
        two = len(covering) > 1
        result = EvictionResult.TWO_BUDGETS if two else EvictionResult.BUDGET
        never = bool(covering) and covering[0].never_allows
        self.progress.blocked[pod.uid] = Blocked(pod, result, why_held(covering), never=never)

    async def _learn(self, namespace: str) -> None:
        """Read the budgets of a namespace, once, and watch them from then on."""
        if namespace not in self._learning:
            self._learning[namespace] = asyncio.create_task(self._read(namespace))
        await self._learning[namespace]

    async def _read(self, namespace: str) -> None:
        found, version = await budgets.list_budgets(self._client, namespace)
        self._ledger.learn(namespace, found)
        if any(not budget.never_allows for budget in found):
            self._watch(self._budget_changes(namespace, version))

    async def _until_gone(self) -> None:
        """Follow the changes until nothing is left that they could move, or time is over."""
        clock = asyncio.get_running_loop().time
        while self._hopeful and clock() < self._ends_at:
            if not self._watching_pods:
                self._watching_pods = True
                self._watch(self._pod_changes())
            try:
                async with asyncio.timeout_at(self._ends_at):
                    changes = [await self._changes.get()]
            except TimeoutError:
                return
            while not self._changes.empty():
                changes.append(self._changes.get_nowait())
            for uid in (change for change in changes if isinstance(change, str)):
                self.progress.gone.add(uid)
                self.progress.leaving.pop(uid, None)
                self.progress.blocked.pop(uid, None)
            if None in changes:
                return
            if any(isinstance(change, BudgetView) for change in changes):
                await self._opened()

    @property
    def _hopeful(self) -> bool:
        if self.progress.leaving:
            return True
        return any(b.result is EvictionResult.BUDGET and not b.never for b in self.progress.blocked.values())

    async def _opened(self) -> None:
        """A budget has changed: ask for as many of its pods as it has room for."""
        held = [b.pod for b in self.progress.blocked.values() if b.result is EvictionResult.BUDGET]
        await self._each(self._evict, [pod for pod in held if self._ledger.admits(pod)])

    def _watch(self, changes: AsyncIterator[str | BudgetView]) -> None:
        async def follow() -> None:
            with contextlib.suppress(MidwatchError):
                async for change in changes:
                    self._changes.put_nowait(change)
            self._changes.put_nowait(None)  # it broke, or its time is over: the pass ends, not the drain

        self._watches.append(asyncio.create_task(follow()))

    async def _pod_changes(self) -> AsyncIterator[str]:
        async for kind, uid in pods.watch_pods(self._client, self._node, self._version, self._left):
            if kind == "DELETED":
                yield uid

    async def _budget_changes(self, namespace: str, version: str) -> AsyncIterator[BudgetView]:
        async for kind, budget in budgets.watch_budgets(self._client, namespace, version, self._left):
            if kind == "DELETED":
                self._ledger.forget(budget)
            else:
                self._ledger.update(budget)
            yield budget

    @property
    def _left(self) -> timedelta:
        return timedelta(seconds=max(0.0, self._ends_at - asyncio.get_running_loop().time()))
