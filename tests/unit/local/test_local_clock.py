"""The fast clock, and alarms that go by it."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

from midwatch.local.alarms import Alarms
from midwatch.local.clock import FastClock


def test_an_alarm_rings_when_its_time_has_come_on_a_fast_clock() -> None:
    clock = FastClock(100)
    alarms = Alarms(clock, lambda: False)
    rang = threading.Event()
    began, due = time.monotonic(), clock.now() + timedelta(seconds=30)
    alarms.at(due, rang.set)
    alarms.start()
    try:
        assert rang.wait(20)
    finally:
        alarms.stop()
    assert clock.now() >= due
    assert time.monotonic() - began >= 0.25
