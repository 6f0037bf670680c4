"""From our spans to OpenTelemetry's, and to the exporters of its SDK. Nothing of it is imported before it is needed."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from midwatch import __version__
from midwatch.domain.errors import UsageError
from midwatch.telemetry.settings import CONNECTION_SETTING, Target, TraceSettings
from midwatch.telemetry.spans import Kind, Span

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

type Export = Callable[[Sequence[Span]], bool]
"""Sends spans. True when they need not be sent again."""

_QUIET = ("azure.core.pipeline.policies.http_logging_policy", "azure.monitor.opentelemetry.exporter")
_NO_SIDE_TRAFFIC = ("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL", "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED")
"""The exporter's own statistics and remote configuration, which call other hosts; set to `false` they are on."""


_RETRY_SECONDS = 2
"""How long the exporter keeps back, at least, what was refused for now; a `Retry-After` counts for longer."""


def build(settings: TraceSettings) -> Export:
    """The exporter for this target.

    Raises:
        UsageError: `bad-setting`, the connection string is no such thing; `no-otlp`, a package is missing.
    """
    resource = _resource(os.environ)
    if settings.target is Target.AZURE:
        return _azure(settings, resource)
    exporter = _console() if settings.target is Target.CONSOLE else _otlp()

    def export(spans: Sequence[Span]) -> bool:
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415

        return exporter.export([readable(span, resource) for span in spans]) is SpanExportResult.SUCCESS

    return export


def _azure(settings: TraceSettings, resource: Resource) -> Export:
    for name in _NO_SIDE_TRAFFIC:
        os.environ.setdefault(name, "true")
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)  # a line for each request otherwise
    from azure.monitor.opentelemetry.exporter import AzureMonitorTraceExporter  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    try:
        exporter = AzureMonitorTraceExporter(
            connection_string=os.environ[CONNECTION_SETTING],
            tracer_provider=provider,
            storage_directory=str(settings.outbox / "refused"),
            storage_min_retry_interval=_RETRY_SECONDS,
            max_envelopes_per_second=0,
        )
    except ValueError:  # its text may quote the setting
        raise UsageError("bad-setting", f"{CONNECTION_SETTING} is no connection string") from None

    def export(spans: Sequence[Span]) -> bool:
        """What Application Insights does not take now, the exporter keeps in its own folder, and sends later."""
        exporter.export([readable(span, resource) for span in spans])
        return True

    return export


def _console() -> SpanExporter:
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415

    return ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: span.to_json(indent=None) + "\n")


def _otlp() -> SpanExporter:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    except ImportError:
        text = "OTLP needs the package opentelemetry-exporter-otlp-proto-http (pip install 'midwatch[local]')"
        raise UsageError("no-otlp", text) from None
    return OTLPSpanExporter()


def _resource(env: Mapping[str, str]) -> Resource:
    """Who sends: by the conventions for services and for Azure Functions; OTEL_RESOURCE_ATTRIBUTES adds to it."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415

    site = env.get("WEBSITE_SITE_NAME", "")
    attributes = {"service.version": __version__}
    if not env.get("OTEL_SERVICE_NAME"):
        attributes["service.name"] = site or "midwatch"
    if site:
        attributes |= {"cloud.provider": "azure", "cloud.platform": "azure.functions", "faas.name": site}
        attributes |= {
            name: env[setting]
            for name, setting in (("cloud.region", "REGION_NAME"), ("service.instance.id", "WEBSITE_INSTANCE_ID"))
            if env.get(setting)
        }
        subscription, group = env.get("WEBSITE_OWNER_NAME", "").partition("+")[0], env.get("WEBSITE_RESOURCE_GROUP")
        if subscription and group:
            scope = f"/subscriptions/{subscription}/resourceGroups/{group}"
            attributes["cloud.resource_id"] = f"{scope}/providers/Microsoft.Web/sites/{site}"
    # Not `Resource.create`: it starts threads, which cannot be done any more while the process ends.
    return Resource(attributes).merge(OTELResourceDetector().detect())


def readable(span: Span, resource: Resource) -> ReadableSpan:
    """The span as the SDK's exporters take it."""
    from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415
    from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags  # noqa: PLC0415

    kinds = {Kind.SERVER: SpanKind.SERVER, Kind.INTERNAL: SpanKind.INTERNAL, Kind.CLIENT: SpanKind.CLIENT}

    def context(trace_id: str, span_id: str) -> SpanContext:
        flags = TraceFlags(TraceFlags.SAMPLED)
        return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=flags)

    return ReadableSpan(
        name=span.name,
        context=context(span.trace_id, span.span_id),
        parent=context(span.trace_id, span.parent_id) if span.parent_id else None,
        resource=resource,
        attributes=dict(span.attributes),
        links=[Link(context(link.trace_id, link.span_id)) for link in span.links],
        kind=kinds[span.kind],
        instrumentation_scope=InstrumentationScope("midwatch", __version__),
        status=Status(StatusCode.ERROR, span.error) if span.error is not None else Status(StatusCode.UNSET),
        start_time=_nanoseconds(span.started_at),
        end_time=_nanoseconds(span.ended_at),
    )


def _nanoseconds(when: datetime) -> int:
    return int(when.timestamp() * 1_000_000) * 1_000
