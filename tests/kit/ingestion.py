"""The ingestion endpoint of Application Insights, on loopback: takes what the real exporter sends."""

from __future__ import annotations

import gzip
import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from tests.kit.api import JsonObject

INSTRUMENTATION_KEY = "00000000-1111-2222-3333-444444444444"
_SPANS = {"RequestData", "RemoteDependencyData"}


@dataclass(frozen=True)
class Envelope:
    """A span as Application Insights gets it."""

    data: JsonObject

    @property
    def type(self) -> str:
        """Which table it goes to: `RequestData` is `requests`, `RemoteDependencyData` is `dependencies`."""
        return str(self._part("data")["baseType"])

    @property
    def base(self) -> JsonObject:
        """The columns: `name`, `id`, `success`, `duration`, ..."""
        found = self._part("data")["baseData"]
        assert isinstance(found, dict)
        return found

    @property
    def properties(self) -> dict[str, str]:
        """`customDimensions`."""
        found = self.base.get("properties") or {}
        assert isinstance(found, dict)
        return {key: str(value) for key, value in found.items()}

    @property
    def name(self) -> str:
        """Of the span."""
        return str(self.base["name"])

    @property
    def id(self) -> str:
        """Of the span."""
        return str(self.base["id"])

    @property
    def operation(self) -> str:
        """`operation_Id`: the trace."""
        return str(self._part("tags")["ai.operation.id"])

    @property
    def parent(self) -> str | None:
        """`operation_ParentId`."""
        found = self._part("tags").get("ai.operation.parentId")
        return None if found is None else str(found)

    def _part(self, name: str) -> JsonObject:
        found = self.data[name]
        assert isinstance(found, dict)
        return found


class Ingestion:
    """The endpoint. Set `status` to have it refuse, or `hang` to have it accept connections and never answer.

    Args:
        port: 0 takes a free one.
    """

    def __init__(self, port: int = 0) -> None:
        self.status = 200
        self.hang = threading.Event()
        self.raw: list[bytes] = []
        self.requests = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._envelopes: list[Envelope] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer._take(self, body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self.connection_string = f"InstrumentationKey={INSTRUMENTATION_KEY};IngestionEndpoint={self.url}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="ingestion", daemon=True)

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def spans(self) -> list[Envelope]:
        """The spans so far, in the order in which they came."""
        with self._lock:
            return [one for one in self._envelopes if one.type in _SPANS]

    def _take(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        plain = gzip.decompress(body) if handler.headers.get("Content-Encoding") == "gzip" else body
        with self._lock:
            self.requests += 1
            self.raw.append(plain)
        if self.hang.is_set():
            self._closed.wait(60)
            return
        items = json.loads(plain)
        if self.status == 200:
            with self._lock:
                self._envelopes += [Envelope(item) for item in items]
        accepted = len(items) if self.status == 200 else 0
        answer = json.dumps({"itemsReceived": len(items), "itemsAccepted": accepted, "errors": []}).encode()
        handler.send_response(self.status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)
