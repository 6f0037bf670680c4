"""The history events that the backend writes, beyond those that durabletask's own constructors make."""

from __future__ import annotations

import durabletask.internal.orchestrator_service_pb2 as pb
from durabletask.internal import helpers
from google.protobuf import wrappers_pb2  # type: ignore[import-untyped]  # publishes no types

from midwatch.local.instance import Activity, Instance

_ACROSS_EXECUTIONS = frozenset({"eventRaised", "executionSuspended", "executionResumed"})


def kind(event: pb.HistoryEvent) -> str:
    """The event's kind, as in the protocol (`taskScheduled`, `eventRaised`, ...)."""
    return str(event.WhichOneof("eventType"))


def survives_continue_as_new(event: pb.HistoryEvent) -> bool:
    """Whether an event that no turn consumed belongs to the instance rather than to one execution.

    Answers and timers are numbered per execution: the next execution uses the same numbers for other tasks.
    """
    return kind(event) in _ACROSS_EXECUTIONS


def string_of(message: object, field: str) -> str | None:
    """The text of an optional `StringValue` field of a protocol message; None when it is not set."""
    assert hasattr(message, "HasField")
    if not message.HasField(field):
        return None
    value = getattr(message, field)
    assert isinstance(value, wrappers_pb2.StringValue)
    return str(value.value)


def execution_started(instance: Instance, parent_name: str | None, trace: pb.TraceContext | None) -> pb.HistoryEvent:
    """The first event of an execution, saying who its parent is."""
    event = helpers.new_execution_started_event(
        instance.name, instance.id, instance.input, dict(instance.tags) or None, instance.version, trace
    )
    if instance.parent is not None:
        event.executionStarted.parentInstance.CopyFrom(
            pb.ParentInstanceInfo(
                taskScheduledId=instance.parent.task_id,
                name=helpers.get_string_value(parent_name),
                orchestrationInstance=pb.OrchestrationInstance(instanceId=instance.parent.instance_id),
            )
        )
    return event


def activity_answer(task_id: int, response: pb.ActivityResponse) -> pb.HistoryEvent:
    """How an activity ended, for the orchestration that waits for it."""
    if response.HasField("failureDetails"):
        failed = pb.TaskFailedEvent(taskScheduledId=task_id, failureDetails=response.failureDetails)
        return pb.HistoryEvent(eventId=-1, taskFailed=failed)
    return helpers.new_task_completed_event(task_id, string_of(response, "result"))


def child_answer(task_id: int, child: Instance) -> pb.HistoryEvent:
    """How a sub-orchestration ended, for its parent. Anything but completed is a failure there."""
    if child.status == pb.ORCHESTRATION_STATUS_COMPLETED:
        return helpers.new_sub_orchestration_completed_event(task_id, child.output)
    failure = child.failure
    if failure is None:
        status = "terminated" if child.status == pb.ORCHESTRATION_STATUS_TERMINATED else "failed"
        failure = failure_details("SubOrchestrationEnded", f"sub-orchestration '{child.id}' was {status}")
    return child_failed(task_id, failure)


def child_failed(task_id: int, failure: pb.TaskFailureDetails) -> pb.HistoryEvent:
    """A sub-orchestration failed, or could not be started."""
    failed = pb.SubOrchestrationInstanceFailedEvent(taskScheduledId=task_id, failureDetails=failure)
    return pb.HistoryEvent(eventId=-1, subOrchestrationInstanceFailed=failed)


def failure_details(error_type: str, message: str, stack_trace: str | None = None) -> pb.TaskFailureDetails:
    """Why something failed, as the protocol carries it."""
    return pb.TaskFailureDetails(
        errorType=error_type, errorMessage=message, stackTrace=helpers.get_string_value(stack_trace)
    )


def activity_request(activity: Activity) -> pb.ActivityRequest:
    """The work item of an activity."""
    return pb.ActivityRequest(
        name=activity.name,
        taskId=activity.task_id,
        input=helpers.get_string_value(activity.input),
        orchestrationInstance=pb.OrchestrationInstance(instanceId=activity.instance_id),
        parentTraceContext=activity.trace,
    )
