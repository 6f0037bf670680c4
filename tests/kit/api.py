"""A small client of an API server, for tests and for the kit's own set-up. It blocks; the kubelets have their own."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:
    from pathlib import Path

type JsonValue = str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None
type JsonObject = dict[str, JsonValue]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
_JSON = "application/json"
_TIMEOUT_SECONDS = 20


class ApiError(RuntimeError):
    """The API server said no; `code` is the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


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

    def _call(self, method: str, path: str, body: JsonObject | None = None, kind: str = _JSON) -> JsonObject:
        answer: JsonObject = json.loads(self._send(method, path, body, kind))
        return answer

    def _send(self, method: str, path: str, body: JsonObject | None = None, kind: str = _JSON) -> bytes:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.server + path, data, headers, method=method)
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                content: bytes = response.read()
                return content
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, f"{method} {path}: {error.read().decode(errors='replace')}") from error
