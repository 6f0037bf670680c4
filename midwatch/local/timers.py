"""Timer triggers: one invocation at a time each, and a missed occurrence is made up for once."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from midwatch.local.backend import Backend
from midwatch.local.binding import Invoker
from midwatch.local.clock import Clock
from midwatch.local.errors import HostError
from midwatch.local.runtime import Binding, Datum, Function, InvocationError
from midwatch.local.schedules import Schedule, read_schedule
from midwatch.local.settings import is_disabled

_log = logging.getLogger(__name__)


@dataclass
class _Timer:
    function: Function
    trigger: Binding
    schedule: Schedule | None
    running: asyncio.Lock = field(default_factory=asyncio.Lock)


class TimerRunner:
    """Runs the app's timers. Except for the constructor, its methods are called on the runtime's loop.

    An occurrence counts as served when its invocation has ended, well or not: after a crash in between it is run
    again, and is then past due.

    Raises:
        AppLoadError: `schedule`, an expression is wrong.
    """

    def __init__(self, invoker: Invoker, backend: Backend, clock: Clock) -> None:
        self._invoker = invoker
        self._backend = backend
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, _Timer] = {}
        for function in invoker.functions:
            trigger = function.binding("timerTrigger")
            if trigger is None:
                continue
            schedule = None
            if not is_disabled(function.name):
                schedule = read_schedule(function.name, trigger.text("schedule") or "")
            if schedule is None:
                _log.info("timer '%s' is off", function.name)
            self._timers[function.name] = _Timer(function, trigger, schedule)

    async def start(self) -> None:
        """Begin to watch the schedules; run at once what was missed while no host was there."""
        self._loop = asyncio.get_running_loop()
        now = self._clock.now()
        for timer in self._timers.values():
            if timer.schedule is None:
                continue
            last = self._backend.last_occurrence(timer.function.name)
            if last is None:
                self._backend.set_last_occurrence(timer.function.name, now)
            missed = last is not None and timer.schedule.after(last) <= now
            if timer.trigger.fields.get("useMonitor") is False:
                missed = False
            if missed or timer.trigger.fields.get("runOnStartup") is True:
                self._spawn(self._run_occurrence(timer, now, ExitStack(), past_due=missed))
            else:
                self._arm(timer, timer.schedule, now)

    async def stop(self, grace_seconds: float) -> None:
        """Start nothing more; wait for what runs, then cancel it."""
        self._loop = None
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_seconds)
            for task in late:
                task.cancel()

    def fire(self, name: str) -> None:
        """Invoke a timer function now, or as soon as its invocation that runs has ended.

        Raises:
            HostError: `not-a-timer`; `not-working`, this host only looks.
        """
        timer = self._timers.get(name)
        if timer is None:
            raise HostError("not-a-timer", f"function '{name}' has no timer trigger")
        if self._loop is None:
            raise HostError("not-working", "this host runs no work")
        self._spawn(self._invoke(timer, past_due=False))

    def _arm(self, timer: _Timer, schedule: Schedule, after: datetime) -> None:
        occurrence = schedule.after(after)
        self._backend.at(occurrence, partial(self._ring, timer, occurrence))

    def _ring(self, timer: _Timer, occurrence: datetime) -> None:
        loop = self._loop
        if loop is None:
            return
        # Held from here, on the alarms' thread: a virtual clock must not jump on before the invocation has begun.
        hold = ExitStack()
        hold.enter_context(self._backend.hold_clock())
        loop.call_soon_threadsafe(lambda: self._spawn(self._run_occurrence(timer, occurrence, hold, past_due=False)))

    async def _run_occurrence(self, timer: _Timer, occurrence: datetime, hold: ExitStack, *, past_due: bool) -> None:
        with hold:
            if self._loop is None:
                return
            await self._invoke(timer, past_due=past_due)
            try:
                self._backend.set_last_occurrence(timer.function.name, occurrence)
            except HostError:
                return  # the host is stopping: the occurrence is made up for at the next start
            if self._loop is not None and timer.schedule is not None:
                self._arm(timer, timer.schedule, max(occurrence, self._clock.now()))

    async def _invoke(self, timer: _Timer, *, past_due: bool) -> None:
        about = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": past_due}
        async with timer.running:
            with self._backend.hold_clock():
                try:
                    await self._invoker.invoke(timer.function, timer.trigger, Datum(json.dumps(about), "json"))
                except InvocationError as error:
                    _log.error("timer '%s' failed: %s", timer.function.name, error)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
