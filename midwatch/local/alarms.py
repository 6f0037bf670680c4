"""One heap and one thread for everything that happens later."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from midwatch.local.clock import Clock

_log = logging.getLogger(__name__)

_LONGEST_WAIT_SECONDS = 60.0  # the machine may sleep or its clock may be set: look again at least this often


class Alarms:
    """Calls each callback once, at or after its time, in order of time.

    A callback must be quick, and must itself check that it is still wanted: alarms are not cancelled. An alarm whose
    callback raises is lost, so callbacks handle their own errors. Alarms do not ring before `start` or after `stop`.

    Args:
        clock: the time. With `auto_advance` it is moved to the next alarm whenever `idle` says so.
        idle: whether nothing is running or waiting to run.
    """

    def __init__(self, clock: Clock, idle: Callable[[], bool]) -> None:
        self._clock = clock
        self._idle = idle
        self._heap: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._wake = threading.Condition()
        self._poked = False
        self._stopping = False
        self._thread: threading.Thread | None = None
        clock.on_jump(self.poke)

    def at(self, when: datetime, callback: Callable[[], None]) -> None:
        """Call `callback` once `when` (aware) has come."""
        with self._wake:
            heapq.heappush(self._heap, (when, next(self._order), callback))
            if self._heap[0][2] is callback:
                self._poked = True
                self._wake.notify_all()

    def poke(self) -> None:
        """Look again: the clock jumped, or the last work may just have ended."""
        with self._wake:
            self._poked = True
            self._wake.notify_all()

    def next_at(self) -> datetime | None:
        """When the next alarm rings; None without any."""
        with self._wake:
            return self._heap[0][0] if self._heap else None

    def start(self) -> None:
        """Start ringing. A second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="midwatch-alarms", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop ringing and wait for the callback that runs."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            callback = self._next_due()
            if callback is None:
                return
            try:
                callback()
            except Exception:  # noqa: BLE001 - the other alarms must go on ringing
                _log.exception("an alarm's callback failed")

    def _next_due(self) -> Callable[[], None] | None:
        while True:
            with self._wake:
                if self._stopping:
                    return None
                now = self._clock.now()
                if self._heap and self._heap[0][0] <= now:
                    return heapq.heappop(self._heap)[2]
                gap = self._heap[0][0] - now if self._heap else None
                self._poked = False
            # `idle` takes the backend's lock, under which `at` and `poke` are called: never ask it while holding ours.
            jump = gap is not None and self._clock.auto_advance and self._idle()
            with self._wake:
                if self._poked or self._stopping:
                    continue  # an earlier alarm may have come while we asked: measure anew
                if jump:
                    self._clock.advance(gap or timedelta(0))
                else:
                    seconds = _LONGEST_WAIT_SECONDS if gap is None else gap.total_seconds() / self._clock.pace
                    self._wake.wait(min(seconds, _LONGEST_WAIT_SECONDS))
