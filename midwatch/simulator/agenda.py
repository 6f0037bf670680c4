"""What is due when, in simulated seconds: one heap per cluster, nothing polls.

A *scale* says how much real time a simulated second takes: 1 is real time, 0.02 lets five minutes pass in six seconds,
and 0 takes no time at all: what is due first happens as soon as the event loop is free.

Only durations are scaled. Timestamps in objects are those of the machine's clock, whatever the scale: Midwatch compares
them with that clock, to tell a stale condition and a lease that has run out.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

type Action = Callable[[], None]
type OnFailure = Callable[[Exception], None]

_SLICE_SECONDS = 0.002
"""How long actions run at a stretch before requests get their turn."""


@dataclass(slots=True, eq=False)
class Entry:
    """One thing that is due; without an action it was taken back."""

    due: float
    action: Action | None


class Agenda:
    """Runs actions in the order of their simulated time. All methods are for the loop's thread."""

    def __init__(self, scale: float, on_failure: OnFailure) -> None:
        if scale < 0:
            raise ValueError(f"a time scale is 0 or more, not {scale}")
        self.scale = scale
        self._on_failure = on_failure
        self._heap: list[tuple[float, int, Entry]] = []
        self._numbers = itertools.count()
        self._began = time.monotonic()
        self._reached = 0.0
        self._timer: asyncio.Handle | None = None
        self._timer_due = 0.0
        self._idle: list[asyncio.Future[None]] = []
        self._stopped = False

    @property
    def elapsed(self) -> float:
        """Simulated seconds since the start."""
        if self.scale == 0:
            return self._reached
        return max(self._reached, (time.monotonic() - self._began) / self.scale)

    def after(self, seconds: float, action: Action) -> Entry:
        """Have something happen in so many simulated seconds."""
        entry = Entry(self.elapsed + seconds, action)
        heapq.heappush(self._heap, (entry.due, next(self._numbers), entry))
        self._arm()
        return entry

    def cancel(self, entry: Entry) -> None:
        """It will not happen."""
        entry.action = None
        self._arm()

    def stop(self) -> None:
        """Nothing happens any more."""
        self._stopped = True
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._tell_idle()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is due, now or later."""
        return not self._drop_cancelled()

    async def idle(self) -> None:
        """Wait until nothing is due any more, now or later."""
        if self._drop_cancelled():
            waiter = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter

    def _drop_cancelled(self) -> bool:
        """Whether anything is left."""
        while self._heap and self._heap[0][2].action is None:
            heapq.heappop(self._heap)
        return bool(self._heap)

    def _arm(self) -> None:
        """Make sure that the loop comes back for the first entry."""
        if self._stopped:
            return
        if not self._drop_cancelled():
            self._tell_idle()
            return
        due = self._heap[0][0]
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        wait = (due - self.elapsed) * self.scale
        self._timer_due = due
        self._timer = loop.call_later(wait, self._run) if wait > 0 else loop.call_soon(self._run)

    def _run(self) -> None:
        self._timer = None
        until = time.monotonic() + _SLICE_SECONDS
        while self._drop_cancelled() and (self.scale == 0 or self._heap[0][0] <= self.elapsed):
            _, _, entry = heapq.heappop(self._heap)
            self._reached = max(self._reached, entry.due)
            action, entry.action = entry.action, None
            if action is not None:
                self._act(action)
            if time.monotonic() >= until:
                break
        self._arm()

    def _act(self, action: Action) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - kept for whoever closes the cluster; the others go on
            self._on_failure(error)

    def _tell_idle(self) -> None:
        waiters, self._idle = self._idle, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class Dirty[K]:
    """Keys that wait to be looked at; one that is marked several times meanwhile is looked at once."""

    def __init__(self, agenda: Agenda, delay_seconds: float, look: Callable[[K], None]) -> None:
        self._agenda = agenda
        self._delay = delay_seconds
        self._look = look
        self._waiting: set[K] = set()

    def mark(self, key: K) -> None:
        """Have a key looked at after the delay."""
        if key not in self._waiting:
            self._waiting.add(key)
            self._agenda.after(self._delay, lambda: self._take(key))

    def _take(self, key: K) -> None:
        self._waiting.discard(key)
        self._look(key)


class Timers[K]:
    """At most one thing per key that is due later; a new one takes the old one's place."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._entries: dict[K, Entry] = {}

    def set(self, key: K, seconds: float, action: Action) -> None:
        """Have something happen in so many simulated seconds, instead of what was to happen for this key."""
        self.cancel(key)

        def act() -> None:
            self._entries.pop(key, None)
            action()

        self._entries[key] = self._agenda.after(seconds, act)

    def cancel(self, key: K) -> None:
        """Nothing happens for this key."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._agenda.cancel(entry)
