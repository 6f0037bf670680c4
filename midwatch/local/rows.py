"""How values look in the journal's rows."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import durabletask.internal.orchestrator_service_pb2 as pb

from midwatch.local.instance import Instance, Parent, Tally

INSTANCE_COLUMNS = (
    "id, name, status, created, updated, version, input, output, custom_status, completed, starts_at, failure, "
    "parent_id, parent_execution, parent_task, execution, trace, tags, tally, history_size"
)


def read_instance(row: tuple[object, ...]) -> Instance:
    """An instance from its row, in the order of `INSTANCE_COLUMNS`.

    Raises:
        ValueError: the row is not one that this version wrote.
    """
    (id_, name, status, created, updated, version, input_, output, custom_status, completed, starts_at, failure,
     parent_id, parent_execution, parent_task, execution, trace, tags, tally, history_size) = row  # fmt: skip
    return Instance(
        id=str(id_),
        name=str(name),
        status=_int(status),
        created=read_datetime(created),
        updated=read_datetime(updated),
        version=_text(version),
        input=_text(input_),
        output=_text(output),
        custom_status=_text(custom_status),
        completed=read_datetime(completed) if completed is not None else None,
        starts_at=read_datetime(starts_at) if starts_at is not None else None,
        failure=pb.TaskFailureDetails.FromString(failure) if isinstance(failure, bytes) else None,
        parent=Parent(str(parent_id), _int(parent_execution), _int(parent_task)) if parent_id is not None else None,
        execution=_int(execution),
        trace=pb.OrchestrationTraceContext.FromString(trace) if isinstance(trace, bytes) else None,
        tags=json.loads(str(tags)),
        tally=_load_tally(str(tally)),
        history_size=_int(history_size),
    )


def dump_tally(tally: Tally) -> str:
    """Running totals as text."""
    return json.dumps([tally.events, tally.activities])


def _load_tally(text: str) -> Tally:
    events, activities = json.loads(text)
    return Tally(Counter(events), Counter(activities))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(when: datetime) -> int:
    """A time (aware) as microseconds since 1970: exact, and in order."""
    return (when - _EPOCH) // timedelta(microseconds=1)


def micros_or_none(when: datetime | None) -> int | None:
    """The same, where the time may not be known."""
    return micros(when) if when is not None else None


def read_datetime(value: object) -> datetime:
    """A time from microseconds since 1970, in UTC.

    Raises:
        ValueError: not a number.
    """
    return _EPOCH + timedelta(microseconds=_int(value))


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise ValueError(f"expected a number in the journal, found {value!r}")  # noqa: TRY004 - bad data, not a bad call
    return value


def _text(value: object) -> str | None:
    return None if value is None else str(value)
