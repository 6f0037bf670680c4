"""The HTTP side of one cluster: authentication, faults, answers and watch streams, over TLS on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter

from aiohttp import web

from midwatch.simulator import discovery
from midwatch.simulator.access import ANONYMOUS, Access
from midwatch.simulator.actions import Actions, Body, Reply
from midwatch.simulator.authority import Identity
from midwatch.simulator.calls import Call, parse_call
from midwatch.simulator.documents import JsonObject, part, put, text
from midwatch.simulator.faults import FaultKind, Faults
from midwatch.simulator.idleness import Idleness
from midwatch.simulator.refusals import Refusal, unauthorized
from midwatch.simulator.store import serialise
from midwatch.simulator.streams import stream_events

_JSON = "application/json"
_HEALTH = frozenset({"/healthz", "/livez", "/readyz"})
_OPEN = _HEALTH | {"/version"}
_REVIEW_FIELDS = ("verb", "group", "resource", "namespace", "name")
_SHUTDOWN_SECONDS = 0.5


class ApiServer:
    """Serves one cluster. All methods are for the loop's thread.

    Attributes:
        calls: how many requests for resources there were, by (user, verb, resource).
        acting: the request whose changes are being made at this moment, for observers; None: it is the cluster itself.
    """

    def __init__(self, actions: Actions, access: Access, faults: Faults, idleness: Idleness) -> None:
        self._actions = actions
        self._access = access
        self._faults = faults
        self._idleness = idleness
        self._documents = {path: serialise(doc) for path, doc in discovery.documents().items()}
        self._runner: web.ServerRunner | None = None
        self.calls: Counter[tuple[str, str, str]] = Counter()
        self.acting: Call | None = None

    async def start(self, identity: Identity) -> int:
        """Listen on a free port of the loopback interface; the port.

        A request whose client goes away is cancelled: a watch would otherwise stay until its next event.
        """
        self._runner = web.ServerRunner(
            web.Server(self._handle, handler_cancellation=True), shutdown_timeout=_SHUTDOWN_SECONDS
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=identity.context)
        await site.start()
        address = self._runner.addresses[0]
        return int(address[1])

    async def stop(self) -> None:
        """Close all connections and the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            user = self._access.identify(request.headers)
            fixed = await self._fixed(request, user)
            if fixed is not None:
                return fixed
            accept = request.headers.get("Accept", "")
            call = parse_call(user, request.method, request.path, request.query, accept)
            self._access.check(call)
            self.calls[user, call.verb, call.what] += 1
            if call.verb == "watch":
                return await self._serve(request, call)
            with self._idleness.request():
                return await self._serve(request, call)
        except Refusal as refusal:
            return _refused(refusal)

    # -- what is no resource ------------------------------------------------------------------------------------------

    async def _fixed(self, request: web.BaseRequest, user: str) -> web.Response | None:
        """Health, versions, discovery and reviews of one's own rights; None for everything else."""
        path = request.path.rstrip("/")
        if path in _HEALTH:
            return web.Response(text="ok")
        if user == ANONYMOUS and path not in _OPEN and path in self._documents:
            raise unauthorized()
        if request.method == "GET" and path in self._documents:
            return web.Response(body=self._documents[path], content_type=_JSON)
        if request.method == "POST" and path in {discovery.REVIEWS, discovery.WHO_AM_I}:
            if user == ANONYMOUS:
                raise unauthorized()
            body = Body(await request.read(), request.content_type).document()
            review = self._review(user, body) if path == discovery.REVIEWS else _who_am_i(user, body)
            return web.Response(status=201, body=serialise(review), content_type=_JSON)
        return None

    def _review(self, user: str, body: JsonObject) -> JsonObject:
        asked = part(body, "spec", "resourceAttributes")
        verb, group, resource, namespace, name = (text(asked, field) for field in _REVIEW_FIELDS)
        what = "/".join(filter(None, (resource, text(asked, "subresource"))))
        return put(body, {"allowed": self._access.allows(user, verb, group, what, namespace, name)}, "status")

    # -- resources ----------------------------------------------------------------------------------------------------

    async def _serve(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        faults = self._faults.striking(call)
        body = Body(await request.read(), request.content_type if request.body_exists else "")
        if FaultKind.LATENCY in faults:
            await asyncio.sleep(faults[FaultKind.LATENCY].seconds)
        if FaultKind.RESET in faults:
            return _broken(request)
        if FaultKind.ERROR in faults:
            raise faults[FaultKind.ERROR].refusal()
        if call.verb == "watch":
            drop = faults.get(FaultKind.DROP_WATCH)
            return await self._watch(request, call, drop.seconds if drop is not None else None)
        if FaultKind.LOST_ANSWER in faults:
            with contextlib.suppress(Refusal):
                self._act(call, body)
            return _broken(request)
        return _answer(self._act(call, body))

    def _act(self, call: Call, body: Body) -> Reply:
        self.acting = call
        try:
            return self._actions.act(call, body)
        finally:
            self.acting = None

    async def _watch(self, request: web.BaseRequest, call: Call, drop_after: float | None) -> web.StreamResponse:
        seconds = call.whole("timeoutSeconds")
        deadline = time.monotonic() + seconds if seconds else None
        response = web.StreamResponse(headers={"Content-Type": _JSON})
        response.enable_chunked_encoding()
        try:
            watch = self._actions.open_watch(call)
        except Refusal as refusal:
            if refusal.code != 410:
                raise
            # A watch that cannot begin where it was asked to says so as its first event.
            await response.prepare(request)
            await response.write(b'{"type":"ERROR","object":' + serialise(refusal.document()) + b"}\n")
            return response
        timer = None
        if drop_after is not None:
            timer = asyncio.get_running_loop().call_later(drop_after, _abort, request)
        try:
            with contextlib.suppress(ConnectionError):
                await response.prepare(request)
                await stream_events(response, call, watch, self._actions, self._idleness, deadline=deadline)
        finally:
            self._actions.close_watch(watch)
            if timer is not None:
                timer.cancel()
        return response


def _who_am_i(user: str, body: JsonObject) -> JsonObject:
    return put(body, {"username": user, "groups": ["system:authenticated"]}, "status", "userInfo")


def _answer(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, content_type=_JSON)


def _refused(refusal: Refusal) -> web.Response:
    headers = {"Retry-After": str(refusal.retry_after)} if refusal.retry_after else None
    body = serialise(refusal.document())
    return web.Response(status=refusal.code, body=body, content_type=_JSON, headers=headers)


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()


def _broken(request: web.BaseRequest) -> web.Response:
    """Break the connection; the response goes nowhere."""
    _abort(request)
    return web.Response(status=500)
