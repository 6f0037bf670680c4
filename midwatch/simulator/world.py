"""What all parts of one simulated cluster share."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from midwatch.simulator.agenda import Agenda
from midwatch.simulator.store import Store

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""What Kubernetes makes up names of: no vowels, no words."""


@dataclass(frozen=True)
class Timings:
    """How long things take, in simulated seconds."""

    pod_start: float = 2.0
    """From a pod's binding until it is Ready."""
    pod_stop: float = 1.0
    """From a pod's deletion until it is gone, where it has no annotation that says so; never more than its grace."""
    controller: float = 0.05
    """Until a controller has taken notice of a change."""
    shutdown: float = 1.0
    """From the reboot's signal until the machine is down."""
    detector: float = 1.0
    """Until the node-problem-detector has reported a change, or has looked for the first time after a boot."""
    node_grace: float = 50.0
    """How long a silent node stays Ready (kube-controller-manager's default)."""
    toleration: float = 300.0
    """How long pods stay bound to a node that is not reachable (the default toleration)."""
    heartbeat: float = 240.0
    """In real seconds, whatever the scale: conditions older than this are confirmed. Midwatch doubts them after 660."""


@dataclass
class World:
    """The state of a cluster, its agenda, and its dice. For the loop's thread alone."""

    name: str
    store: Store
    agenda: Agenda
    dice: random.Random
    timings: Timings

    def now(self) -> datetime:
        """The time for timestamps: the machine's, in UTC."""
        return datetime.now(UTC)

    def new_uid(self) -> str:
        """A UID; the same in each run with the same seed."""
        return str(uuid.UUID(int=self.dice.getrandbits(128), version=4))

    def suffix(self, length: int = 5) -> str:
        """The end of a generated name."""
        return "".join(self.dice.choices(_LETTERS, k=length))
