"""How an orchestrator calls an activity: one message out, one message back, failures as one type."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

from durabletask.task import OrchestrationContext, RetryPolicy, Task, TaskFailedError, when_any

from midwatch.domain.base import Message
from midwatch.domain.errors import PermanentError
from midwatch.domain.steps import Failure

type Steps[R] = Generator[Task[object], object, R]
"""What an orchestrator, or a phase of one, is: it yields durable tasks and returns its result."""

QUICK = RetryPolicy(
    first_retry_interval=timedelta(seconds=2),
    max_number_of_attempts=5,
    backoff_coefficient=2.0,
    max_retry_interval=timedelta(seconds=20),
)
"""For steps that may be given up: about 30 seconds of an API server that does not answer."""

BRIEF = RetryPolicy(first_retry_interval=timedelta(seconds=1), max_number_of_attempts=3, backoff_coefficient=2.0)
"""For the first step on a cluster: one that cannot be reached is reported soon."""

ONCE = RetryPolicy(first_retry_interval=timedelta(seconds=1), max_number_of_attempts=1)
"""For rounds of a wait: the next round is the retry."""

_PATIENCE = timedelta(minutes=20)
_FIRST_PAUSE = timedelta(seconds=2)
_LONGEST_PAUSE = timedelta(minutes=1)


UNAVAILABLE = "unavailable"
"""The code of a step whose answer never came: it may have been done."""


class StepError(PermanentError):
    """An activity that could not do its step: refused for good, or unavailable after all its retries."""


def now(ctx: OrchestrationContext) -> datetime:
    """The orchestration's clock: the same on every replay; aware, UTC."""
    return ctx.current_utc_datetime.replace(tzinfo=UTC)


def unwrap[R: Message](answer: object, result_type: type[R]) -> R:
    """Read an activity's answer: `{"result": ...}`, or `{"error": {"code", "message"}}`.

    Raises:
        StepError: the activity reported a permanent failure.
    """
    if not isinstance(answer, Mapping):
        raise StepError("bad-answer", f"an activity answered {type(answer).__name__} instead of an object")
    if (error := answer.get("error")) is not None:
        failure = Failure.model_validate(error)
        raise StepError(failure.code, failure.message)
    return result_type.model_validate(answer.get("result"))


_MAY_PASS = frozenset({"forbidden", "unauthorized"})
"""What an API server also answers while it starts, before it knows its roles."""
_REFUSAL_PAUSES = [timedelta(seconds=seconds) for seconds in (2, 4, 8, 16)]


def call[R: Message](
    ctx: OrchestrationContext, activity: str, request: Message, result_type: type[R], retry: RetryPolicy = QUICK
) -> Steps[R]:
    """Call an activity and read its result. With `QUICK` a refusal that may pass is tried again, too.

    Raises:
        StepError: refused for good, or still failing when the retries are used up.
    """
    for pause in _REFUSAL_PAUSES if retry is QUICK else []:
        try:
            return (yield from _call_once(ctx, activity, request, result_type, retry))
        except StepError as error:
            if error.code not in _MAY_PASS:
                raise
        yield first_of([ctx.create_timer(pause)])
    return (yield from _call_once(ctx, activity, request, result_type, retry))


def _call_once[R: Message](
    ctx: OrchestrationContext, activity: str, request: Message, result_type: type[R], retry: RetryPolicy
) -> Steps[R]:
    try:
        answer = yield ctx.call_activity(activity, input=request.to_wire(), retry_policy=retry)
    except TaskFailedError as error:
        raise StepError(UNAVAILABLE, first_line(error.details.message)) from error
    return unwrap(answer, result_type)


def call_until_done[R: Message](
    ctx: OrchestrationContext,
    activity: str,
    request: Message,
    result_type: type[R],
    tell: Callable[[StepError], None],
) -> Steps[R]:
    """Call an activity again and again for 20 minutes, whatever it answers: for putting things back.

    A refusal counts as passing, too: credentials, an exec plugin, a role may be mended in the meantime. `tell` is
    called with each failure that is followed by another attempt, so that whoever looks sees why it takes so long.

    Raises:
        StepError: the last answer, when the time is over.
    """
    deadline, pause = now(ctx) + _PATIENCE, _FIRST_PAUSE
    while True:
        try:
            return (yield from call(ctx, activity, request, result_type, ONCE))
        except StepError as error:
            if now(ctx) + pause > deadline:
                raise
            tell(error)
        yield first_of([ctx.create_timer(pause)])
        pause = min(pause * 2, _LONGEST_PAUSE)


def record(ctx: OrchestrationContext, activity: str, ended: Message) -> Steps[None]:
    """Have it recorded how something ended. That it could not be changes nothing."""
    try:
        yield ctx.call_activity(activity, input=ended.to_wire(), retry_policy=ONCE)
    except TaskFailedError:
        return


def start(ctx: OrchestrationContext, orchestrator: str, instance: str, request: Message) -> Task[object]:
    """Start a sub-orchestration under a deterministic instance ID; the caller yields the task for its output."""
    task: Task[object] = ctx.call_sub_orchestrator(orchestrator, input=request.to_wire(), instance_id=instance)
    return task


def first_of(tasks: Sequence[Task[object] | Task[None]]) -> Task[object]:
    """A task that completes with the first of these; `Task` is invariant, so its type has to be widened."""
    return cast("Task[object]", when_any(tasks))


def first_line(text: str) -> str:
    """The first line of a failure's text; the rest is a traceback, which stays in the log."""
    return text.strip().splitlines()[0][:300] if text.strip() else "no message"
