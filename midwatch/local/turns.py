"""What an orchestrator asked for in one turn, carried out. All of it happens within one step of the store."""

from __future__ import annotations

import logging
import uuid

import durabletask.internal.orchestrator_service_pb2 as pb
from durabletask.internal import helpers

from midwatch.local import events
from midwatch.local.events import string_of
from midwatch.local.instance import Activity, Instance, Parent, Turn
from midwatch.local.store import Store

_log = logging.getLogger(__name__)

HISTORY_LIMIT = 10_000  # an execution that grows past this replays for ever longer: a loop without continue-as-new


def accept_turn(store: Store, instance: Instance, turn: Turn, response: pb.OrchestratorResponse) -> None:
    """Commit a turn: its events become history, its actions happen, and the instance ends, goes on or begins anew."""
    instance.turn = None
    store.turns_in_flight -= 1
    store.journal.drop_from_inbox(number for number, _ in instance.inbox[: turn.taken])
    del instance.inbox[: turn.taken]
    store.append(instance, turn.events)
    instance.updated = store.clock.now()
    instance.status = _status_after(instance.status, turn.events)
    if response.HasField("customStatus"):
        instance.custom_status = response.customStatus.value
    if response.HasField("orchestrationTraceContext"):
        instance.trace = response.orchestrationTraceContext
    completion = _apply_all(store, instance, response)
    if completion is None and instance.history_size > HISTORY_LIMIT:
        reason = f"the history has more than {HISTORY_LIMIT} events; use continue-as-new"
        completion = _failed("HistoryTooLong", reason)
    if completion is None:
        store.append(instance, [helpers.new_orchestrator_completed_event()])
        store.journal.update(instance)
        store.wake(instance)
    elif completion.orchestrationStatus == pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW:
        _continue_as_new(store, instance, completion)
    else:
        store.append(instance, [helpers.new_orchestrator_completed_event()])
        failure = completion.failureDetails if completion.HasField("failureDetails") else None
        store.finish(instance, completion.orchestrationStatus, string_of(completion, "result"), failure)


def _status_after(status: int, new: list[pb.HistoryEvent]) -> int:
    status = pb.ORCHESTRATION_STATUS_RUNNING if status == pb.ORCHESTRATION_STATUS_PENDING else status
    for event in new:
        if event.HasField("executionSuspended"):
            status = pb.ORCHESTRATION_STATUS_SUSPENDED
        elif event.HasField("executionResumed"):
            status = pb.ORCHESTRATION_STATUS_RUNNING
    return status


def _apply_all(
    store: Store, instance: Instance, response: pb.OrchestratorResponse
) -> pb.CompleteOrchestrationAction | None:
    completion: pb.CompleteOrchestrationAction | None = None
    for action in response.actions:
        match action.WhichOneof("orchestratorActionType"):
            case "completeOrchestration":
                completion = action.completeOrchestration
            case "scheduleTask":
                _schedule_activity(store, instance, action)
            case "createTimer":
                _create_timer(store, instance, action)
            case "createSubOrchestration":
                _start_child(store, instance, action)
            case "sendEvent":
                _send_event(store, instance, action)
            case other:
                return _failed("NotSupported", f"the embedded host does not do '{other}' (entities, rewind)")
    return completion


def _failed(error_type: str, reason: str) -> pb.CompleteOrchestrationAction:
    return pb.CompleteOrchestrationAction(
        orchestrationStatus=pb.ORCHESTRATION_STATUS_FAILED, failureDetails=events.failure_details(error_type, reason)
    )


def _schedule_activity(store: Store, instance: Instance, action: pb.OrchestratorAction) -> None:
    task = action.scheduleTask
    payload = string_of(task, "input")
    store.append(instance, [helpers.new_task_scheduled_event(action.id, task.name, payload)])
    trace = task.parentTraceContext if task.HasField("parentTraceContext") else None
    store.schedule(Activity(instance.id, instance.execution, action.id, task.name, payload, trace))


def _create_timer(store: Store, instance: Instance, action: pb.OrchestratorAction) -> None:
    fires_at = helpers.ensure_aware(action.createTimer.fireAt.ToDatetime())
    assert fires_at is not None
    store.append(instance, [helpers.new_timer_created_event(action.id, fires_at)])
    store.set_timer((instance.id, instance.execution, action.id), fires_at)


def _start_child(store: Store, instance: Instance, action: pb.OrchestratorAction) -> None:
    child = action.createSubOrchestration
    payload, version = string_of(child, "input"), string_of(child, "version")
    child_id = child.instanceId or uuid.uuid4().hex
    store.append(
        instance,
        [helpers.new_sub_orchestration_created_event(action.id, child.name, child_id, payload, version=version)],
    )
    former = store.instances.get(child_id)
    if former is not None and not former.ended:
        reason = f"an instance with the ID '{child_id}' is running"
        store.deliver(instance, events.child_failed(action.id, events.failure_details("AlreadyExists", reason)))
        return
    now = store.clock.now()
    created = Instance(
        id=child_id,
        name=child.name,
        status=pb.ORCHESTRATION_STATUS_PENDING,
        created=now,
        updated=now,
        version=version,
        input=payload,
        parent=Parent(instance.id, instance.execution, action.id),
        tags=dict(child.tags),
    )
    trace = child.parentTraceContext if child.HasField("parentTraceContext") else None
    store.create(created, parent_name=instance.name, trace=trace)


def _send_event(store: Store, instance: Instance, action: pb.OrchestratorAction) -> None:
    sent = action.sendEvent
    target_id, data = sent.instance.instanceId, string_of(sent, "data")
    store.append(instance, [helpers.new_event_sent_event(action.id, target_id, data, name=sent.name)])
    target = store.instances.get(target_id)
    if target is None or target.ended:
        _log.warning("event '%s' from '%s': '%s' is not running", sent.name, instance.id, target_id)
        return
    store.deliver(target, helpers.new_event_raised_event(sent.name, data))


def _continue_as_new(store: Store, instance: Instance, completion: pb.CompleteOrchestrationAction) -> None:
    """Begin the next execution with an empty history.

    What no turn consumed survives when it belongs to the instance (external events), and is dropped when it belongs
    to the execution that ends: answers and timers are numbered per execution.
    """
    trace = next((e.executionStarted.parentTraceContext for e in instance.history if _has_trace(e)), None)
    unread = [event for _, event in instance.inbox if events.survives_continue_as_new(event)]
    store.drop_execution(instance)
    store.journal.clear_history(instance.id)
    instance.history, instance.history_size = [], 0
    instance.execution += 1
    instance.input = string_of(completion, "result")
    instance.version = string_of(completion, "newVersion") or instance.version
    parent = store.instances.get(instance.parent.instance_id) if instance.parent is not None else None
    started = events.execution_started(instance, parent.name if parent is not None else None, trace)
    store.journal.put(instance)
    store.replace_inbox(instance, [started, *completion.carryoverEvents, *unread])


def _has_trace(event: pb.HistoryEvent) -> bool:
    return bool(event.HasField("executionStarted") and event.executionStarted.HasField("parentTraceContext"))
