"""The Kubernetes API over `kubernetes.aio`: raw JSON, a deadline on every call, one error tree."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration

from midwatch import __version__
from midwatch.domain.errors import MidwatchError, PermanentError, TransientError, UsageError
from midwatch.kube.credentials import BearerSource
from midwatch.kube.errors import (
    ApiError,
    Gone,
    ServerError,
    Throttled,
    TlsError,
    Unauthorized,
    Unreachable,
    from_status,
)
from midwatch.kube.kubeconfig import ClientCertificate, Connection

type JsonValue = str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None
type JsonObject = dict[str, JsonValue]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"

_TIMEOUT_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_TRIES = 3
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_LARGEST_LINE = 2**24
"""A watch sends an object a line; etcd keeps none above 1.5 MiB, its JSON stays far below this."""


@dataclass(frozen=True, slots=True)
class ListResult:
    """The items of a list, of all its pages, and the resource version from which a watch goes on."""

    items: list[JsonObject]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event of a watch: `ADDED`, `MODIFIED` or `DELETED`, and the object."""

    type: str
    object: JsonObject


class KubeClient:
    """One cluster. Made by `open_client`; to be used in one event loop."""

    def __init__(self, connection: Connection, api: ApiClient, bearer: BearerSource, timeout_seconds: float) -> None:
        self.server = connection.server
        self._api = api
        self._bearer = bearer
        self._timeout = timeout_seconds

    async def get(self, path: str, *, params: Mapping[str, str] | None = None) -> JsonObject:
        """Read one object, again (three times at most, within the deadline) when the server cannot answer."""
        return await self._read("GET", _with(path, params))

    async def list(
        self, path: str, *, field_selector: str | None = None, label_selector: str | None = None, limit: int = 500
    ) -> ListResult:
        """Read a list in pages. One that grows too old between two pages is begun again, once."""
        selectors = {"fieldSelector": field_selector, "labelSelector": label_selector}
        params = {"limit": str(limit), **{key: value for key, value in selectors.items() if value is not None}}
        try:
            return await self._pages(path, params)
        except Gone:
            return await self._pages(path, params)

    async def create(self, path: str, body: JsonObject, *, resend: bool = True) -> JsonObject:
        """Create an object. `resend`: whether a 429, which says that nothing was done, may be tried again."""
        return await self._write("POST", path, body, resend=resend)

    async def replace(self, path: str, body: JsonObject) -> JsonObject:
        """Replace an object; its resource version guards it."""
        return await self._write("PUT", path, body)

    async def patch(self, path: str, body: JsonObject, *, content_type: str) -> JsonObject:
        """Patch an object."""
        return await self._write("PATCH", path, body, content_type=content_type)

    async def delete(self, path: str, *, uid: str | None = None, grace_period_seconds: int | None = None) -> JsonObject:
        """Delete an object, if `uid` is given just that one."""
        options: JsonObject = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        return await self._write("DELETE", path, options)

    async def watch(
        self, path: str, *, field_selector: str | None, resource_version: str, hold: timedelta
    ) -> AsyncIterator[WatchEvent]:
        """The changes of a list since a resource version; ends when the time is over.

        Raises:
            MidwatchError: the version is too old (`Gone`), or the stream broke: list again.
        """
        seconds = max(1, round(hold.total_seconds()))
        params = {"watch": "1", "resourceVersion": resource_version, "timeoutSeconds": str(seconds)}
        if field_selector is not None:
            params["fieldSelector"] = field_selector
        url = _with(path, params)
        what = f"watch {path} at {self.server}"
        try:
            async with asyncio.timeout(hold.total_seconds() + 1):
                response = await self._open("GET", url, None, {}, seconds + self._timeout)
                async with response:
                    if response.status >= 400:
                        raise await _error(what, response)
                    async for line in response.content:
                        if line.strip():
                            yield _event(what, line)
        except TimeoutError:
            return
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _no_answer(what, error) from error

    async def _pages(self, path: str, params: Mapping[str, str]) -> ListResult:
        items: list[JsonObject] = []
        token = ""
        while True:
            page = await self._read("GET", _with(path, {**params, **({"continue": token} if token else {})}))
            found, meta = page.get("items"), page.get("metadata")
            if not isinstance(meta, dict) or not isinstance(found, list | None):
                raise PermanentError("bad-answer", f"list {path} at {self.server}: the answer is not a list")
            items += [item for item in found or [] if isinstance(item, dict)]
            token = str(meta.get("continue") or "")
            if not token:
                return ListResult(items, str(meta.get("resourceVersion") or ""))

    async def _read(self, method: str, url: str) -> JsonObject:
        pause = _FIRST_PAUSE_SECONDS
        for left in reversed(range(_TRIES)):
            try:
                return await self._call(method, url, None, {})
            except (Throttled, ServerError, Unreachable) as error:
                if not left:
                    raise
                await _pause(error, pause)
                pause *= 3
        raise AssertionError("unreachable")

    async def _write(
        self, method: str, url: str, body: JsonObject, *, content_type: str = "application/json", resend: bool = True
    ) -> JsonObject:
        """Send a write once. Only a 429 with Retry-After is sent again: the server says that it has done nothing."""
        headers = {"Content-Type": content_type}
        try:
            return await self._call(method, url, body, headers)
        except Throttled as error:
            if not resend or error.retry_after is None or error.causes:
                raise
            await _pause(error, _FIRST_PAUSE_SECONDS)
        return await self._call(method, url, body, headers)

    async def _call(self, method: str, url: str, body: JsonObject | None, headers: Mapping[str, str]) -> JsonObject:
        what = f"{method.lower()} {url.partition('?')[0]} at {self.server}"
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._open(method, url, body, headers, self._timeout)
                async with response:
                    if response.status >= 400:
                        raise await _error(what, response)
                    return _object(what, await response.read())
        except Unauthorized:
            if not self._bearer.forget() or "X-Again" in headers:
                raise
            return await self._call(method, url, body, {**headers, "X-Again": "1"})
        except TimeoutError as error:
            raise Unreachable("unreachable", f"{what}: no answer within {self._timeout:.0f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _no_answer(what, error) from error

    async def _open(
        self, method: str, url: str, body: JsonObject | None, headers: Mapping[str, str], timeout_seconds: float
    ) -> aiohttp.ClientResponse:
        token = await self._bearer.token()
        sent = {"Accept": "application/json", "User-Agent": f"midwatch/{__version__}", **headers}
        sent.pop("X-Again", None)
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        answer = await self._api.rest_client.request(  # type: ignore[no-untyped-call]  # the package has no types here
            method, self.server + url, headers=sent, body=body, _request_timeout=timeout_seconds
        )
        response = answer.response
        assert isinstance(response, aiohttp.ClientResponse)
        return response


@asynccontextmanager
async def open_client(
    connection: Connection, *, call_timeout: timedelta = timedelta(seconds=_TIMEOUT_SECONDS)
) -> AsyncIterator[KubeClient]:
    """A client for one cluster.

    TLS is as kubectl has it: chain, expiry and host name are checked, but a certificate authority without key
    identifiers is fine, which Python 3.13's strict mode would refuse (kubernetes-client/python#2394).

    Args:
        connection: from the kubeconfig.
        call_timeout: of every call, connecting included.

    Raises:
        UsageError: the certificate authority or the client certificate is not PEM.
    """
    configuration = Configuration(host=connection.server)
    configuration.verify_ssl = not connection.insecure
    configuration.disable_strict_ssl_verification = True
    configuration.ca_cert_data = connection.ca
    configuration.tls_server_name = connection.tls_server_name
    configuration.proxy = connection.proxy or configuration.proxy
    configuration.connection_pool_maxsize = 100
    configuration.client_session_kwargs = {"read_bufsize": _LARGEST_LINE // 8}
    with tempfile.TemporaryDirectory(prefix="midwatch-") as folder:
        if isinstance(connection.credentials, ClientCertificate):
            _store(configuration, connection.credentials, Path(folder))
        try:
            api = ApiClient(configuration)
        except (ssl.SSLError, OSError, ValueError) as error:
            text = f"context {connection.context!r}: the certificates of the kubeconfig cannot be used: {error}"
            raise UsageError("kubeconfig-malformed", text) from error
    try:
        yield KubeClient(connection, api, BearerSource(connection), call_timeout.total_seconds())
    finally:
        await api.close()  # type: ignore[no-untyped-call]  # the package has no types here


def _store(configuration: Configuration, credentials: ClientCertificate, folder: Path) -> None:
    """OpenSSL reads a client certificate from files only; they are gone as soon as it has."""
    certificate, key = folder / "client.crt", folder / "client.key"
    certificate.write_bytes(credentials.certificate)
    key.touch(mode=0o600)
    key.write_bytes(credentials.key)
    configuration.cert_file, configuration.key_file = str(certificate), str(key)


def _with(path: str, params: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(params, quote_via=quote)}" if params else path


async def _pause(error: MidwatchError, seconds: float) -> None:
    asked = error.retry_after if isinstance(error, TransientError) else None
    wanted = asked.total_seconds() if asked is not None else seconds * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
    await asyncio.sleep(min(wanted, _LONGEST_PAUSE_SECONDS))


async def _error(what: str, response: aiohttp.ClientResponse) -> ApiError:
    text = await response.text(errors="replace")
    try:
        body: object = json.loads(text)
    except ValueError:
        body = None
    after = response.headers.get("Retry-After", "")
    return from_status(what, response.status, body, timedelta(seconds=int(after)) if after.isdecimal() else None)


def _no_answer(what: str, error: Exception) -> MidwatchError:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        reason = getattr(error, "certificate_error", error)
        said = getattr(reason, "verify_message", None) or reason
        return TlsError("tls-verification", f"{what}: the server's certificate is not trusted: {said}")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Unreachable("unreachable", f"{what}: cannot connect: {error.os_error.strerror or error.os_error}")
    return Unreachable("unreachable", f"{what}: the connection broke: {type(error).__name__} {error}".strip())


def _object(what: str, data: bytes) -> JsonObject:
    try:
        answer = json.loads(data) if data else {}
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise PermanentError("bad-answer", f"{what}: the answer is not a JSON object: {data[:80]!r}")
    return answer


def _event(what: str, line: bytes) -> WatchEvent:
    event = _object(what, line)
    kind, changed = event.get("type"), event.get("object")
    if not isinstance(kind, str) or not isinstance(changed, dict):
        raise PermanentError("bad-answer", f"{what}: not a watch event: {line[:80]!r}")
    if kind == "ERROR":
        code = changed.get("code")
        raise from_status(what, code if isinstance(code, int) else 500, changed)
    return WatchEvent(kind, changed)
