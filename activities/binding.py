"""From a body that takes its client to an activity that takes JSON."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable

from pydantic import ValidationError

from midwatch.domain.base import Json, Message
from midwatch.domain.errors import PermanentError
from midwatch.domain.steps import ClusterStep, Failure, NodeStep
from midwatch.kube.client import KubeClient
from midwatch.kube.pool import ClientPool

type Activity = Callable[[Json], Awaitable[Json]]

_log = logging.getLogger("midwatch.steps")


def bind[S: ClusterStep, R: Message](
    body: Callable[[KubeClient, S], Awaitable[R]], step_type: type[S], pool: ClientPool
) -> Activity:
    """Make an activity of a body.

    Its answer is `{"result": ...}`, or `{"error": {"code", "message"}}` for a failure that trying again cannot mend.
    A transient failure is raised, for the durable retry policy. One structured record is logged for each call: JSON,
    since the worker in Azure forwards a record's message and nothing else of it.
    """

    async def activity(payload: Json) -> Json:
        started = time.monotonic()
        try:
            step = _read(step_type, payload)
        except PermanentError as error:
            return {"error": Failure(code=error.code, message=error.message).to_wire()}
        try:
            result = await body(await pool.client(step.cluster), step)
        except PermanentError as error:
            _record(body.__name__, step, f"error {error.code}", started)
            return {"error": Failure(code=error.code, message=error.message).to_wire()}
        except Exception as error:
            _record(body.__name__, step, f"raised {type(error).__name__}", started)
            raise
        outcome = getattr(result, "outcome", None)
        _record(body.__name__, step, str(outcome or "ok"), started)
        return {"result": result.to_wire()}

    activity.__annotations__ = {"payload": dict, "return": dict}  # the worker's indexer knows plain classes only
    return activity


def _read[S: ClusterStep](step_type: type[S], payload: Json) -> S:
    try:
        return step_type.from_wire(payload)
    except ValidationError as error:
        raise PermanentError("bad-message", f"not a {step_type.__name__}: {error.error_count()} errors") from error


def _record(name: str, step: ClusterStep, outcome: str, started: float) -> None:
    fields = {
        "run_id": step.run,
        "cluster": step.cluster.name,
        "node": step.node if isinstance(step, NodeStep) else None,
        "step": name,
        "outcome": outcome,
        "duration_seconds": round(time.monotonic() - started, 3),
    }
    _log.info("%s", json.dumps(fields))
