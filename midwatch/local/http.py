"""The app's HTTP functions, and the admin endpoint that fires a timer, on loopback."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

from aiohttp import web

from midwatch.local.binding import Invoker
from midwatch.local.errors import HostError
from midwatch.local.routes import Route, routes_of
from midwatch.local.runtime import Binding, Datum, Function, InvocationError
from midwatch.local.settings import is_disabled
from midwatch.local.timers import TimerRunner

_log = logging.getLogger(__name__)

_BODY_BYTES = 100 * 1024 * 1024  # the Functions host's own limit
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})  # aiohttp's business

type _Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpServer:
    """Serves the HTTP functions. Its methods are called on the runtime's loop.

    It listens on 127.0.0.1 only, and asks for no key: who may open a socket here may call. A web page must not be
    able to, so a request is refused when its `Host` is not loopback (DNS rebinding) or a foreign page sent it.
    """

    def __init__(self, invoker: Invoker, timers: TimerRunner, route_prefix: str) -> None:
        self._invoker = invoker
        self._timers = timers
        self._prefix = route_prefix
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> str:
        """Listen; returns the URL without a trailing slash.

        Raises:
            HostError: `port-in-use`.
            AppLoadError: `route`.
        """
        app = web.Application(middlewares=[_refuse_foreign, _problems], client_max_size=_BODY_BYTES)
        app.router.add_post("/admin/functions/{name}", self._fire)
        for route, methods, handler in sorted(self._routes(), key=lambda entry: entry[0].precedence):
            for method in methods:
                app.router.add_route(method, route.path, handler)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", port).start()
        except OSError as error:
            await self.stop()
            raise HostError("port-in-use", f"cannot listen on 127.0.0.1:{port}: {error.strerror or error}") from error
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening, and give running requests a second."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _routes(self) -> list[tuple[Route, list[str], _Handler]]:
        found: list[tuple[Route, list[str], _Handler]] = []
        for function in self._invoker.functions:
            trigger = function.binding("httpTrigger")
            if trigger is None or is_disabled(function.name):
                continue
            template = trigger.text("route")
            handler = self._handler(function, trigger)
            for route in routes_of(self._prefix, function.name if template is None else template):
                found.append((route, _methods(trigger), handler))
        return found

    def _handler(self, function: Function, trigger: Binding) -> _Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            datum = await _request_datum(request)
            try:
                returned = await self._invoker.invoke(function, trigger, datum)
            except InvocationError as error:
                return _problem(500, "The function failed", f"{function.name}: {error}")
            return _response(returned)

        return handle

    async def _fire(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        await request.read()  # the real host wants {"input": ...}, and a timer has no use for it
        if name not in {function.name for function in self._invoker.functions}:
            return _problem(404, "Not found", f"the app has no function named '{name}'")
        try:
            self._timers.fire(name)
        except HostError as error:
            return _problem(409, "Not now", error.message)
        return web.Response(status=202)


async def _request_datum(request: web.Request) -> Datum:
    body = await request.read()
    headers: dict[str, Datum] = {}
    for name in {name.lower() for name in request.headers}:
        separator = "; " if name == "cookie" else ","
        headers[name] = _string(separator.join(request.headers.getall(name)))
    query = {name: _string(",".join(request.query.getall(name))) for name in set(request.query)}
    parts: dict[str, object] = {
        "method": _string(request.method),
        "url": _string(f"{request.scheme}://{request.host}{request.raw_path}"),
        "headers": headers,
        "body": Datum(body, "bytes"),
        "params": {name: _string(value) for name, value in request.match_info.items()},
        "query": query,
    }
    return Datum(parts, "http")


def _response(returned: Datum | None) -> web.Response:
    if returned is None or returned.value is None:
        return web.Response(status=204)
    parts = returned.value
    if not isinstance(parts, dict):
        return web.Response(text=str(parts))
    body = parts["body"].value
    response = web.Response(
        status=int(parts["status_code"].value), body=body.encode() if isinstance(body, str) else body or b""
    )
    for name, value in parts["headers"].items():
        if name.lower() not in _FRAMING:
            response.headers[name] = value.value
    for cookie in parts.get("cookies") or ():
        assert isinstance(cookie, SimpleCookie)
        for morsel in cookie.values():
            response.headers.add("Set-Cookie", morsel.OutputString())
    return response


@web.middleware
async def _refuse_foreign(request: web.Request, handler: _Handler) -> web.StreamResponse:
    if not _is_loopback(f"//{request.host}"):
        return _problem(403, "Forbidden", f"this host does not serve '{request.host}'")
    origin = request.headers.get("Origin")
    if (origin is not None and not _is_loopback(origin)) or request.headers.get("Sec-Fetch-Site") == "cross-site":
        return _problem(403, "Forbidden", "this host does not serve other web sites")
    return await handler(request)


@web.middleware
async def _problems(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        problem = _problem(error.status, error.reason, f"{request.method} {request.path}")
        if "Allow" in error.headers:
            problem.headers["Allow"] = error.headers["Allow"]
        return problem
    except Exception:  # noqa: BLE001 - a defect of ours must not show its traceback to the caller
        _log.exception("%s %s failed", request.method, request.path)
        return _problem(500, "Internal error", "see the host's log")


def _problem(status: int, title: str, detail: str) -> web.Response:
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail[:500]}
    return web.json_response(document, status=status, content_type="application/problem+json")


def _is_loopback(url: str) -> bool:
    try:
        return urlsplit(url).hostname in _LOOPBACK
    except ValueError:
        return False


def _methods(trigger: Binding) -> list[str]:
    listed = trigger.fields.get("methods")
    if not isinstance(listed, list) or not listed:
        return ["*"]
    return [str(getattr(method, "value", method)).upper() for method in listed]


def _string(value: str) -> Datum:
    return Datum(value, "string")
