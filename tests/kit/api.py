"""A small client of an API server, for tests and for the kit's own set-up. It blocks; the kubelets have their own."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

type JsonValue = str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None
type JsonObject = dict[str, JsonValue]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
_JSON = "application/json"
_TIMEOUT_SECONDS = 20


class ApiError(RuntimeError):
    """The API server said no; `code` is the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclass(frozen=True)
class Answer:
    """An answer, also one that says no. `body` is empty where it is no JSON object."""

    code: int
    body: JsonObject = field(default_factory=dict)
    retry_after: str | None = None

    @property
    def reason(self) -> str:
        """The `reason` of a Status."""
        return str(self.body.get("reason", ""))

    @property
    def details(self) -> JsonObject:
        """The `details` of a Status."""
        found = self.body.get("details")
        return found if isinstance(found, dict) else {}

    @property
    def causes(self) -> list[str]:
        """The reasons of its causes."""
        found = self.details.get("causes")
        return [str(c.get("reason")) for c in found if isinstance(c, dict)] if isinstance(found, list) else []


LOOPBACK = urllib.request.OpenerDirector()
"""Plain HTTP without a proxy: `build_opener` would read all the certificates of this machine each time."""
for _handler in (
    urllib.request.HTTPHandler(),
    urllib.request.HTTPDefaultErrorHandler(),
    urllib.request.HTTPErrorProcessor(),
):
    LOOPBACK.add_handler(_handler)


def tls_context(authority: Path) -> ssl.SSLContext:
    """Trust one authority, also one without key identifiers."""
    context = ssl.create_default_context(cafile=str(authority))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


class Api:
    """One API server and one bearer token."""

    def __init__(self, server: str, authority: Path, token: str, *, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        self._timeout = timeout_seconds
        self.server = server
        self.authority = authority
        self.token = token
        handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls_context(authority))]
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, path: str, **query: str) -> JsonObject:
        """Read an object or a list."""
        return self._call("GET", f"{path}?{urlencode(query)}" if query else path)

    def create(self, path: str, body: JsonObject) -> JsonObject:
        """Create an object; one that is already there is left as it is."""
        try:
            return self._call("POST", path, body)
        except ApiError as error:
            if error.code == 409:
                return {}
            raise

    def patch(self, path: str, body: JsonObject, content_type: str = STRATEGIC_PATCH) -> JsonObject:
        """Patch an object."""
        return self._call("PATCH", path, body, content_type)

    def delete(self, path: str, *, grace_seconds: int | None = None) -> None:
        """Delete an object, or a collection; one that is gone is as good."""
        options: JsonObject = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            self._call("DELETE", path, options)
        except ApiError as error:
            if error.code != 404:
                raise

    def answers(self, path: str) -> bool:
        """Whether a read succeeds."""
        try:
            self._send("GET", path)
        except (ApiError, OSError):
            return False
        return True

    def ask(self, method: str, path: str, body: JsonValue | bytes = None, kind: str = _JSON, **query: str) -> Answer:
        """The answer to any request, whatever it says. `body` is JSON, or bytes to be sent as they are."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = self._request(method, f"{path}?{urlencode(query)}" if query else path, data, kind)
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return _answer(response.status, response.read(), response.headers.get("Retry-After"))
        except urllib.error.HTTPError as error:
            return _answer(error.code, error.read(), error.headers.get("Retry-After"))

    def watch(self, path: str, **query: str) -> Iterator[JsonObject]:
        """The events of a watch until it ends, which `timeoutSeconds` says.

        Raises:
            ApiError: it does not begin.
        """
        request = self._request("GET", f"{path}?{urlencode({'watch': '1', **query})}", None, _JSON)
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                for line in response:
                    yield json.loads(line)
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, error.read().decode(errors="replace")) from error

    def _call(self, method: str, path: str, body: JsonObject | None = None, kind: str = _JSON) -> JsonObject:
        answer: JsonObject = json.loads(self._send(method, path, body, kind))
        return answer

    def _send(self, method: str, path: str, body: JsonObject | None = None, kind: str = _JSON) -> bytes:
        data = json.dumps(body).encode() if body is not None else None
        request = self._request(method, path, data, kind)
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                content: bytes = response.read()
                return content
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, f"{method} {path}: {error.read().decode(errors='replace')}") from error

    def _request(self, method: str, path: str, data: bytes | None, kind: str) -> urllib.request.Request:
        who = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return urllib.request.Request(self.server + path, data, {**who, "Content-Type": kind}, method=method)


def _answer(code: int, content: bytes, retry_after: str | None) -> Answer:
    try:
        body = json.loads(content)
    except ValueError:
        body = {}
    return Answer(code, body if isinstance(body, dict) else {}, retry_after)
