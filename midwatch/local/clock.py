"""The backend's clock, and a virtual one for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where timers, schedules and orchestrations get their time from."""

    @property
    def auto_advance(self) -> bool:
        """Whether to jump to the next alarm when nothing is running."""
        ...

    @property
    def pace(self) -> float:
        """How many of its seconds pass in a real one."""
        ...

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        ...

    def advance(self, delta: timedelta) -> None:
        """Jump forward."""
        ...

    def on_jump(self, callback: Callable[[], None]) -> None:
        """Call `callback` after each jump."""
        ...


class SystemClock:
    """The machine's clock."""

    auto_advance = False
    pace = 1.0

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return datetime.now(UTC)

    def advance(self, delta: timedelta) -> None:
        """Real time cannot be moved.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(f"the machine's clock cannot jump by {delta}")

    def on_jump(self, callback: Callable[[], None]) -> None:
        """Real time does not jump: `callback` is never called."""


class FastClock(SystemClock):
    """A clock that begins with the machine's time and runs faster, for trials on clusters that are simulated as fast.

    Args:
        pace: how many of its seconds pass in a real one.
    """

    def __init__(self, pace: float) -> None:
        self.pace = pace
        self._began = datetime.now(UTC)
        self._zero = time.monotonic()

    def now(self) -> datetime:
        """The time on this clock, aware, in UTC."""
        return self._began + timedelta(seconds=(time.monotonic() - self._zero) * self.pace)


class VirtualClock:
    """Real time plus an offset that only grows.

    Args:
        auto_advance: jump to the next alarm as soon as nothing runs; otherwise only `advance` moves the clock.
    """

    pace = 1.0

    def __init__(self, *, auto_advance: bool = True) -> None:
        self.auto_advance = auto_advance
        self._offset = timedelta(0)
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []

    def now(self) -> datetime:
        """The virtual time, aware, in UTC."""
        with self._lock:
            return datetime.now(UTC) + self._offset

    def advance(self, delta: timedelta) -> None:
        """Jump forward by `delta` (a negative one is taken as zero)."""
        with self._lock:
            self._offset += max(delta, timedelta(0))
        for callback in list(self._callbacks):
            callback()

    def on_jump(self, callback: Callable[[], None]) -> None:
        """Call `callback` after each jump."""
        self._callbacks.append(callback)
