"""A watch ends normally at its time, and in every other way with an error."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from midwatch.domain.errors import MidwatchError
from midwatch.kube.client import open_client
from midwatch.kube.connection import TokenFile
from midwatch.kube.errors import BadAnswer, Gone, Unreachable
from tests.unit.kube.kube_kit import Reply, connection, hangs, refuses, serving


def event(name: str, kind: str = "MODIFIED") -> bytes:
    return json.dumps({"type": kind, "object": {"metadata": {"name": name}}}).encode() + b"\n"


def streams(*chunks: bytes, then: str = "stay") -> Reply:
    """These chunks; `then` stay open, end the answer, or cut the connection."""

    async def reply(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if then == "stay":
            await asyncio.Event().wait()
        if then == "cut":
            assert request.transport is not None
            request.transport.abort()
        return response

    return reply


async def names(reply: Reply, hold: float, seen: list[str]) -> list[str]:
    async with (
        serving(None, reply) as server,
        open_client(connection(server.url), timeout=timedelta(seconds=2)) as client,
    ):
        changes = client.watch("/x", field_selector="a=b", resource_version="5", hold=timedelta(seconds=hold))
        async for change in changes:
            metadata = change.object["metadata"]
            assert isinstance(metadata, dict)
            seen.append(str(metadata["name"]))
        query = server.seen[0].query
        assert query["watch"] == "1"
        assert query["resourceVersion"] == "5"
        assert query["fieldSelector"] == "a=b"
        assert query["timeoutSeconds"] == "1"
    return seen


async def test_events_arrive_as_they_come_also_in_pieces_and_a_large_one() -> None:
    large = event("x" * 3_000_000)
    whole = event("a") + event("b")
    seen = await names(streams(whole[:10], whole[10:], b"\n", large), 0.5, [])
    assert [name[:1] for name in seen] == ["a", "b", "x"]
    assert len(seen[2]) == 3_000_000


async def test_it_ends_normally_at_its_time_on_either_side() -> None:
    began = time.monotonic()
    assert await names(streams(event("a")), 0.3, []) == ["a"]
    assert time.monotonic() - began < 2
    assert await names(streams(event("a"), then="end"), 0.9, []) == ["a"]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        pytest.param(refuses(410, "Expired"), Gone, id="too old at once"),
        pytest.param(
            streams(
                event("a"),
                b'{"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Gone", "message": "old"}}\n',
            ),
            Gone,
            id="too old on the way",
        ),
        pytest.param(streams(event("a"), then="cut"), Unreachable, id="cut off"),
        pytest.param(streams(event("a"), then="end"), Unreachable, id="ended early"),
        pytest.param(streams(b"<html>\n"), BadAnswer, id="a page"),
        pytest.param(streams(b'{"type": "ADDED"}\n'), BadAnswer, id="no object"),
        pytest.param(hangs(), Unreachable, id="never begins"),
    ],
)
async def test_any_other_end_is_an_error_so_that_the_caller_lists_again(
    reply: Reply, kind: type[MidwatchError]
) -> None:
    async with (
        serving(None, reply) as server,
        open_client(connection(server.url), timeout=timedelta(seconds=0.5)) as client,
    ):
        with pytest.raises(kind):
            async for _ in client.watch("/x", field_selector=None, resource_version="5", hold=timedelta(seconds=20)):
                pass
        assert len(server.seen) == 1


async def test_its_end_does_not_cancel_a_consumer_that_is_busy_with_an_event() -> None:
    done = []
    async with serving(None, streams(event("a"))) as server, open_client(connection(server.url)) as client:
        async for _ in client.watch("/x", field_selector=None, resource_version="5", hold=timedelta(seconds=0.2)):
            await asyncio.sleep(0.6)  # the consumer's own work, longer than the watch
            done.append("worked")
    assert done == ["worked"]


async def test_a_watch_that_is_left_gives_its_connection_back() -> None:
    left = asyncio.Event()

    async def reply(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(event("a"))
                await asyncio.sleep(0.01)
        finally:
            left.set()

    async with serving(None, reply) as server, open_client(connection(server.url)) as client:
        changes = client.watch("/x", field_selector=None, resource_version="", hold=timedelta(seconds=60))
        first = await anext(changes)
        await changes.aclose()
        assert first.type == "MODIFIED"
        await asyncio.wait_for(left.wait(), 5)


async def test_a_refused_token_is_renewed_before_the_watch_begins(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")

    async def rotates(request: web.BaseRequest) -> web.StreamResponse:
        path.write_text("new")
        return await refuses(401, "Unauthorized")(request)

    async with (
        serving(None, rotates, streams(event("a"))) as server,
        open_client(connection(server.url, credentials=TokenFile(path))) as client,
    ):
        changes = client.watch("/x", field_selector=None, resource_version="", hold=timedelta(seconds=0.2))
        assert [change.type async for change in changes] == ["MODIFIED"]
        assert server.tokens == ["Bearer old", "Bearer new"]
