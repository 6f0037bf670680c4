"""From a body that takes its client to an activity that takes JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import ValidationError

from midwatch.domain.base import Json, Message
from midwatch.domain.errors import MidwatchError, PermanentError
from midwatch.domain.steps import ClusterStep, Failure
from midwatch.kube.client import KubeClient
from midwatch.kube.observing import observed_by
from midwatch.kube.pool import ClientPool
from midwatch.telemetry import Telemetry

type Activity = Callable[[Json], Awaitable[Json]]


@dataclass(frozen=True, slots=True)
class Kit:
    """What the activities of a process share."""

    pool: ClientPool
    telemetry: Telemetry


def bind[S: ClusterStep, R: Message](
    body: Callable[[KubeClient, S], Awaitable[R]], step_type: type[S], kit: Kit
) -> Activity:
    """Make an activity of a body.

    Its answer is `{"result": ...}`, or `{"error": {"code", "message"}}` for a failure that trying again cannot mend.
    A transient failure is raised, for the durable retry policy. Each call has a record in the log, and a span.
    """

    async def activity(payload: Json) -> Json:
        try:
            step = _read(step_type, payload)
        except PermanentError as error:
            return {"error": Failure(code=error.code, message=error.message).to_wire()}
        attempt = kit.telemetry.attempt(body.__name__, step)
        try:
            with observed_by(attempt.observer):
                result = await body(await kit.pool.client(step.cluster), step)
        except PermanentError as error:
            attempt.end(f"error {error.code}", error=error.code)
            return {"error": Failure(code=error.code, message=error.message).to_wire()}
        except Exception as error:
            code = error.code if isinstance(error, MidwatchError) else type(error).__name__
            attempt.end(f"raised {type(error).__name__}", error=code)
            raise
        attempt.end(str(getattr(result, "outcome", None) or "ok"), result=result)
        return {"result": result.to_wire()}

    activity.__annotations__ = {"payload": dict, "return": dict}  # the worker's indexer knows plain classes only
    return activity


def _read[S: ClusterStep](step_type: type[S], payload: Json) -> S:
    try:
        return step_type.from_wire(payload)
    except ValidationError as error:
        raise PermanentError("bad-message", f"not a {step_type.__name__}: {error.error_count()} errors") from error
