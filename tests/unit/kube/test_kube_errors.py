"""Answers as errors: by status, reason and cause; a stranger's answer says nothing of the cluster."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from midwatch.domain.errors import MidwatchError, PermanentError, TransientError
from midwatch.kube import errors
from midwatch.kube.client import KubeClient, open_client
from midwatch.kube.errors import ApiError, BadAnswer, Cause
from tests.unit.kube.kube_kit import SECRET, ApiServer, Reply, connection, refuses, says, serving

type Got = tuple[MidwatchError, ApiServer]
HTML = "<html>\n<body>Please sign in, and more and more and more and more and more and more and more</body></html>"


async def refused(*replies: Reply, verb: str = "create") -> Got:
    async with serving(None, *replies) as server, open_client(connection(server.url)) as client:
        with pytest.raises(MidwatchError) as caught:
            await _ask(client, verb)
    error = caught.value
    assert server.url in error.message
    assert "/api/v1/x" in error.message
    assert "\n" not in error.message
    return error, server


async def _ask(client: KubeClient, verb: str) -> None:
    match verb:
        case "get":
            await client.get("/api/v1/x", params={"a": "b"})
        case "list":
            await client.list("/api/v1/x")
        case _:
            await client.create("/api/v1/x", {})


@pytest.mark.parametrize(
    ("status", "reason", "kind", "code", "again"),
    [
        (400, "BadRequest", errors.Invalid, "invalid", PermanentError),
        (401, "Unauthorized", errors.Unauthorized, "unauthorized", PermanentError),
        (403, "Forbidden", errors.Forbidden, "forbidden", PermanentError),
        (404, "NotFound", errors.NotFound, "not-found", PermanentError),
        (405, "MethodNotAllowed", errors.Invalid, "refused", PermanentError),
        (409, "Conflict", errors.Conflict, "conflict", PermanentError),
        (409, "AlreadyExists", errors.AlreadyExists, "already-exists", PermanentError),
        (410, "Expired", errors.Gone, "gone", PermanentError),
        (422, "Invalid", errors.Invalid, "invalid", PermanentError),
        (429, "TooManyRequests", errors.Throttled, "throttled", TransientError),
        (500, "InternalError", errors.ServerError, "server-error", TransientError),
        (503, "ServiceUnavailable", errors.ServerError, "server-error", TransientError),
    ],
)
async def test_a_status_is_an_error_of_its_own(
    status: int, reason: str, kind: type[ApiError], code: str, again: type[MidwatchError]
) -> None:
    error, server = await refused(refuses(status, reason))
    assert type(error) is kind
    assert isinstance(error, again)
    assert (error.code, error.status, error.reason) == (code, status, reason)
    assert error.message.startswith("post /api/v1/x at http")
    assert len(server.seen) == 1


async def test_causes_and_the_time_to_wait_are_data() -> None:
    causes = [{"reason": "DisruptionBudget", "message": "needs 2", "field": "f"}]
    error, _ = await refused(refuses(429, "TooManyRequests", causes=causes, retryAfterSeconds=10))
    assert isinstance(error, errors.Throttled)
    assert error.causes == (Cause("DisruptionBudget", "needs 2", "f"),)
    assert error.retry_after == timedelta(seconds=10)


async def test_a_retry_after_may_be_a_date() -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    error, _ = await refused(refuses(429, headers={"Retry-After": when}))
    assert isinstance(error, errors.Throttled)
    assert error.retry_after is not None
    assert timedelta(seconds=90) < error.retry_after <= timedelta(seconds=100)


@pytest.mark.parametrize("status", [302, 403, 404, 409, 410, 422])
async def test_a_proxys_page_is_a_bad_answer_and_not_a_missing_object(status: int) -> None:
    error, _ = await refused(says(HTML, status))
    assert type(error) is BadAnswer
    assert error.code == "bad-answer"
    assert "Please sign in" in error.message
    assert "</html>" not in error.message


@pytest.mark.parametrize(("status", "kind"), [(429, errors.Throttled), (502, errors.ServerError)])
async def test_a_gateway_that_asks_for_patience_is_transient(status: int, kind: type[ApiError]) -> None:
    error, _ = await refused(says("Too many requests, please try again later.", status))
    assert type(error) is kind
    assert error.code == "bad-answer"


@pytest.mark.parametrize(
    ("reply", "verb"),
    [
        pytest.param(says(HTML), "get", id="a page"),
        pytest.param(says(""), "get", id="nothing"),
        pytest.param(says([1]), "get", id="a list"),
        pytest.param(says({"kind": "Node", "metadata": {}}), "list", id="an object where a list was asked for"),
        pytest.param(says({"items": [1], "metadata": {}}), "list", id="a list of numbers"),
        pytest.param(says({"items": []}), "list", id="a list without metadata"),
    ],
)
async def test_an_unreadable_success_is_a_bad_answer(reply: Reply, verb: str) -> None:
    error, server = await refused(reply, verb=verb)
    assert type(error) is BadAnswer
    assert len(server.seen) == 1


async def test_an_echo_of_our_request_does_not_leak_the_token() -> None:
    for reply in (says(f"Authorization: Bearer {SECRET}", 400), says(f"Bearer  {SECRET}")):
        error, _ = await refused(reply)
        assert SECRET not in error.message
