"""What the activities and the function app know of telemetry."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from midwatch.domain.by_hand import HandEnded
from midwatch.domain.errors import UsageError
from midwatch.domain.runs import RunEnded
from midwatch.domain.steps import ClusterStep
from midwatch.telemetry import records, tree
from midwatch.telemetry.attempts import Attempt, Put
from midwatch.telemetry.host_context import in_run_span
from midwatch.telemetry.settings import Target, TraceSettings
from midwatch.telemetry.spans import Span

_log = logging.getLogger("midwatch.telemetry")


class Telemetry:
    """Records in the log, always; spans, where `put` takes them."""

    def __init__(self, put: Put | None) -> None:
        self._put = put

    @classmethod
    def open(cls, env: Mapping[str, str]) -> Telemetry:
        """As the environment says. A setting that is wrong is logged, and there are no traces: runs go on without.

        Where traces are off, nothing of OpenTelemetry is imported and no file is touched.
        """
        try:
            settings = TraceSettings.read(env)
        except UsageError as error:
            _log.error("no traces: %s", error.message)
            return cls(None)
        if settings.target is Target.OFF:
            return cls(None)
        from midwatch.telemetry.sender import sending  # noqa: PLC0415 - only where there are traces

        return cls(sending(settings))

    def attempt(self, name: str, step: ClusterStep) -> Attempt:
        """An execution of a step begins."""
        return Attempt(name, step, self._put)

    def run_ended(self, ended: RunEnded) -> None:
        """A run has ended. A second call writes its records again, but adds no span."""
        for warning in ended.warnings:
            records.log_warning(ended.run, warning)
        self._ended(tree.run_spans(ended))

    def hand_ended(self, ended: HandEnded) -> None:
        """A drain, or an uncordon, by hand has ended. Likewise."""
        self._ended(tree.hand_spans(ended))

    def _ended(self, spans: list[Span]) -> None:
        for span in spans:
            records.log_end(span)
        if self._put is not None:
            self._put(spans)

    def starting(self, run: str) -> AbstractContextManager[None]:
        """Start a run in this context, so that the host's own spans join its trace."""
        return nullcontext() if self._put is None else in_run_span(run)


OFF = Telemetry(None)
"""Records only."""
