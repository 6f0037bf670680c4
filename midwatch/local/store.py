"""The instances in memory and in the journal, kept in step: the moves from which the backend's operations are made.

Everything here runs under the backend's lock, inside `Store.transaction`. What a step makes possible (a work item for a
worker, the end that somebody waits for) is shown to others only after the step is committed.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial

import durabletask.internal.orchestrator_service_pb2 as pb
from durabletask.internal import helpers

from midwatch.local import events
from midwatch.local.alarms import Alarms
from midwatch.local.clock import Clock
from midwatch.local.errors import HostError, JournalError, RefusedError
from midwatch.local.instance import Activity, Instance, Parent, TimerKey
from midwatch.local.journal import Journal

_log = logging.getLogger(__name__)


class Store:
    """The state of all instances.

    Args:
        journal: where it is kept; read once, here.
        clock: the time.
        on_fatal: called once, from any thread, when the state could not be written: the host must stop.

    Raises:
        JournalError: `journal-unreadable`.
    """

    def __init__(self, journal: Journal, clock: Clock, on_fatal: Callable[[HostError], None]) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.journal = journal
        self.clock = clock
        self.alarms = Alarms(clock, self.is_idle)
        self.instances: dict[str, Instance] = {}
        self.live_children: dict[str, set[str]] = {}
        self.timers: dict[TimerKey, datetime] = {}
        self.activities: dict[str, Activity] = {}
        self.leased: dict[str, object] = {}
        self.turn_lane: deque[str] = deque()
        self.activity_lane: deque[str] = deque()
        self.turns_in_flight = 0
        self.held = 0
        self.listeners: list[Callable[[], None]] = []
        self.failure: HostError | None = None
        self._on_fatal = on_fatal
        self._ready: list[Instance] = []
        self._new_activities: list[Activity] = []
        self._new_timers: list[tuple[datetime, Callable[[], None]]] = []
        with self.lock:
            self._load()

    # Steps

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One step: all of it is committed and then shown, or the host stops.

        Raises:
            HostError: the state could not be written, now or earlier.
            RefusedError: what was asked is not possible; raised before anything was changed.
        """
        with self.lock:
            if self.failure is not None:
                raise self.failure
            try:
                with self.journal.transaction():
                    yield
            except RefusedError:
                raise
            except Exception as error:
                # Memory may be ahead of the journal now. Going on would act on state that is lost at the next start.
                self._fail(error)
                raise
            self._publish()

    def close(self) -> None:
        """Refuse every further step, and close the journal."""
        with self.lock:
            self.failure = self.failure or HostError("host-stopped", "the host has stopped")
            self.changed.notify_all()
            self.journal.close()

    def is_idle(self) -> bool:
        """Whether nothing runs and nothing waits for a worker: only an alarm or a caller can start something."""
        with self.lock:
            return not (self.turn_lane or self.activities or self.turns_in_flight or self.held)

    # Moves

    def create(
        self, instance: Instance, *, parent_name: str | None = None, trace: pb.TraceContext | None = None
    ) -> None:
        """Add an instance, in place of one with its ID that has ended. Running totals go on."""
        former = self.instances.get(instance.id)
        if former is not None:
            instance.tally, instance.execution = former.tally, former.execution + 1
            self.remove(former)
        self.instances[instance.id] = instance
        if instance.parent is not None:
            self.live_children.setdefault(instance.parent.instance_id, set()).add(instance.id)
        self.journal.put(instance)
        self.deliver(instance, events.execution_started(instance, parent_name, trace))
        if instance.starts_at is not None:
            self._new_timers.append((instance.starts_at, partial(self._open, instance.id)))

    def remove(self, instance: Instance) -> None:
        """Forget an instance that has ended."""
        del self.instances[instance.id]
        for activity in [a for a in self.activities.values() if a.instance_id == instance.id]:
            self.forget_activity(activity)
        for child_id in self.live_children.pop(instance.id, set()):
            # A later instance with this ID is not the one that waits for them.
            self.instances[child_id].parent = None
            self.journal.put(self.instances[child_id])
        self.journal.delete(instance.id)

    def deliver(self, instance: Instance, event: pb.HistoryEvent) -> None:
        """Give an instance an event; it will run, unless it has ended."""
        if instance.ended:
            return
        instance.inbox.append((self.journal.add_to_inbox(instance.id, event), event))
        instance.updated = self.clock.now()
        self._ready.append(instance)

    def append(self, instance: Instance, added: Iterable[pb.HistoryEvent]) -> None:
        """Append events to the history."""
        new = list(added)
        self.journal.append_history(instance.id, instance.history_size, new)
        instance.history.extend(new)
        instance.history_size += len(new)
        instance.tally.events.update(events.kind(event) for event in new)

    def schedule(self, activity: Activity) -> None:
        """Have an activity run, at least once."""
        activity = replace(activity, number=self.journal.add_activity(activity))
        self.activities[activity.token] = activity
        self._new_activities.append(activity)

    def forget_activity(self, activity: Activity) -> None:
        """An activity was answered, or is not wanted any more."""
        self.activities.pop(activity.token, None)
        self.leased.pop(activity.token, None)
        self.journal.drop_activity(activity)

    def set_timer(self, key: TimerKey, fires_at: datetime) -> None:
        """Have a timer fire once."""
        self.journal.add_timer(key, fires_at)
        self.timers[key] = fires_at
        self._new_timers.append((fires_at, partial(self._fire, key)))

    def drop_execution(self, instance: Instance) -> None:
        """Drop what belongs to one execution only: its timers, and its place with a worker."""
        for key in [key for key in self.timers if key[0] == instance.id]:
            del self.timers[key]
        self.journal.drop_timers(instance.id)
        if instance.turn is not None:
            instance.turn = None
            self.turns_in_flight -= 1

    def replace_inbox(self, instance: Instance, inbox: list[pb.HistoryEvent]) -> None:
        """Give an instance another inbox."""
        self.journal.drop_from_inbox(number for number, _ in instance.inbox)
        instance.inbox = [(self.journal.add_to_inbox(instance.id, event), event) for event in inbox]
        if inbox:
            self._ready.append(instance)

    def finish(
        self, instance: Instance, status: int, output: str | None, failure: pb.TaskFailureDetails | None
    ) -> None:
        """End an instance and tell its parent."""
        now = self.clock.now()
        instance.status, instance.output, instance.failure = status, output, failure
        instance.completed = instance.updated = now
        self.drop_execution(instance)
        self.replace_inbox(instance, [])
        self.append(instance, [helpers.new_execution_completed_event(status, output, failure)])  # type: ignore[arg-type]  # the enum is an int at run time
        self.journal.update(instance)
        instance.history = []  # it is in the journal, and nobody replays it any more
        if instance.parent is not None:
            self._tell_parent(instance, instance.parent)

    def wake(self, instance: Instance) -> None:
        """Let an instance run when this step is committed, if it has anything in its inbox."""
        self._ready.append(instance)

    def notify(self) -> None:
        """Tell the workers that there may be work, and the clock that there may be none. Under the lock."""
        for listener in list(self.listeners):
            listener()
        if self.clock.auto_advance and self.is_idle():
            self.alarms.poke()

    # Inside

    def _load(self) -> None:
        for instance in self.journal.instances():
            self.instances[instance.id] = instance
            if instance.parent is not None and not instance.ended:
                self.live_children.setdefault(instance.parent.instance_id, set()).add(instance.id)
            if instance.starts_at is not None and not instance.ended:
                self.alarms.at(instance.starts_at, partial(self._open, instance.id))
            self._ready.append(instance)
        for key, fires_at in self.journal.timers():
            self.timers[key] = fires_at
            self.alarms.at(fires_at, partial(self._fire, key))
        for activity in self.journal.activities():
            self.activities[activity.token] = activity
            self._new_activities.append(activity)
        self._publish()

    def _publish(self) -> None:
        for when, callback in self._new_timers:
            self.alarms.at(when, callback)
        for instance in self._ready:
            runnable = bool(instance.inbox) and instance.starts_at is None and not instance.ended
            if runnable and instance.turn is None and not instance.queued:
                instance.queued = True
                self.turn_lane.append(instance.id)
        self.activity_lane.extend(activity.token for activity in self._new_activities)
        self._new_timers, self._ready, self._new_activities = [], [], []
        self.changed.notify_all()
        self.notify()

    def _fail(self, error: Exception) -> None:
        _log.error("the state could not be written; the host stops", exc_info=error)
        if not isinstance(error, HostError):
            error = JournalError("journal-write", f"a step of the backend failed: {error!r}")
        self.failure = error
        self.changed.notify_all()
        self._on_fatal(error)

    def _open(self, instance_id: str) -> None:
        with self.transaction():
            instance = self.instances.get(instance_id)
            if instance is not None and instance.starts_at is not None and not instance.ended:
                instance.starts_at = None
                self.journal.update(instance)
                self.wake(instance)

    def _fire(self, key: TimerKey) -> None:
        with self.transaction():
            fires_at = self.timers.pop(key, None)
            instance = self.instances.get(key[0])
            if fires_at is None or instance is None:
                return
            self.journal.drop_timer(key)
            self.deliver(instance, helpers.new_timer_fired_event(key[2], fires_at))

    def _tell_parent(self, child: Instance, link: Parent) -> None:
        self.live_children.get(link.instance_id, set()).discard(child.id)
        parent = self.instances.get(link.instance_id)
        if parent is not None and parent.execution == link.execution:
            self.deliver(parent, events.child_answer(link.task_id, child))
