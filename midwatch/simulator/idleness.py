"""When nothing will happen any more by itself: then a watch may end, as if its time were over.

Without it a client whose look lasts ten seconds waits for them in real time, even where simulated time takes none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from midwatch.simulator.agenda import Agenda


class Idleness:
    """Whether a cluster has been idle for long enough: nothing due, no request under way, nothing changed.

    Args:
        agenda: what is due.
        seconds: for how long, in real ones; None: it never counts as idle.
    """

    def __init__(self, agenda: Agenda, seconds: float | None) -> None:
        self._agenda = agenda
        self._since = time.monotonic()
        self._requests = 0
        self.seconds = seconds

    def touch(self) -> None:
        """Something has happened."""
        self._since = time.monotonic()

    @contextmanager
    def request(self) -> Iterator[None]:
        """While inside, a request is under way."""
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1
            self.touch()

    def has_lasted(self, now: float) -> bool:
        """Whether it is idle, and has been for long enough; `now` is of the monotonic clock."""
        if self.seconds is None or self._requests or not self._agenda.is_empty:
            return False
        return now - self._since >= self.seconds
