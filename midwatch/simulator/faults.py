"""Faults on demand: what can go wrong between a client and an API server."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import StrEnum

from midwatch.simulator.calls import Call
from midwatch.simulator.refusals import Refusal

_REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class FaultKind(StrEnum):
    """What goes wrong."""

    ERROR = "error"
    """The answer is `status`, and nothing was done."""
    LATENCY = "latency"
    """The answer comes `seconds` later."""
    RESET = "reset"
    """The connection breaks before anything was done."""
    LOST_ANSWER = "lost-answer"
    """It was done, and the connection breaks before the answer."""
    DROP_WATCH = "drop-watch"
    """The connection of a watch breaks `seconds` after it was opened."""


@dataclass
class Fault:
    """One fault, and which calls it strikes.

    Attributes:
        verbs: such as `patch`; empty: all.
        resources: such as `nodes` or `pods/eviction`; empty: all.
        users: empty: all.
        status: for `ERROR`.
        retry_after: seconds in the header of an `ERROR`; None: no such header.
        seconds: for `LATENCY` and `DROP_WATCH`; real ones, as the client's deadlines are.
        probability: of striking a call that matches.
        skip: how many matching calls pass first.
        times: how often it strikes; None: always.
        hits: how often it has struck.
    """

    kind: FaultKind
    verbs: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    status: int = 500
    retry_after: int | None = None
    seconds: float = 0.0
    probability: float = 1.0
    skip: int = 0
    times: int | None = None
    hits: int = 0
    _seen: int = field(default=0, repr=False)

    def strikes(self, call: Call, dice: random.Random) -> bool:
        """Whether it strikes this call; counts."""
        if not self._matches(call) or (self.times is not None and self.hits >= self.times):
            return False
        self._seen += 1
        if self._seen <= self.skip or dice.random() >= self.probability:
            return False
        self.hits += 1
        return True

    def refusal(self) -> Refusal:
        """The answer of an `ERROR`."""
        reason = _REASONS.get(self.status, "")
        return Refusal(self.status, reason, f"a fault was asked for: {self.status}", retry_after=self.retry_after)

    def _matches(self, call: Call) -> bool:
        if (self.kind is FaultKind.DROP_WATCH) and call.verb != "watch":
            return False
        return all(
            not wanted or given in wanted
            for wanted, given in ((self.verbs, call.verb), (self.resources, call.what), (self.users, call.user))
        )


class Faults:
    """The faults of a cluster, in the order in which they were added."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Have a fault strike from now on."""
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """No more faults."""
        self._faults.clear()

    def striking(self, call: Call) -> dict[FaultKind, Fault]:
        """The faults that strike a call, the first of each kind."""
        found: dict[FaultKind, Fault] = {}
        for fault in self._faults:
            if fault.kind not in found and fault.strikes(call, self._dice):
                found[fault.kind] = fault
        return found
