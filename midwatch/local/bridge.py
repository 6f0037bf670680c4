"""Work items of the backend, run as invocations of the app's orchestration and activity functions."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor

import durabletask.internal.orchestrator_service_pb2 as pb
from durabletask.internal import helpers
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # publishes no types

from midwatch.local import events
from midwatch.local.backend import Backend
from midwatch.local.errors import HostError
from midwatch.local.runtime import THREADS, Datum, Function, InvocationError, WorkerRuntime

_log = logging.getLogger(__name__)

_TURNS_AT_ONCE = 16
_ACTIVITIES_AT_ONCE = THREADS - _TURNS_AT_ONCE  # even if all are synchronous, replays find a free thread


class Bridge:
    """A worker in the host's own process. Its methods are called on the runtime's loop.

    Args:
        backend: where the work comes from.
        runtime: the app.
    """

    def __init__(self, backend: Backend, runtime: WorkerRuntime) -> None:
        self._backend = backend
        self._runtime = runtime
        self._orchestrators = _by_name(runtime, "orchestrationTrigger", "orchestration")
        self._activities = _by_name(runtime, "activityTrigger", "activity")
        self._turns: set[asyncio.Task[None]] = set()
        self._calls: set[asyncio.Task[None]] = set()
        # SQLite's commits happen on one thread of their own: they would only wait for each other.
        self._commits = ThreadPoolExecutor(1, thread_name_prefix="midwatch-commit")
        self._woken = False
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        """Begin to take work."""
        self._unsubscribe = self._backend.subscribe(self._wake)
        self._pump()

    async def stop(self, grace_seconds: float) -> None:
        """Take no more work; wait for what runs, then cancel it. What was not answered runs again at the next start."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        running = self._turns | self._calls
        if running:
            _, late = await asyncio.wait(running, timeout=grace_seconds)
            for task in late:
                task.cancel()
        self._commits.shutdown(wait=False)

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._runtime.loop.call_soon_threadsafe(self._pump)

    def _pump(self) -> None:
        self._woken = False
        if self._unsubscribe is None:
            return
        while len(self._turns) < _TURNS_AT_ONCE and (item := self._backend.take_turn(self)) is not None:
            self._spawn(self._turns, self._run_turn(item.orchestratorRequest, item.completionToken))
        while len(self._calls) < _ACTIVITIES_AT_ONCE and (item := self._backend.take_activity(self)) is not None:
            self._spawn(self._calls, self._run_activity(item.activityRequest, item.completionToken))

    def _spawn(self, among: set[asyncio.Task[None]], work: Coroutine[object, object, None]) -> None:
        def ended(task: asyncio.Task[None]) -> None:
            among.discard(task)
            if not task.cancelled() and task.exception() is not None:
                _log.error("a work item was not answered", exc_info=task.exception())
            self._pump()

        task = self._runtime.loop.create_task(work)
        among.add(task)
        task.add_done_callback(ended)

    async def _run_turn(self, request: pb.OrchestratorRequest, token: str) -> None:
        try:
            function, param = _find(self._orchestrators, "orchestrator", _name_of(request))
            payload = Datum(base64.b64encode(request.SerializeToString()).decode(), "string")
            returned = await self._runtime.invoke(function, {param: payload})
            response = _answered(returned)
        except InvocationError as error:
            action = helpers.new_complete_orchestration_action(
                -1, pb.ORCHESTRATION_STATUS_FAILED, None, _failure(error)
            )
            response = pb.OrchestratorResponse(instanceId=request.instanceId, actions=[action])
        response.completionToken = token
        await self._commit(self._backend.complete_turn, response)

    async def _run_activity(self, request: pb.ActivityRequest, token: str) -> None:
        response = pb.ActivityResponse(
            instanceId=request.orchestrationInstance.instanceId, taskId=request.taskId, completionToken=token
        )
        trace = request.parentTraceContext
        try:
            function, param = _find(self._activities, "activity", request.name)
            returned = await self._runtime.invoke(
                function,
                {param: Datum(events.string_of(request, "input"), "json")},
                trace_parent=trace.traceParent,
                trace_state=trace.traceState.value,
            )
            answer = _text(returned)
            if answer is not None:
                response.result.value = answer
        except InvocationError as error:
            response.failureDetails.CopyFrom(_failure(error))
        await self._commit(self._backend.complete_activity, response)

    async def _commit[T](self, complete: Callable[[T], None], response: T) -> None:
        try:
            await self._runtime.loop.run_in_executor(self._commits, complete, response)
        except HostError as error:
            _log.warning("an answer was not taken: %s", error.message)


def _by_name(runtime: WorkerRuntime, kind: str, field: str) -> dict[str, tuple[Function, str]]:
    """The functions with this trigger, by the name that the durable engine calls them; names ignore case there."""
    found: dict[str, tuple[Function, str]] = {}
    for function in runtime.functions:
        binding = function.binding(kind)
        if binding is not None:
            found[(binding.text(field) or function.name).lower()] = (function, binding.name)
    return found


def _name_of(request: pb.OrchestratorRequest) -> str:
    for event in (*request.pastEvents, *request.newEvents):
        if event.HasField("executionStarted"):
            return str(event.executionStarted.name)
    return ""


def _text(returned: Datum | None) -> str | None:
    return returned.value if returned is not None and isinstance(returned.value, str) else None


def _find(functions: dict[str, tuple[Function, str]], kind: str, name: str) -> tuple[Function, str]:
    found = functions.get(name.lower())
    if found is None:
        raise InvocationError("FunctionNotFound", f"the app has no {kind} named '{name}'", "")
    return found


def _answered(returned: Datum | None) -> pb.OrchestratorResponse:
    response = pb.OrchestratorResponse()
    try:
        response.ParseFromString(base64.b64decode(_text(returned) or "", validate=True))
    except (ValueError, DecodeError) as error:
        raise InvocationError("BadAnswer", f"the orchestrator's answer cannot be read: {error}", "") from error
    return response


def _failure(error: InvocationError) -> pb.TaskFailureDetails:
    return events.failure_details(error.error_type, error.message, error.stack_trace)
