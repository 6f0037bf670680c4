"""The stream of a watch: a line of JSON per event, bookmarks in between."""

from __future__ import annotations

import time

from aiohttp import web

from midwatch.simulator.actions import Actions
from midwatch.simulator.calls import Call
from midwatch.simulator.documents import JsonObject
from midwatch.simulator.idleness import Idleness
from midwatch.simulator.store import ChangeType, Record, serialise
from midwatch.simulator.watches import Seen, Watch

_BOOKMARK_SECONDS = 60.0
_LAST_BOOKMARK_SECONDS = 2.0
"""So long before the end of a watch comes its last bookmark, as with a real API server."""
_INITIAL_END = "k8s.io/initial-events-end"


class _Stream:
    """One watch on its way to the client."""

    def __init__(
        self, response: web.StreamResponse, call: Call, watch: Watch, actions: Actions, idleness: Idleness
    ) -> None:
        self._response = response
        self._call = call
        self._watch = watch
        self._actions = actions
        self._idleness = idleness
        self._bookmarks = call.query.get("allowWatchBookmarks", "") in {"1", "true"}

    async def run(self, deadline: float | None) -> None:
        """Send events until the deadline (or until nothing can happen before it), or until the watch is closed."""
        await self._send(self._watch.take())
        if self._call.query.get("sendInitialEvents") == "true":
            await self.bookmark({_INITIAL_END: "true"})
        next_bookmark = self._next_bookmark(time.monotonic(), deadline)
        while not self._watch.closed:
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                return
            if next_bookmark is not None and now >= next_bookmark:
                await self.bookmark({})
                next_bookmark = now + _BOOKMARK_SECONDS
            if deadline is not None and self._idleness.has_lasted(now):
                return
            idle = self._idleness.seconds if deadline is not None else None
            look = None if idle is None else now + idle
            ends = [at for at in (deadline, next_bookmark, look) if at is not None]
            await self._watch.wait(max(0.0, min(ends) - now) if ends else None)
            await self._send(self._watch.take())

    def _next_bookmark(self, now: float, deadline: float | None) -> float | None:
        if not self._bookmarks:
            return None
        regular = now + _BOOKMARK_SECONDS
        return regular if deadline is None else min(regular, max(now, deadline - _LAST_BOOKMARK_SECONDS))

    async def _send(self, events: list[Seen]) -> None:
        if events:
            await self._response.write(b"".join(self._line(*event) for event in events))

    def _line(self, kind: ChangeType, record: Record) -> bytes:
        return b'{"type":"%s","object":%s}\n' % (kind.encode(), self._actions.show(self._call, record))

    async def bookmark(self, annotations: dict[str, str]) -> None:
        """Say how far the watch has come."""
        metadata: JsonObject = {"resourceVersion": str(self._actions.revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = {**annotations}
        resource = self._call.resource
        mark: JsonObject = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        await self._response.write(b'{"type":"BOOKMARK","object":' + serialise(mark) + b"}\n")


async def stream_events(
    response: web.StreamResponse,
    call: Call,
    watch: Watch,
    actions: Actions,
    idleness: Idleness,
    *,
    deadline: float | None,
) -> None:
    """Send a watch's events until its deadline (of the monotonic clock), or until it is closed.

    Raises:
        ConnectionError: the client is gone.
    """
    await _Stream(response, call, watch, actions, idleness).run(deadline)
