"""The embedded host: runs a Functions app folder unmodified on this machine, its durable state in SQLite.

It is generic: it knows the Functions programming model and the Durable Task protocol, and nothing of what the
app's orchestrations do. What it does not have: entities, rewind, and function keys (it listens on loopback only).
"""

from midwatch.local.clock import Clock, FastClock, SystemClock, VirtualClock
from midwatch.local.errors import AppLoadError, HostError, JournalError, StateInUseError
from midwatch.local.host import EmbeddedHost
from midwatch.local.instance import HistoryCounts
from midwatch.local.state import HostInfo, running_host

__all__ = [
    "AppLoadError",
    "Clock",
    "EmbeddedHost",
    "FastClock",
    "HistoryCounts",
    "HostError",
    "HostInfo",
    "JournalError",
    "StateInUseError",
    "SystemClock",
    "VirtualClock",
    "running_host",
]
