"""The durable backend: what clients, workers and the host may ask of it. Thread-safe."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import durabletask.internal.orchestrator_service_pb2 as pb
from durabletask.internal import helpers

from midwatch.local import query
from midwatch.local.clock import Clock
from midwatch.local.errors import HostError, RefusedError
from midwatch.local.events import string_of
from midwatch.local.instance import TERMINAL, HistoryCounts, Instance
from midwatch.local.journal import Journal
from midwatch.local.store import Store
from midwatch.local.work import WorkSource


class Backend(WorkSource):
    """Durable orchestrations over a journal.

    Work is handed out only between `resume_work` and `close`; everything else works from the start. What a call
    acknowledges is committed. Activities run at least once; all the rest happens once.

    Args:
        journal: the state. The backend closes it.
        clock: the time, for timers and for orchestrations.
        on_fatal: called once, from any thread, when the state could not be written.

    Raises:
        JournalError: `journal-unreadable`.
    """

    def __init__(self, journal: Journal, clock: Clock, on_fatal: Callable[[HostError], None]) -> None:
        super().__init__(Store(journal, clock, on_fatal), clock)

    # For the host

    def resume_work(self) -> None:
        """Begin to hand out work and to ring timers. A second call does nothing."""
        with self._store.lock:
            self._working = True
            self._store.notify()
        self._store.alarms.start()

    def close(self) -> None:
        """Hand out nothing more, refuse every call, and close the journal."""
        self._working = False
        self._store.alarms.stop()
        self._store.close()

    def now(self) -> datetime:
        """The time on the backend's clock, aware, in UTC."""
        return self._clock.now()

    def at(self, when: datetime, callback: Callable[[], None]) -> None:
        """Call `callback` once at `when`, on the backend's clock. It must be quick. Not kept over a restart."""
        self._store.alarms.at(when, callback)

    @contextmanager
    def hold_clock(self) -> Iterator[None]:
        """While inside, a virtual clock does not jump: something runs that the backend does not see."""
        with self._store.lock:
            self._store.held += 1
        try:
            yield
        finally:
            with self._store.lock:
                self._store.held -= 1
                self._store.notify()

    def last_occurrence(self, name: str) -> datetime | None:
        """When the schedule of this function was last served; None when never."""
        with self._store.lock:
            return self._store.journal.last_occurrence(name)

    def set_last_occurrence(self, name: str, last: datetime) -> None:
        """Note that the schedule of this function was served for `last`."""
        with self._store.transaction():
            self._store.journal.set_last_occurrence(name, last)

    def history(self, instance_id: str) -> HistoryCounts:
        """What one instance cost so far.

        Raises:
            RefusedError: `not-found`.
        """
        with self._store.lock:
            return _counts([self._get(instance_id)])

    def history_under(self, prefix: str) -> HistoryCounts:
        """What all instances whose ID begins so cost together; `current_events` is the longest history among them."""
        with self._store.lock:
            return _counts([i for i in self._store.instances.values() if i.id.startswith(prefix)])

    # For clients

    def start_instance(self, request: pb.CreateInstanceRequest) -> str:
        """Start an orchestration, now or at its scheduled time.

        Without a reuse policy, an ended instance with the same ID is replaced: the Functions host's default
        (`overridableExistingInstanceStates: NonRunningStates`).

        Raises:
            RefusedError: `already-exists`.
        """
        now = self._clock.now()
        starts_at = request.scheduledStartTimestamp.ToDatetime(tzinfo=UTC)
        instance = Instance(
            id=request.instanceId or uuid.uuid4().hex,
            name=request.name,
            status=pb.ORCHESTRATION_STATUS_PENDING,
            created=now,
            updated=now,
            version=string_of(request, "version"),
            input=string_of(request, "input"),
            starts_at=starts_at if request.HasField("scheduledStartTimestamp") and starts_at > now else None,
            tags=dict(request.tags),
        )
        replaceable = frozenset(request.orchestrationIdReusePolicy.replaceableStatus) or TERMINAL
        with self._store.transaction():
            former = self._store.instances.get(instance.id)
            if former is not None and former.status not in replaceable:
                raise RefusedError("already-exists", f"an instance with the ID '{instance.id}' already exists")
            if former is not None and not former.ended:
                self._store.finish(former, pb.ORCHESTRATION_STATUS_TERMINATED, None, None)
            trace = request.parentTraceContext if request.HasField("parentTraceContext") else None
            self._store.create(instance, trace=trace)
        return instance.id

    def raise_event(self, instance_id: str, name: str, data: str | None) -> None:
        """Give an instance an external event. An ended instance ignores it.

        Raises:
            RefusedError: `not-found`.
        """
        with self._store.transaction():
            self._store.deliver(self._get(instance_id), helpers.new_event_raised_event(name, data))

    def suspend(self, instance_id: str, reason: str | None) -> None:
        """Let an instance wait until it is resumed.

        Raises:
            RefusedError: `not-found`.
        """
        with self._store.transaction():
            self._store.deliver(self._get(instance_id), helpers.new_suspend_event(encoded_input=reason))

    def resume(self, instance_id: str, reason: str | None) -> None:
        """Let a suspended instance go on.

        Raises:
            RefusedError: `not-found`.
        """
        with self._store.transaction():
            self._store.deliver(self._get(instance_id), helpers.new_resume_event(encoded_input=reason))

    def terminate(self, instance_id: str, output: str | None, *, recursive: bool) -> None:
        """End an instance at once, with all that it started when `recursive`. Ended ones stay as they are.

        No turn of its code runs any more, not even one that a worker has. Its activities that no worker has are
        dropped.

        Raises:
            RefusedError: `not-found`.
        """
        with self._store.transaction():
            pending = [self._get(instance_id).id]
            while pending:
                instance = self._store.instances[pending.pop()]
                if recursive:
                    pending.extend(self._store.live_children.get(instance.id, ()))
                if not instance.ended:
                    self._terminate(instance, output)

    def purge(self, request: pb.PurgeInstancesRequest) -> int:
        """Forget ended instances; returns how many. With `recursive`, what they started as well."""
        with self._store.transaction():
            wanted = [i for i in self._store.instances.values() if i.ended and _purges(i, request)]
            if request.recursive:
                wanted += self._descendants({i.id for i in wanted})
            for instance in wanted:
                self._store.remove(instance)
        return len(wanted)

    def state(self, instance_id: str, *, payloads: bool) -> pb.OrchestrationState | None:
        """An instance as clients see it; None when there is none."""
        with self._store.lock:
            instance = self._store.instances.get(instance_id)
            return query.state_of(instance, payloads=payloads) if instance is not None else None

    @property
    def has_unfinished(self) -> bool:
        """Whether an instance has not ended."""
        with self._store.lock:
            return any(not instance.ended for instance in self._store.instances.values())

    def query(self, wanted: pb.InstanceQuery) -> pb.QueryInstancesResponse:
        """One page of instances, oldest first."""
        with self._store.lock:
            return query.query(self._store.instances.values(), wanted)

    def ended_ids(self, wanted: pb.ListInstanceIdsRequest) -> pb.ListInstanceIdsResponse:
        """One page of the IDs of ended instances."""
        with self._store.lock:
            return query.ended_ids(self._store.instances.values(), wanted)

    def events(self, instance_id: str) -> list[pb.HistoryEvent]:
        """The committed history of the current execution.

        Raises:
            RefusedError: `not-found`.
        """
        with self._store.lock:
            return self._store.journal.history(self._get(instance_id).id)

    def wait(self, instance_id: str, reached: Callable[[int], bool], timeout_seconds: float | None) -> bool:
        """Wait until an instance's status is as wanted, or the instance is gone.

        Returns:
            False when the time was up.

        Raises:
            HostError: the host stopped.
        """

        def over() -> bool:
            instance = self._store.instances.get(instance_id)
            return self._store.failure is not None or instance is None or reached(instance.status)

        with self._store.changed:
            done = self._store.changed.wait_for(over, timeout_seconds)
            if self._store.failure is not None:
                raise self._store.failure
            return done

    # Inside

    def _get(self, instance_id: str) -> Instance:
        instance = self._store.instances.get(instance_id)
        if instance is None:
            raise RefusedError("not-found", f"there is no instance with the ID '{instance_id}'")
        return instance

    def _terminate(self, instance: Instance, output: str | None) -> None:
        self._store.append(instance, [helpers.new_terminated_event(encoded_output=output)])
        for activity in list(self._store.activities.values()):
            if activity.instance_id == instance.id and activity.token not in self._store.leased:
                self._store.forget_activity(activity)
        self._store.finish(instance, pb.ORCHESTRATION_STATUS_TERMINATED, output, None)

    def _descendants(self, roots: set[str]) -> list[Instance]:
        found: list[Instance] = []
        generation = roots
        while generation:
            children = [
                i
                for i in self._store.instances.values()
                if i.ended and i.parent is not None and i.parent.instance_id in generation and i.id not in roots
            ]
            found += children
            generation = {child.id for child in children}
            roots = roots | generation
        return found


def _purges(instance: Instance, request: pb.PurgeInstancesRequest) -> bool:
    if request.instanceId:
        return instance.id == request.instanceId
    if not request.HasField("purgeInstanceFilter"):
        return False
    wanted = request.purgeInstanceFilter
    if wanted.runtimeStatus and instance.status not in wanted.runtimeStatus:
        return False
    return query.within(instance.created, wanted, "createdTimeFrom", "createdTimeTo")


def _counts(instances: list[Instance]) -> HistoryCounts:
    kinds: Counter[str] = Counter()
    activities: Counter[str] = Counter()
    for instance in instances:
        kinds.update(instance.tally.events)
        activities.update(instance.tally.activities)
    return HistoryCounts(
        events=kinds.total(),
        current_events=max((i.history_size for i in instances), default=0),
        executions=sum(i.execution + 1 for i in instances),
        by_kind=dict(kinds),
        activities=dict(activities),
    )
