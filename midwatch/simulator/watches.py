"""Watches: the changes of a list from a resource version on, and a history that is long enough for it."""

from __future__ import annotations

import asyncio
from collections import deque

from midwatch.simulator.documents import JsonObject
from midwatch.simulator.refusals import expired
from midwatch.simulator.resources import Resource
from midwatch.simulator.selectors import Test
from midwatch.simulator.store import Change, ChangeType, Record, Store

type Seen = tuple[ChangeType, Record]


class Watch:
    """One open watch: what has happened and is not sent yet."""

    def __init__(self, resource: Resource, test: Test) -> None:
        self.resource = resource
        self.closed = False
        self._test = test
        self._pending: deque[Seen] = deque()
        self._wake = asyncio.Event()

    def offer(self, change: Change) -> None:
        """Take a change, if it is one of ours. Nothing is serialised yet."""
        seen = as_seen(self._test, change)
        if seen is not None:
            self._pending.append(seen)
            self._wake.set()

    def add(self, record: Record) -> None:
        """An object that is there from the beginning."""
        if self._test(record.doc):
            self._pending.append((ChangeType.ADDED, record))
            self._wake.set()

    def take(self) -> list[Seen]:
        """All that is to be sent now."""
        found = list(self._pending)
        self._pending.clear()
        self._wake.clear()
        return found

    async def wait(self, seconds: float | None) -> bool:
        """Wait for something to send, or for the end; False when neither came in time."""
        if seconds is None:
            await self._wake.wait()
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """End it."""
        self.closed = True
        self._wake.set()


def as_seen(test: Test, change: Change) -> Seen | None:
    """The change as a watch with a selector sees it: what leaves the selection is deleted, what enters is added."""
    is_in = change.type is not ChangeType.DELETED and test(change.record.doc)
    was_in = change.before is not None and test(change.before.doc)
    if is_in:
        return (ChangeType.MODIFIED if was_in else ChangeType.ADDED), change.record
    if not was_in:
        return None
    if change.type is ChangeType.DELETED:
        return ChangeType.DELETED, change.record
    assert change.before is not None
    return ChangeType.DELETED, Record(change.resource, _as_of(change.before.doc, change.record), change.record.revision)


def _as_of(doc: JsonObject, record: Record) -> JsonObject:
    metadata = doc["metadata"]
    assert isinstance(metadata, dict)
    return {**doc, "metadata": {**metadata, "resourceVersion": str(record.revision)}}


class WatchHub:
    """All watches of a cluster, and its last changes, from which a watch may go on.

    Args:
        store: whose changes they are.
        length: how many changes are kept.
    """

    def __init__(self, store: Store, length: int) -> None:
        self._store = store
        self._history: deque[Change] = deque()
        self._length = length
        self._floor = store.revision
        self._watches: dict[Resource, set[Watch]] = {}
        store.observe(self._take)

    def open(self, resource: Resource, test: Test, since: int) -> Watch:
        """A watch of what comes after a revision; 0 begins with what is there.

        Raises:
            Refusal: 410, when the history no longer goes back so far.
        """
        watch = Watch(resource, test)
        if since == 0:
            for record in self._store.list(resource):
                watch.add(record)
        elif since < self._floor:
            raise expired(f"too old resource version: {since} ({self._floor})")
        else:
            for change in self._since(since):
                if change.resource is resource:
                    watch.offer(change)
        self._watches.setdefault(resource, set()).add(watch)
        return watch

    def close(self, watch: Watch) -> None:
        """Forget a watch."""
        self._watches.get(watch.resource, set()).discard(watch)

    def drop_all(self) -> int:
        """End every open watch; how many there were."""
        open_watches = [watch for watches in self._watches.values() for watch in watches]
        for watch in open_watches:
            watch.close()
        return len(open_watches)

    def forget(self) -> None:
        """Drop the history, as etcd's compaction does."""
        self._history.clear()
        self._floor = self._store.revision

    def _since(self, revision: int) -> list[Change]:
        found: list[Change] = []
        for change in reversed(self._history):
            if change.record.revision <= revision:
                break
            found.append(change)
        return found[::-1]

    def _take(self, change: Change) -> None:
        self._history.append(change)
        if len(self._history) > self._length:
            self._floor = self._history.popleft().record.revision
        for watch in self._watches.get(change.resource, ()):
            watch.offer(change)
