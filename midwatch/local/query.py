"""Answers to queries over many instances: filters, a stable order, and pages that a client can receive."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime

import durabletask.internal.orchestrator_service_pb2 as pb
from durabletask.internal import helpers

from midwatch.local.errors import RefusedError
from midwatch.local.instance import Instance

_PAGE_BYTES = 3_000_000  # gRPC clients refuse more than 4 MB unless told otherwise


def state_of(instance: Instance, *, payloads: bool) -> pb.OrchestrationState:
    """An instance as clients see it."""
    state = pb.OrchestrationState(
        instanceId=instance.id,
        name=instance.name,
        version=helpers.get_string_value(instance.version),
        orchestrationStatus=instance.status,  # type: ignore[arg-type]  # the enum is an int at run time
        createdTimestamp=helpers.new_timestamp(instance.created),
        lastUpdatedTimestamp=helpers.new_timestamp(instance.updated),
        customStatus=helpers.get_string_value(instance.custom_status),
        failureDetails=instance.failure,
        tags=instance.tags,
    )
    if instance.completed is not None:
        state.completedTimestamp.CopyFrom(helpers.new_timestamp(instance.completed))
    if instance.parent is not None:
        state.parentInstanceId.value = instance.parent.instance_id
    if payloads and instance.input is not None:
        state.input.value = instance.input
    if payloads and instance.output is not None:
        state.output.value = instance.output
    return state


def query(instances: Iterable[Instance], wanted: pb.InstanceQuery) -> pb.QueryInstancesResponse:
    """The instances that match, oldest first, one page of them.

    A page ends at the size that was asked for, or earlier where the answer would get too large to receive. Its token
    names the last instance, so that instances which come and go between two pages shift nothing.

    Raises:
        RefusedError: `invalid-argument`, a token that we did not write.
    """
    after = _read_token(wanted.continuationToken.value)
    matching = sorted(
        (i for i in instances if _matches(i, wanted) and (after is None or (i.created, i.id) > after)),
        key=lambda i: (i.created, i.id),
    )
    limit = wanted.maxInstanceCount or len(matching)
    response = pb.QueryInstancesResponse()
    size = 0
    for instance in matching:
        state = state_of(instance, payloads=wanted.fetchInputsAndOutputs)
        size += state.ByteSize()
        if response.orchestrationState and (len(response.orchestrationState) == limit or size > _PAGE_BYTES):
            response.continuationToken.value = _write_token(response.orchestrationState[-1].instanceId, matching)
            break
        response.orchestrationState.append(state)
    return response


def ended_ids(instances: Iterable[Instance], wanted: pb.ListInstanceIdsRequest) -> pb.ListInstanceIdsResponse:
    """The IDs of ended instances in order of their end, one page of them.

    Raises:
        RefusedError: `invalid-argument`, a key that we did not write.
    """
    after = _read_token(wanted.lastInstanceKey.value)
    found: list[tuple[datetime, str]] = []
    for instance in instances:
        if instance.completed is None or not instance.ended:
            continue
        if wanted.runtimeStatus and instance.status not in wanted.runtimeStatus:
            continue
        if within(instance.completed, wanted, "completedTimeFrom", "completedTimeTo"):
            found.append((instance.completed, instance.id))
    found = sorted(entry for entry in found if after is None or entry > after)
    page = found[: wanted.pageSize if wanted.pageSize > 0 else 100]
    response = pb.ListInstanceIdsResponse(instanceIds=[id_ for _, id_ in page])
    if len(page) < len(found):
        response.lastInstanceKey.value = json.dumps([page[-1][0].isoformat(), page[-1][1]])
    return response


def within(when: datetime, wanted: object, start: str, end: str) -> bool:
    """Whether `when` lies in the half-open range that a protocol message's two optional fields give."""
    lower, upper = _bound(wanted, start), _bound(wanted, end)
    return (lower is None or when >= lower) and (upper is None or when < upper)


def _bound(wanted: object, field: str) -> datetime | None:
    assert hasattr(wanted, "HasField")
    if not wanted.HasField(field):
        return None
    bound = getattr(wanted, field).ToDatetime(tzinfo=UTC)
    assert isinstance(bound, datetime)
    return bound


def _matches(instance: Instance, wanted: pb.InstanceQuery) -> bool:
    if wanted.runtimeStatus and instance.status not in wanted.runtimeStatus:
        return False
    return instance.id.startswith(wanted.instanceIdPrefix.value) and within(
        instance.created, wanted, "createdTimeFrom", "createdTimeTo"
    )


def _write_token(last_id: str, matching: list[Instance]) -> str:
    last = next(instance for instance in matching if instance.id == last_id)
    return json.dumps([last.created.isoformat(), last.id])


def _read_token(token: str) -> tuple[datetime, str] | None:
    if not token:
        return None
    try:
        when, id_ = json.loads(token)
        return datetime.fromisoformat(when), str(id_)
    except (ValueError, TypeError) as error:
        raise RefusedError("invalid-argument", f"not a continuation token of this backend: {token!r}") from error
