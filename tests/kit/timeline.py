"""What a sampler has seen: events in order, and what must never happen."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass, field
from itertools import pairwise


class What(enum.StrEnum):
    """What can happen to a node."""

    CORDON = "cordon"
    UNCORDON = "uncordon"
    NOT_READY = "not-ready"
    READY = "ready"
    BOOT = "boot"
    GONE = "gone"


@dataclass(frozen=True)
class Event:
    """Something happened to a node; `at` in seconds of this machine's monotonic clock."""

    cluster: str
    node: str
    what: What
    at: float


@dataclass(frozen=True)
class Violation:
    """Something that must never happen: `rule` is `pdb`, `budget` or `human-cordon`."""

    cluster: str
    rule: str
    text: str
    at: float


@dataclass(frozen=True)
class Span:
    """A time from `start` to `end`, in monotonic seconds."""

    start: float
    end: float

    def overlaps(self, other: Span) -> bool:
        """Whether both were at once for a while."""
        return self.start < other.end and other.start < self.end


@dataclass
class Timeline:
    """All events and violations of one cluster, oldest first."""

    cluster: str
    events: list[Event] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)

    def note(self, node: str, what: What) -> None:
        """Something happened just now."""
        self.events.append(Event(self.cluster, node, what, time.monotonic()))

    def violate(self, rule: str, text: str) -> None:
        """A rule was broken just now; that it is still broken in the same way is not noted again."""
        if any((v.rule, v.text) == (rule, text) for v in self.violations[-1:]):
            return
        self.violations.append(Violation(self.cluster, rule, text, time.monotonic()))

    def of(self, node: str) -> list[What]:
        """What happened to a node, in order."""
        return [event.what for event in self.events if event.node == node]

    def held(self) -> dict[str, list[Span]]:
        """Per node the times from a cordon to the next uncordon; a node that is still cordoned is so until now."""
        spans: dict[str, list[Span]] = {}
        since: dict[str, float] = {}
        for event in self.events:
            if event.what is What.CORDON:
                since[event.node] = event.at
            elif event.what in {What.UNCORDON, What.GONE} and event.node in since:
                spans.setdefault(event.node, []).append(Span(since.pop(event.node), event.at))
        for node, start in since.items():
            spans.setdefault(node, []).append(Span(start, time.monotonic()))
        return spans

    def whole(self) -> Span:
        """The time from the first cordon to the last uncordon.

        Raises:
            ValueError: nothing was cordoned.
        """
        spans = [span for spans in self.held().values() for span in spans]
        return Span(min(s.start for s in spans), max(s.end for s in spans))

    def one_at_a_time(self) -> bool:
        """Whether no two nodes were held at once."""
        spans = sorted((s for spans in self.held().values() for s in spans), key=lambda span: span.start)
        return not any(a.overlaps(b) for a, b in pairwise(spans))
