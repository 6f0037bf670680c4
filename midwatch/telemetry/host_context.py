"""How our spans and the Functions host's own find each other.

A run is started under its own trace, so that the host's `orchestration:` and `activity:` spans join it; and the span
of the host that an activity runs under, if it says one, is linked from ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from midwatch.telemetry import ids
from midwatch.telemetry.spans import Link

_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}")
_host_span: ContextVar[str] = ContextVar("midwatch_host_span", default="")


@contextmanager
def in_host_span(trace_parent: str | None) -> Iterator[None]:
    """Say what `traceparent` (W3C) the host gave with an invocation, if any."""
    token = _host_span.set(trace_parent or "")
    try:
        yield
    finally:
        _host_span.reset(token)


def host_link(run: str) -> Link | None:
    """The host's span of the invocation; None where it made none of its own."""
    found = _TRACE_PARENT.fullmatch(_host_span.get())
    if found is None or set(found["trace"]) == {"0"} or set(found["span"]) == {"0"}:
        return None
    return None if found["span"] == ids.run_span(run) else Link(trace_id=found["trace"], span_id=found["span"])


@contextmanager
def in_run_span(run: str) -> Iterator[None]:
    """Make the run's span the current one, for the durable client: it hands it to the host with a start."""
    # Costs nothing where there are no traces.
    from opentelemetry import context, trace  # noqa: PLC0415

    parent = trace.SpanContext(
        trace_id=int(ids.trace_id(run), 16),
        span_id=int(ids.run_span(run), 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(parent)))
    try:
        yield
    finally:
        context.detach(token)
