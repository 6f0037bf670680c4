"""Deadlines, retries counted at the server, paging, and what each verb sends."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from midwatch.domain.errors import MidwatchError, TransientError
from midwatch.kube.client import JSON_PATCH, MERGE_PATCH, KubeClient, open_client
from midwatch.kube.errors import ApiError, Gone, ServerError, Throttled, Unreachable
from tests.unit.kube.kube_kit import Reply, connection, hangs, hangs_up, refuses, says, serving

SOON = {"Retry-After": "0"}
OK = says({"ok": True})
BUDGET = [{"reason": "DisruptionBudget", "message": "", "field": ""}]

type Write = Callable[[KubeClient], Awaitable[object]]
WRITES: dict[str, Write] = {
    "create": lambda client: client.create("/x", {}),
    "replace": lambda client: client.replace("/x", {}),
    "patch": lambda client: client.patch("/x", {}, content_type=MERGE_PATCH),
    "delete": lambda client: client.delete("/x"),
}


@pytest.mark.parametrize(
    ("reply", "sent"),
    [
        pytest.param(refuses(500), 3, id="500"),
        pytest.param(says("bad gateway", 502), 3, id="502 of a gateway"),
        pytest.param(refuses(503), 3, id="503"),
        pytest.param(refuses(504), 3, id="504"),
        pytest.param(refuses(501), 1, id="501"),
        pytest.param(refuses(429, headers=SOON), 3, id="429 with Retry-After"),
        pytest.param(refuses(429), 1, id="429 without"),
        pytest.param(refuses(404), 1, id="404"),
        pytest.param(refuses(409), 1, id="409"),
        pytest.param(hangs_up, 3, id="cut off"),
    ],
)
async def test_a_read_is_repeated_only_when_the_server_may_answer_next_time(reply: Reply, sent: int) -> None:
    async with serving(None, reply) as server, open_client(connection(server.url)) as client:
        with pytest.raises(MidwatchError):
            await client.get("/x")
        assert len(server.seen) == sent


async def test_a_read_is_answered_when_the_server_recovers() -> None:
    async with serving(None, refuses(503), hangs_up, OK) as server, open_client(connection(server.url)) as client:
        assert await client.get("/x") == {"ok": True}


@pytest.mark.parametrize("verb", WRITES)
@pytest.mark.parametrize(
    ("reply", "sent"),
    [
        pytest.param(refuses(500), 1, id="500"),
        pytest.param(refuses(503, headers=SOON), 1, id="503 with Retry-After"),
        pytest.param(refuses(429), 1, id="429"),
        pytest.param(refuses(429, headers=SOON, causes=BUDGET), 1, id="429 with a cause"),
        pytest.param(refuses(429, headers=SOON), 3, id="429 with Retry-After"),
        pytest.param(hangs_up, 1, id="cut off: the server may have acted"),
    ],
)
async def test_a_write_is_repeated_only_when_nothing_was_done(verb: str, reply: Reply, sent: int) -> None:
    async with serving(None, reply) as server, open_client(connection(server.url)) as client:
        with pytest.raises(TransientError):
            await WRITES[verb](client)
        assert len(server.seen) == sent


async def test_an_eviction_is_never_repeated() -> None:
    async with serving(None, refuses(429, headers=SOON)) as server, open_client(connection(server.url)) as client:
        with pytest.raises(Throttled):
            await client.create("/x", {}, resend=False)
        assert len(server.seen) == 1


@pytest.mark.parametrize("verb", WRITES)
async def test_a_write_on_a_connection_that_breaks_after_use_is_not_repeated(verb: str) -> None:
    """The kept connection, where aiohttp itself would send PUT and DELETE again."""
    async with serving(None, OK, hangs_up) as server, open_client(connection(server.url)) as client:
        await client.get("/x")
        with pytest.raises(Unreachable) as caught:
            await WRITES[verb](client)
        assert caught.value.code == "unreachable"
        assert len(server.seen) == 2


async def test_a_read_survives_a_kept_connection_that_breaks() -> None:
    async with serving(None, OK, hangs_up, OK) as server, open_client(connection(server.url)) as client:
        await client.get("/x")
        assert await client.get("/x") == {"ok": True}
        assert len(server.seen) == 3


async def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for url, why in ((f"http://127.0.0.1:{port}", "cannot connect"), ("https://nobody.invalid", "host name")):
        async with open_client(connection(url), timeout=timedelta(seconds=5)) as client:
            with pytest.raises(Unreachable, match=why) as caught:
                await client.create("/x", {})
        assert caught.value.code == "unreachable"


@pytest.mark.parametrize("verb", ["get", *WRITES])
async def test_a_call_ends_at_its_deadline_with_all_its_tries(verb: str) -> None:
    calls: dict[str, Write] = {"get": lambda client: client.get("/x"), **WRITES}
    limit = timedelta(seconds=0.5)
    async with serving(None, hangs()) as server, open_client(connection(server.url), timeout=limit) as client:
        began = time.monotonic()
        with pytest.raises(Unreachable, match="in time"):
            await calls[verb](client)
        assert time.monotonic() - began < 2
        assert len(server.seen) == 1


async def test_a_wait_that_the_deadline_does_not_allow_is_left_to_the_caller() -> None:
    reply = refuses(429, headers={"Retry-After": "60"})
    async with serving(None, reply) as server, open_client(connection(server.url)) as client:
        began = time.monotonic()
        with pytest.raises(Throttled) as caught:
            await client.get("/x")
        assert time.monotonic() - began < 2
    assert caught.value.retry_after == timedelta(seconds=60)


def page(names: list[str], token: str = "", version: str = "7") -> Reply:
    items = [{"metadata": {"name": name}} for name in names]
    return says({"kind": "NodeList", "metadata": {"resourceVersion": version, "continue": token}, "items": items})


async def test_a_list_is_read_page_by_page() -> None:
    replies = [page(["a", "b"], "t&1"), refuses(503), page(["c"], "t2"), page([])]
    async with serving(None, *replies) as server, open_client(connection(server.url)) as client:
        found = await client.list("/x", field_selector="spec.nodeName=n", label_selector="a in (b)", limit=2)
    assert [item["metadata"] for item in found.items] == [{"name": name} for name in "abc"]
    assert found.resource_version == "7"
    queries = [dict(request.query) for request in server.seen]
    selected = {"limit": "2", "fieldSelector": "spec.nodeName=n", "labelSelector": "a in (b)"}
    continued = [{}, {"continue": "t&1"}, {"continue": "t&1"}, {"continue": "t2"}]
    assert queries == [{**selected, **token} for token in continued]


async def test_a_list_that_grows_too_old_is_begun_again_once() -> None:
    stale = refuses(410, "Expired")
    async with (
        serving(None, page(["a"], "t"), stale, page(["b"])) as server,
        open_client(connection(server.url)) as one,
    ):
        assert [item["metadata"] for item in (await one.list("/x")).items] == [{"name": "b"}]
    async with serving(None, page(["a"], "t"), stale, page(["a"], "t"), stale) as server:
        async with open_client(connection(server.url)) as client:
            with pytest.raises(Gone):
                await client.list("/x")
        assert len(server.seen) == 4


async def test_each_write_sends_what_it_is_told_to() -> None:
    async with serving(None, OK) as server, open_client(connection(server.url)) as client:
        await client.create("/x", {"a": 1}, params={"dryRun": "All"})
        await client.patch("/x", {"a": None}, content_type=MERGE_PATCH)
        await client.patch("/x", [{"op": "test", "path": "/a", "value": 1}], content_type=JSON_PATCH)
        await client.delete("/x", uid="u", grace_period_seconds=0, propagation_policy="Background")
    assert server.seen[0].query == {"dryRun": "All"}
    sent = [(r.method, r.content_type, json.loads(b)) for r, b in zip(server.seen, server.bodies, strict=True)]
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
    assert sent == [
        ("POST", "application/json", {"a": 1}),
        ("PATCH", "application/merge-patch+json", {"a": None}),
        ("PATCH", "application/json-patch+json", [{"op": "test", "path": "/a", "value": 1}]),
        ("DELETE", "application/json", {**options, "preconditions": {"uid": "u"}, "propagationPolicy": "Background"}),
    ]


async def test_the_status_of_a_server_error_is_kept() -> None:
    async with serving(None, says("x", 502)) as server, open_client(connection(server.url)) as client:
        with pytest.raises(ServerError) as caught:
            await client.get("/x")
        assert isinstance(caught.value, ApiError)
        assert caught.value.status == 502
