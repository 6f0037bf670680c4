"""Sends what waits in the outbox, in a thread of its own: nothing else ever waits for an exporter."""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - exporters need it, and at the end of the process it cannot be imported any more
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence

from midwatch.telemetry.attempts import Put
from midwatch.telemetry.exporters import Export, build
from midwatch.telemetry.outbox import Outbox
from midwatch.telemetry.settings import TraceSettings
from midwatch.telemetry.spans import Span

_log = logging.getLogger("midwatch.telemetry")

_BATCH = 200
_EVERY_SECONDS = 1.0
"""How long a span waits for others that go with it; also how often another process' end is noticed."""
_LONGEST_PAUSE_SECONDS = 60.0
_COMPLAIN_SECONDS = 300.0
_AT_EXIT_SECONDS = 2.0
"""How long the end of the process waits for what is not sent yet; the rest is sent at the next start."""


def sending(settings: TraceSettings) -> Put:
    """Take spans and send them from now on, also those that an earlier process left."""
    sender = Sender(Outbox(settings.outbox), lambda: build(settings))
    sender.start()
    atexit.register(sender.flush, _AT_EXIT_SECONDS)
    return sender.put


class Sender:
    """A thread between an outbox and an exporter.

    Args:
        outbox: where spans wait.
        make: makes the exporter, in the thread, once there is something to send: it is slow to import.
    """

    def __init__(self, outbox: Outbox, make: Callable[[], Export]) -> None:
        self._outbox = outbox
        self._make = make
        self._export: Export | None = None
        self._changed = threading.Condition()
        self._news = False
        self._hurry = False
        self._failures = 0
        self._complained_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="midwatch-traces", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, spans: Sequence[Span]) -> None:
        """Have spans sent. It never raises, and never waits for the exporter."""
        try:
            self._outbox.put(spans)
        except (sqlite3.Error, OSError) as error:
            self._complain(f"{len(spans)} spans were dropped, the outbox cannot be written: {error}")
        with self._changed:
            self._news = True
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until all is sent, for at most so long; not at all for an exporter that failed last time.

        Returns:
            Whether all is sent, by us.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._hurry or self._failures > 0, deadline - time.monotonic())
            return not self._hurry and self._failures == 0

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._hurry, self._pause())
                self._news = False
            done = self._send_all()
            with self._changed:
                self._failures = 0 if done else self._failures + 1
                if not self._news:
                    self._hurry = False
                self._changed.notify_all()

    def _pause(self) -> float:
        return min(_EVERY_SECONDS * 2.0**self._failures, _LONGEST_PAUSE_SECONDS) if self._failures else _EVERY_SECONDS

    def _send_all(self) -> bool:
        """Send until nothing waits. False when that failed."""
        try:
            if not self._outbox.may_send():
                return True
            while batch := self._outbox.oldest(_BATCH):
                if self._export is None:
                    self._export = self._make()
                if not self._export([one.span for one in batch]):
                    self._complain("traces could not be sent; they are kept, and it is tried again")
                    return False
                self._outbox.sent(batch)
        except Exception as error:  # noqa: BLE001 - whatever an exporter does, runs go on
            self._complain(f"traces could not be sent: {type(error).__name__}: {error}")
            return False
        return True

    def _complain(self, text: str) -> None:
        if time.monotonic() - self._complained_at >= _COMPLAIN_SECONDS:
            self._complained_at = time.monotonic()
            _log.warning("%s", text)
