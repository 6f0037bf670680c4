"""The stream of a watch: one JSON event a line, until its time is over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import aiohttp

from midwatch.domain.errors import MidwatchError
from midwatch.kube.answers import JsonObject, read_object
from midwatch.kube.errors import Unreachable, bad_answer, from_answer
from midwatch.kube.transport import no_answer

_LARGEST_EVENT = 16 * 2**20
"""Bytes. etcd keeps no object above 1.5 MiB, and its JSON stays far below this."""
_SLACK_SECONDS = 1.0
"""A server that ends the watch so shortly before our clock does has ended it in time."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event of a watch: `ADDED`, `MODIFIED` or `DELETED`, and the object."""

    type: str
    object: JsonObject


async def read_events(what: str, response: aiohttp.ClientResponse, ends_at: float) -> AsyncGenerator[WatchEvent]:
    """The events until `ends_at` (of the loop's clock).

    No timeout is in force while the consumer handles an event: it would cancel the consumer.

    Raises:
        MidwatchError: the server reports an error (`Gone`), or the stream ends early or breaks.
    """
    loop = asyncio.get_running_loop()
    pending = bytearray()
    while True:
        try:
            async with asyncio.timeout_at(ends_at):
                chunk = await response.content.readany()
        except TimeoutError:
            return
        except (aiohttp.ClientError, OSError) as error:
            raise no_answer(what, error) from error
        if not chunk:
            if loop.time() < ends_at - _SLACK_SECONDS:
                raise Unreachable("unreachable", f"{what}: the server ended the watch early")
            return
        pending += chunk
        *lines, rest = pending.split(b"\n")
        pending = rest
        if len(pending) > _LARGEST_EVENT:
            raise bad_answer(what, bytes(pending[:1000]), "a watch event without end")
        for line in lines:
            if line.strip():
                yield _event(what, bytes(line))


def _event(what: str, line: bytes) -> WatchEvent:
    event = read_object(what, line)
    kind, changed = event.get("type"), event.get("object")
    if not isinstance(kind, str) or not isinstance(changed, dict):
        raise bad_answer(what, line, "no watch event")
    if kind == "ERROR":
        raise _reported(what, changed)
    return WatchEvent(kind, changed)


def _reported(what: str, status: JsonObject) -> MidwatchError:
    return from_answer(what, 0, json.dumps(status).encode())
