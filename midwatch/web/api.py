"""The routes under `/api`."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Query, Request, Response

from midwatch.domain.base import Json
from midwatch.domain.doctor.checks import DoctorView
from midwatch.domain.runs import RunPage, RunSummary, RunView, Trigger
from midwatch.domain.steps import SurveyView
from midwatch.web.drains import DrainService, add_drains
from midwatch.web.problems import MEDIA_TYPE, Problem, answer_unexpected, install, problem
from midwatch.web.service import RunService, StartRequest

_JSON = "application/json"
_PROBLEMS = (400, 403, 404, 409, 415, 422, 500, 502, 503)


def build_api(service: Callable[[], RunService], drains: Callable[[], DrainService], version: str) -> FastAPI:
    """The API.

    Args:
        service: gives the run service of the request under way; its durable client lives only as long.
        drains: likewise the service of drains by hand.
        version: of Midwatch, for the OpenAPI document and `healthz`.
    """
    api = FastAPI(
        title="Midwatch",
        version=version,
        description="Reboots the nodes of a fleet that wait for it, safely.",
        docs_url=None,  # FastAPI's page would run scripts of another site beside an API that reboots nodes
        redoc_url=None,
        openapi_url="/api/openapi.json",
        responses={code: {"model": Problem, "content": {MEDIA_TYPE: {}}} for code in _PROBLEMS},
    )
    install(api)
    api.middleware("http")(_refuse_strangers)
    api.middleware("http")(answer_unexpected)
    type Service = Annotated[RunService, Depends(service)]

    @api.post("/api/runs", status_code=202, summary="Start a run")
    async def start(body: StartRequest, runs: Service, response: Response) -> RunSummary:
        started = await runs.start(body, Trigger(body.trigger), datetime.now(UTC))
        response.headers["Location"] = f"/api/runs/{started.id}"
        return started

    @api.get("/api/runs", summary="Runs, newest first")
    async def page(
        runs: Service, cursor: str | None = None, limit: Annotated[int, Query(ge=1, le=200)] = 50
    ) -> RunPage:
        return await runs.page(cursor, limit)

    @api.get("/api/runs/{run}", summary="One run, with its clusters and nodes")
    async def view(run: str, runs: Service) -> RunView:
        return await runs.view(run)

    @api.post("/api/runs/{run}/cancel", status_code=202, summary="Ask a run to stop")
    async def cancel(run: str, runs: Service) -> RunSummary:
        return await runs.cancel(run)

    @api.get("/api/fleet", summary="Which nodes need a reboot")
    async def fleet(runs: Service, cluster: Annotated[list[str] | None, Query()] = None) -> SurveyView:
        return await runs.survey(cluster or ())

    @api.get("/api/doctor", summary="Whether a run would find what it needs; changes nothing")
    async def doctor(runs: Service, cluster: Annotated[list[str] | None, Query()] = None) -> DoctorView:
        return await runs.examine(cluster or ())

    @api.get("/api/healthz", summary="Whether the app answers")
    async def healthz() -> Json:
        return {"status": "ok", "version": version}

    add_drains(api, drains)
    return api


async def _refuse_strangers(request: Request, forward: Callable[[Request], Awaitable[Response]]) -> Response:
    """Keep other sites' pages from starting runs through a visitor's browser, and bodies that are not JSON out."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        return problem(403, "cross-origin", "requests from other sites are refused")
    kind = request.headers.get("content-type")
    if request.method == "POST" and kind is not None and kind.split(";")[0].strip().lower() != _JSON:
        return problem(415, "not-json", f"the content type is {kind!r}: send {_JSON}")
    return await forward(request)
