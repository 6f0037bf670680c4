"""The function app: every orchestration, activity and trigger is registered here, and nothing else happens here."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import UTC, datetime

import azure.durable_functions as df
import azure.functions as func

from activities import activities
from activities.binding import Activity
from activities.directory import ClusterDirectory
from midwatch import __version__
from midwatch.aks import AksClusters
from midwatch.azure.account import AzureAccount
from midwatch.config import SCHEDULE_SETTING
from midwatch.domain.base import Json
from midwatch.domain.errors import MidwatchError
from midwatch.domain.runs import Trigger
from midwatch.kube.pool import ClientPool
from midwatch.policies import Policies
from midwatch.telemetry import Telemetry, in_host_span
from midwatch.web.api import build_api
from midwatch.web.drains import DrainService
from midwatch.web.instances import Instances
from midwatch.web.problems import problem
from midwatch.web.service import RunInProgressError, RunService, StartRequest
from orchestrators import ORCHESTRATORS

_log = logging.getLogger("midwatch")
_client: ContextVar[df.DurableFunctionsClient] = ContextVar("durable_client")
_starting = asyncio.Lock()
_azure = AzureAccount(os.environ)
_aks = AksClusters(_azure)
_pool = ClientPool(os.environ, _aks)
_telemetry = Telemetry.open(os.environ)
_directory = ClusterDirectory(_pool, _aks, Policies(os.environ, _azure).read)

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)


def under_host_span(name: str, activity: Activity) -> Callable[[Json, func.Context], Awaitable[Json]]:
    """The activity as the worker calls it: with the trace context that the host gives."""

    async def invoked(payload: Json, context: func.Context) -> Json:
        with in_host_span(context.trace_context.trace_parent):
            return await activity(payload)

    invoked.__name__ = name
    # The worker's indexer knows plain classes only.
    invoked.__annotations__ = {"payload": dict, "context": func.Context, "return": dict}
    return invoked


for orchestrator in ORCHESTRATORS:
    app.orchestration_trigger(context_name="context", orchestration=orchestrator.__name__)(orchestrator)
for name, activity in activities(_pool, _telemetry).items():
    app.activity_trigger(input_name="payload", activity=name)(under_host_span(name, activity))


def _service() -> RunService:
    return RunService(Instances(_client.get(), _telemetry.starting), _directory, _starting)


def _drains() -> DrainService:
    return DrainService(Instances(_client.get(), _telemetry.starting), _directory, _starting)


_api = func.AsgiMiddleware(build_api(_service, _drains, __version__))  # type: ignore[no-untyped-call]  # the package's own lack


@app.route(route="{*path}", methods=["GET", "POST"])
@app.durable_client_input(client_name="client")
async def http(req: func.HttpRequest, client: df.DurableFunctionsClient, context: func.Context) -> func.HttpResponse:
    """The HTTP API."""
    _client.set(client)
    try:
        response = await _api.handle_async(req, context)
    except UnicodeDecodeError:  # of the path, before any route sees it
        return func.HttpResponse(bytes(problem(400, "bad-path", "the path is not UTF-8").body), status_code=400)
    assert isinstance(response, func.HttpResponse)
    return response


@app.timer_trigger(schedule=f"%{SCHEDULE_SETTING}%", arg_name="timer")
@app.durable_client_input(client_name="client")
async def schedule(timer: func.TimerRequest, client: df.DurableFunctionsClient) -> None:
    """Start the scheduled run over all clusters of the policy, unless a run is in progress."""
    _client.set(client)
    try:
        run = await _service().start(StartRequest(), Trigger.TIMER, datetime.now(UTC))
    except RunInProgressError as error:
        _log.warning("the scheduled run was not started: %s", error.message)
    except MidwatchError as error:
        _log.error("the scheduled run was not started: %s: %s", error.code, error.message)
        raise
    else:
        _log.info("the scheduled run %s was started%s", run.id, " late" if timer.past_due else "")
