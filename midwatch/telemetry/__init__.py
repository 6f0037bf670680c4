"""Traces and step records. One trace for each run, at home in Application Insights, OTLP or a terminal."""

from midwatch.telemetry.attempts import Attempt
from midwatch.telemetry.facade import OFF, Telemetry
from midwatch.telemetry.host_context import in_host_span
from midwatch.telemetry.settings import TraceSettings

__all__ = ["OFF", "Attempt", "Telemetry", "TraceSettings", "in_host_span"]
