"""Who may work on a cluster: the rules of the lease `midwatch/midwatch` (coordination.k8s.io/v1).

The lease is held by a run, not by a process: after a crash the same run goes on under it, also when it has expired,
as long as nobody else has taken it. Whoever finds another holder has lost the cluster (fencing).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from midwatch.domain.base import Message

NAMESPACE = "midwatch"
NAME = "midwatch"
LOST = "lease-lost"
"""The code of a cluster's ending when another holder took its lease."""
DURATION = timedelta(minutes=10)
"""How long a lease lives without renewal: long enough for a host to be restarted."""
RENEW_EVERY = timedelta(minutes=3)
"""Two tries within a lease's life, even if one of them takes as long as its retries may against a silent server; and
a history that grows by no more than 160 events an hour."""


class LeaseView(Message):
    """The lease as stored. `holder` is empty when it was released."""

    holder: str
    renewed: datetime | None
    duration: timedelta
    acquired: datetime | None = None
    resource_version: str | None = None


class LeaseMove(StrEnum):
    """What to do to hold the lease."""

    CREATE = "create"
    TAKE = "take"
    RENEW = "renew"
    BUSY = "busy"


def move(lease: LeaseView | None, holder: str, now: datetime) -> LeaseMove:
    """Decide how `holder` gets or keeps the lease.

    Args:
        lease: the lease as just read, None where there is none.
        holder: the run that asks.
        now: aware.
    """
    if lease is None:
        return LeaseMove.CREATE
    if lease.holder == holder:
        return LeaseMove.RENEW
    if not lease.holder or lease.renewed is None or now > lease.renewed + lease.duration:
        return LeaseMove.TAKE
    return LeaseMove.BUSY
