"""Sending, with the real exporters, to receivers that take it, are down, or hang."""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from midwatch.telemetry.outbox import Outbox
from tests.kit.background import until
from tests.kit.ingestion import Ingestion
from tests.unit.telemetry.telemetry_kit import sender_of, span


def test_application_insights_gets_each_span_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Ingestion() as ingestion:
        env = {"APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string}
        with sender_of(monkeypatch, tmp_path, env) as sender:
            sender.put([span(1), span(2)])
            sender.put([span(2), span(3)])
            assert sender.flush(30)
        assert [one.id for one in ingestion.spans] == [f"{number:016x}" for number in (1, 2, 3)]
        assert ingestion.spans[2].base["duration"] == "0.00:00:03.000"


def test_what_is_refused_for_now_comes_after_the_next_success(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Ingestion() as ingestion:
        ingestion.status = 403  # the exporter tries 5xx again by itself, for a minute
        env = {"APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string}
        with sender_of(monkeypatch, tmp_path, env) as sender:
            sender.put([span(1)])
            until(lambda: ingestion.requests > 0, "a first try")
            assert sender.flush(30)
            assert ingestion.spans == []
            ingestion.status = 200
            later = itertools.count(2)

            def come() -> bool:
                sender.put([span(next(later))])
                return any(one.id == f"{1:016x}" for one in ingestion.spans)

            until(come, "the span that was refused", every=0.5)


def test_a_receiver_that_hangs_delays_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Ingestion() as ingestion:
        ingestion.hang.set()
        env = {"APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string}
        with sender_of(monkeypatch, tmp_path, env) as sender:
            sender.put([span(1)])
            until(lambda: ingestion.requests > 0, "a request that hangs")
            began = time.monotonic()
            sender.put([span(2)])
            assert time.monotonic() - began < 1
            assert not sender.flush(0.1)
            assert time.monotonic() - began < 5


def test_an_outbox_that_cannot_be_written_drops_spans_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "outbox").write_text("a file, no folder")
    with sender_of(monkeypatch, tmp_path, {"MIDWATCH_TRACES": "console"}) as sender:
        sender.put([span(1)])
    assert "spans were dropped" in caplog.text or "could not be sent" in caplog.text


class _Collector(HTTPServer):
    """An OTLP receiver, on loopback."""

    def __init__(self) -> None:
        self.names: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    outer.names += [one.name for scope in resource.scope_spans for one in scope.spans]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)


def test_otlp_gets_the_spans_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with _Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, daemon=True)
        thread.start()
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_address[1]}"}
        with sender_of(monkeypatch, tmp_path, env) as sender:
            sender.put([span(1, "drain_pass")])
            assert sender.flush(30)
        collector.shutdown()
        thread.join()
    assert collector.names == ["drain_pass"]


_PROGRAM = """
import os, sys
from midwatch.telemetry.settings import TraceSettings
from midwatch.telemetry.sender import sending
from tests.unit.telemetry.telemetry_kit import span
sending(TraceSettings.read(os.environ))([span(int(n)) for n in sys.argv[1:]])
"""


def _process(folder: Path, setting: tuple[str, str], *numbers: int) -> tuple[str, float]:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *map(str, numbers)],
        env={"PATH": "/usr/bin:/bin", "MIDWATCH_TRACES_OUTBOX": str(folder / "outbox"), setting[0]: setting[1]},
        cwd=Path(__file__).resolve().parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stderr, time.monotonic() - began


def test_the_end_of_a_process_sends_what_is_left(tmp_path: Path) -> None:
    stderr, _ = _process(tmp_path, ("MIDWATCH_TRACES", "console"), 7)
    assert '"span_id": "0x0000000000000007"' in stderr
    assert Outbox(tmp_path / "outbox").empty


def test_a_process_ends_with_nobody_there_and_the_next_one_sends_what_it_left(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        _process(tmp_path, ("OTEL_EXPORTER_OTLP_ENDPOINT", url), 1)
    assert not Outbox(tmp_path / "outbox").empty
    stderr, _ = _process(tmp_path, ("MIDWATCH_TRACES", "console"), 2)
    assert [f'"0x{n:016x}"' in stderr for n in (1, 2)] == [True, True]
