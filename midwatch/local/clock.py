"""The backend's clock, and a virtual one for tests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where timers, schedules and orchestrations get their time from."""

    @property
    def auto_advance(self) -> bool:
        """Whether to jump to the next alarm when nothing is running."""
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


class VirtualClock:
    """Real time plus an offset that only grows.

    Args:
        auto_advance: jump to the next alarm as soon as nothing runs; otherwise only `advance` moves the clock.
    """

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
