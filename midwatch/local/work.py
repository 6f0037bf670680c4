"""The backend's side for workers: work items out, answers in, and what happens when a worker is lost."""

from __future__ import annotations

import itertools
import logging
import uuid
from collections.abc import Callable

import durabletask.internal.orchestrator_service_pb2 as pb
from durabletask.internal import helpers

from midwatch.local import events
from midwatch.local.clock import Clock
from midwatch.local.instance import Instance, Turn
from midwatch.local.store import Store
from midwatch.local.turns import accept_turn

_log = logging.getLogger(__name__)


class WorkSource:
    """Hands out turns and activities. Each is with one worker at a time, until it answers or is released. Thread-safe.

    Args:
        store: the instances.
        clock: the time that an orchestrator sees.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._working = False
        self._delivery = itertools.count()
        self._boot = uuid.uuid4().hex  # a turn that an earlier process handed out must not be accepted

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` (quick, from any thread) whenever there may be work; returns how to end that."""
        with self._store.lock:
            self._store.listeners.append(listener)
        return lambda: self._store.listeners.remove(listener)

    def take_turn(self, worker: object) -> pb.WorkItem | None:
        """Hand the next orchestration that may run to a worker, until it answers or is released."""
        with self._store.lock:
            while self._store.turn_lane and self._may_work():
                instance = self._store.instances.get(self._store.turn_lane.popleft())
                if instance is None:
                    continue
                instance.queued = False
                if instance.inbox and instance.turn is None and not instance.ended and instance.starts_at is None:
                    return self._hand_out(instance, worker)
            return None

    def take_activity(self, worker: object) -> pb.WorkItem | None:
        """Hand the next activity to a worker, until it answers or is released."""
        with self._store.lock:
            while self._store.activity_lane and self._may_work():
                activity = self._store.activities.get(self._store.activity_lane.popleft())
                if activity is not None and activity.token not in self._store.leased:
                    self._store.leased[activity.token] = worker
                    request = events.activity_request(activity)
                    return pb.WorkItem(activityRequest=request, completionToken=activity.token)
            return None

    def complete_turn(self, response: pb.OrchestratorResponse) -> None:
        """Commit a turn. An answer to a delivery that is not current any more is dropped."""
        with self._store.transaction():
            instance = self._store.instances.get(response.instanceId)
            if instance is None or instance.turn is None or instance.turn.token != response.completionToken:
                _log.info("a late turn of '%s' was dropped", response.instanceId)
                return
            accept_turn(self._store, instance, instance.turn, response)

    def complete_activity(self, response: pb.ActivityResponse) -> None:
        """Commit an activity's answer. Only the first counts, and none after its execution has ended."""
        with self._store.transaction():
            activity = self._store.activities.get(response.completionToken)
            if activity is None:
                return
            self._store.forget_activity(activity)
            instance = self._store.instances.get(activity.instance_id)
            if instance is None:
                return
            instance.tally.activities[activity.name] += 1
            if instance.execution == activity.execution:
                self._store.deliver(instance, events.activity_answer(activity.task_id, response))
            self._store.journal.update(instance)

    def release(self, worker: object) -> None:
        """A worker is gone: what it has is handed out again."""
        with self._store.lock:
            for instance in self._store.instances.values():
                if instance.turn is not None and instance.turn.worker is worker:
                    self._take_back(instance)
            for token in [token for token, holder in self._store.leased.items() if holder is worker]:
                del self._store.leased[token]
                self._store.activity_lane.append(token)
            self._store.notify()

    def _may_work(self) -> bool:
        return self._working and self._store.failure is None

    def _hand_out(self, instance: Instance, worker: object) -> pb.WorkItem:
        new = [helpers.new_orchestrator_started_event(self._clock.now()), *(event for _, event in instance.inbox)]
        token = f"{self._boot}:{next(self._delivery)}"
        instance.turn = Turn(token, worker, new, taken=len(instance.inbox))
        self._store.turns_in_flight += 1
        request = pb.OrchestratorRequest(
            instanceId=instance.id,
            pastEvents=instance.history,
            newEvents=new,
            orchestrationTraceContext=instance.trace,
        )
        return pb.WorkItem(orchestratorRequest=request, completionToken=token)

    def _take_back(self, instance: Instance) -> None:
        instance.turn = None
        self._store.turns_in_flight -= 1
        if not instance.queued:
            instance.queued = True
            self._store.turn_lane.append(instance.id)
