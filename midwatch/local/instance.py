"""What the backend knows of one orchestration instance."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

import durabletask.internal.orchestrator_service_pb2 as pb

TERMINAL = frozenset(
    {pb.ORCHESTRATION_STATUS_COMPLETED, pb.ORCHESTRATION_STATUS_FAILED, pb.ORCHESTRATION_STATUS_TERMINATED}
)

type TimerKey = tuple[str, int, int]
"""Instance ID, execution, task ID."""


@dataclass(frozen=True)
class Parent:
    """Who waits for this instance.

    Attributes:
        instance_id: the parent's instance ID.
        execution: the parent's execution that started us. After it continued as new, task IDs begin again, so a
            result for an earlier execution must not reach the later one.
        task_id: the parent's task that our end completes.
    """

    instance_id: str
    execution: int
    task_id: int


@dataclass
class Tally:
    """Running totals of an instance, across continue-as-new."""

    events: Counter[str] = field(default_factory=Counter)
    activities: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class HistoryCounts:
    """What one instance, or several, cost.

    Attributes:
        events: history events ever appended, in all executions.
        current_events: history events of the current execution, which is what a replay reads.
        executions: 1 plus the number of times it continued as new.
        by_kind: the same events by kind (`taskScheduled`, `timerFired`, ...).
        activities: completed activities by name; each retry counts.
    """

    events: int
    current_events: int
    executions: int
    by_kind: dict[str, int]
    activities: dict[str, int]


@dataclass(frozen=True)
class Turn:
    """One work item that a worker has: replay the history, then take these events.

    Attributes:
        token: names this delivery; an answer with another token is late and is dropped.
        worker: who has it, so that it can be delivered again when that worker is gone.
        events: what the worker was given as new.
        taken: how many of the first inbox entries are among them.
    """

    token: str
    worker: object
    events: list[pb.HistoryEvent]
    taken: int


@dataclass(frozen=True)
class Activity:
    """An activity that was scheduled and has not been answered.

    Attributes:
        execution: the execution that scheduled it; the answer to an earlier execution's is dropped.
        trace: the W3C trace context to run it under.
        number: its number in the journal, never used twice.
    """

    instance_id: str
    execution: int
    task_id: int
    name: str
    input: str | None
    trace: pb.TraceContext | None
    number: int = 0

    @property
    def token(self) -> str:
        """Names it on the wire, and still does after a restart of the host."""
        return str(self.number)


@dataclass
class Instance:
    """One orchestration instance.

    Attributes:
        execution: 0, and one more each time it continues as new.
        starts_at: it must not run before; None once it may.
        inbox: accepted events that no committed turn has consumed, each with its journal number.
        history: the committed events of this execution; empty once terminal (they are in the journal).
        history_size: how many those are.
        turn: the delivery in flight, if any.
        queued: whether it is in the lane of instances that wait for a worker.
    """

    id: str
    name: str
    status: int
    created: datetime
    updated: datetime
    version: str | None = None
    input: str | None = None
    output: str | None = None
    custom_status: str | None = None
    completed: datetime | None = None
    starts_at: datetime | None = None
    failure: pb.TaskFailureDetails | None = None
    parent: Parent | None = None
    execution: int = 0
    trace: pb.OrchestrationTraceContext | None = None
    tags: dict[str, str] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    inbox: list[tuple[int, pb.HistoryEvent]] = field(default_factory=list)
    history: list[pb.HistoryEvent] = field(default_factory=list)
    history_size: int = 0
    turn: Turn | None = None
    queued: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing will ever happen to it again."""
        return self.status in TERMINAL
