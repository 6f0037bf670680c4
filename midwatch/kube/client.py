"""The Kubernetes API over `kubernetes.aio`: raw JSON, a deadline on every call, one error tree.

What is sent again, and when (at most three times, within the call's deadline, after a jittered pause):

- reads: no connection or a broken one, 500, 502, 503, 504, and 429 with Retry-After;
- writes: only 429 with Retry-After, which says that nothing was done, unless the caller opts out;
- anything: once, with renewed credentials, after a 401, which says that nothing was done.

A write whose connection breaks raises `Unreachable`: whether the server acted is unknown. That includes an idle
connection that the server closed at the same moment, which cannot be told apart. Connections idle for 15 s are closed
by us, sooner than API servers and load balancers do, so this is rare.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from urllib.parse import quote, urlencode

import aiohttp

from midwatch.domain.errors import TransientError
from midwatch.kube.answers import JsonObject, JsonPatch, JsonValue, ListResult, read_object, read_page
from midwatch.kube.connection import Connection
from midwatch.kube.credentials import CredentialSource, Identity
from midwatch.kube.errors import Gone, ServerError, Throttled, Unauthorized, Unreachable
from midwatch.kube.sessions import Answer, Sessions
from midwatch.kube.transport import Request, no_answer
from midwatch.kube.watching import WatchEvent, read_events

__all__ = [
    "JSON_PATCH",
    "MERGE_PATCH",
    "STRATEGIC_PATCH",
    "JsonObject",
    "JsonPatch",
    "JsonValue",
    "KubeClient",
    "ListResult",
    "WatchEvent",
    "open_client",
]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"

CALL_TIMEOUT = timedelta(seconds=30)
_TRIES = 3
_FIRST_PAUSE_SECONDS = 0.2
_PASSING = {500, 502, 503, 504}
"""Statuses of a server that may answer when asked again."""

type _Again = Callable[[TransientError], bool]


class KubeClient:
    """One cluster. Made by `open_client`; to be used in one event loop.

    Every method raises `MidwatchError`: `midwatch.kube.errors` has the classes.
    """

    def __init__(self, connection: Connection, sessions: Sessions, timeout: timedelta) -> None:
        self.server = connection.server
        self._sessions = sessions
        self._credentials = CredentialSource(connection)
        self._timeout = timeout.total_seconds()

    async def identify(self) -> None:
        """Get the credentials that the next request would carry, and send nothing.

        Raises:
            UsageError: `exec-missing`, `exec-failed` or `no-credentials`.
            TransientError: `exec-timeout`.
        """
        await self._credentials.identity()

    async def get(self, path: str, *, params: Mapping[str, str] | None = None) -> JsonObject:
        """Read one object."""
        request = self._request("GET", path, params)
        return read_object(request.what, await self._call(request, _read_again))

    async def list(
        self, path: str, *, field_selector: str | None = None, label_selector: str | None = None, limit: int = 500
    ) -> ListResult:
        """Read a list in pages of `limit`. One that grows too old between two pages is begun again, once."""
        selectors = {"fieldSelector": field_selector, "labelSelector": label_selector}
        params = {"limit": str(limit), **{key: value for key, value in selectors.items() if value is not None}}
        try:
            return await self._pages(path, params)
        except Gone:
            return await self._pages(path, params)

    async def create(
        self, path: str, body: JsonObject, *, params: Mapping[str, str] | None = None, resend: bool = True
    ) -> JsonObject:
        """Create an object. `resend=False` for evictions, where a 429 is a PodDisruptionBudget's answer."""
        return await self._write(self._request("POST", path, params, body), resend=resend)

    async def replace(self, path: str, body: JsonObject) -> JsonObject:
        """Replace an object; its resource version guards it."""
        return await self._write(self._request("PUT", path, None, body))

    async def patch(self, path: str, body: JsonObject | JsonPatch, *, content_type: str) -> JsonObject:
        """Patch an object. The body is a list for `JSON_PATCH`, and an object for the others."""
        assert isinstance(body, list) == (content_type == JSON_PATCH), "kubernetes.aio would send it as another type"
        return await self._write(self._request("PATCH", path, None, body, content_type))

    async def delete(
        self,
        path: str,
        *,
        uid: str | None = None,
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
    ) -> JsonObject:
        """Delete an object; with `uid` just that one, and `Conflict` for its successor. None leaves a default."""
        options: JsonObject = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if propagation_policy is not None:
            options["propagationPolicy"] = propagation_policy
        return await self._write(self._request("DELETE", path, None, options))

    async def watch(
        self, path: str, *, field_selector: str | None, resource_version: str, hold: timedelta
    ) -> AsyncGenerator[WatchEvent]:
        """The changes of a list since a resource version, for `hold`; then it ends normally.

        Raises:
            MidwatchError: the version is too old (`Gone`), or the stream broke or ended early: list again.
        """
        params = {
            "watch": "1",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(max(1, math.ceil(hold.total_seconds()))),
        }
        if field_selector is not None:
            params["fieldSelector"] = field_selector
        request = self._request("GET", path, params, verb="watch")
        clock = asyncio.get_running_loop().time
        answer = await self._identified(lambda who: self._sessions.send(request, who, clock() + self._timeout))
        async with answer as response:
            events = read_events(request.what, response, clock() + hold.total_seconds())
            async with aclosing(events):
                async for event in events:
                    yield event

    async def _pages(self, path: str, params: Mapping[str, str]) -> ListResult:
        items: list[JsonObject] = []
        token = ""
        while True:
            request = self._request("GET", path, {**params, **({"continue": token} if token else {})}, verb="list")
            page = read_page(request.what, await self._call(request, _read_again))
            items += page.items
            token = page.token
            if not token:
                return ListResult(items, page.resource_version)

    async def _write(self, request: Request, *, resend: bool = True) -> JsonObject:
        data = await self._call(request, _write_again if resend else _never_again)
        return read_object(request.what, data)

    async def _call(self, request: Request, again: _Again) -> bytes:
        return await self._identified(lambda identity: self._within_deadline(request, identity, again))

    async def _identified[T](self, act: Callable[[Identity], Awaitable[T]]) -> T:
        """Do it as who we are; once more when the server refuses that and there are other credentials.

        A plugin that gives them has its own limit of time, which is not the call's.
        """
        identity = await self._credentials.identity()
        try:
            return await act(identity)
        except Unauthorized:
            renewed = await self._credentials.renew(identity)
            if renewed is None:
                raise
        return await act(renewed)

    async def _within_deadline(self, request: Request, identity: Identity, again: _Again) -> bytes:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeout
        for tried in range(_TRIES):
            try:
                return await self._exchange(request, identity, deadline)
            except TransientError as error:
                pause = _pause_seconds(error, tried)
                if tried + 1 == _TRIES or not again(error) or clock() + pause >= deadline:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def _exchange(self, request: Request, identity: Identity, deadline: float) -> bytes:
        answer: Answer = await self._sessions.send(request, identity, deadline)
        async with answer as response:
            try:
                async with asyncio.timeout_at(deadline):
                    return await response.read()
            except TimeoutError:
                raise Unreachable("unreachable", f"{request.what}: the answer did not end in time") from None
            except (aiohttp.ClientError, OSError) as error:
                raise no_answer(request.what, error) from error

    def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: JsonObject | JsonPatch | None = None,
        content_type: str = "application/json",
        *,
        verb: str | None = None,
    ) -> Request:
        url = f"{path}?{urlencode(params, quote_via=quote)}" if params else path
        return Request(method, url, f"{verb or method.lower()} {path} at {self.server}", body, content_type)


@asynccontextmanager
async def open_client(connection: Connection, *, timeout: timedelta = CALL_TIMEOUT) -> AsyncIterator[KubeClient]:  # noqa: ASYNC109 - of each call, not of this one
    """A client for one cluster, for as long as the context is open. It connects with its first call.

    Args:
        connection: from the kubeconfig.
        timeout: of every call: connecting, tries, pauses and the answer; of a watch, until it begins.

    Raises:
        UsageError: the certificates or the proxy cannot be used.
    """
    sessions = Sessions(connection)
    try:
        yield KubeClient(connection, sessions, timeout)
    finally:
        await sessions.close()


def _read_again(error: TransientError) -> bool:
    if isinstance(error, ServerError):
        return error.status in _PASSING
    return isinstance(error, Unreachable) or _nothing_was_done(error)


def _write_again(error: TransientError) -> bool:
    return _nothing_was_done(error)


def _never_again(_: TransientError) -> bool:
    return False


def _nothing_was_done(error: TransientError) -> bool:
    """A 429 that asks to come back. One with a cause is a decision (a PodDisruptionBudget's), not a matter of load."""
    return isinstance(error, Throttled) and error.retry_after is not None and not error.causes


def _pause_seconds(error: TransientError, tried: int) -> float:
    """As long as the server asks for; else doubling, with jitter, so that many callers do not come back at once."""
    if error.retry_after is not None:
        return error.retry_after.total_seconds()
    return _FIRST_PAUSE_SECONDS * (1 << tried) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
