"""Spans to send, and a sender with its own outbox."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from midwatch.telemetry.exporters import build
from midwatch.telemetry.outbox import Outbox
from midwatch.telemetry.sender import Sender
from midwatch.telemetry.settings import TraceSettings
from midwatch.telemetry.spans import Span

START = datetime(2026, 11, 24, 3, tzinfo=UTC)


def span(number: int, name: str = "step") -> Span:
    """A span with this number in its ID."""
    return Span(
        trace_id=f"{1:032x}",
        span_id=f"{number:016x}",
        parent_id=None,
        name=name,
        started_at=START,
        ended_at=START + timedelta(seconds=number),
        attributes={"midwatch.run.id": "r"},
    )


@contextmanager
def sender_of(monkeypatch: pytest.MonkeyPatch, folder: Path, env: Mapping[str, str]) -> Iterator[Sender]:
    """A sender as these settings make it. Its thread ends with the process."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    settings = TraceSettings.read({**env, "MIDWATCH_TRACES_OUTBOX": str(folder / "outbox")})
    sender = Sender(Outbox(settings.outbox), lambda: build(settings))
    sender.start()
    yield sender
