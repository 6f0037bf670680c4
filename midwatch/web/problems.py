"""Errors as RFC 9457 problem details."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from midwatch.domain.base import Json
from midwatch.domain.errors import MidwatchError, PermanentError, UsageError
from midwatch.web.service import DrainInProgressError, RunEndedError, RunInProgressError, UnknownRunError

_log = logging.getLogger("midwatch.web")
MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """A problem document (RFC 9457). Some have members of their own: `runId`, `errors`."""

    type: str
    title: str
    status: int
    detail: str
    code: str


def problem(status: int, code: str, detail: str, more: Json | None = None) -> JSONResponse:
    """A problem document: `type`, `title`, `status`, `detail`, our `code`, and members of its own."""
    body: Json = {
        "type": f"urn:midwatch:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        **(more or {}),
    }
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE)


async def _in_progress(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RunInProgressError)
    return problem(409, error.code, error.message, {"runId": error.run})


async def _known(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MidwatchError)
    if isinstance(error, UnknownRunError):
        return problem(404, error.code, error.message)
    if isinstance(error, RunEndedError | DrainInProgressError):
        return problem(409, error.code, error.message)
    if isinstance(error, UsageError):
        return problem(422, error.code, error.message)
    return problem(502 if isinstance(error, PermanentError) else 503, error.code, error.message)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(defect["type"] == "json_invalid" for defect in found):
        return problem(400, "not-json", "the body is not JSON")
    defects = [{"pointer": _pointer(defect["loc"]), "detail": defect["msg"]} for defect in found]
    detail = "; ".join(f"{defect['pointer']}: {defect['detail']}" for defect in defects)
    return problem(422, "invalid-request", detail, {"errors": defects})


def _pointer(where: tuple[int | str, ...]) -> str:
    source, *path = where
    prefix = "" if source == "body" else f"{source} "
    return prefix + "/" + "/".join(str(part) for part in path)


async def answer_unexpected(request: Request, forward: Callable[[Request], Awaitable[Response]]) -> Response:
    """A problem document for what nobody expected, too. What it was is in the log, and not in the answer."""
    try:
        return await forward(request)
    except Exception:  # noqa: BLE001 - the last resort: it is logged with its traceback
        _log.exception("%s %s failed", request.method, request.url.path)
        return problem(500, "internal", "something went wrong here; the log of the host says what")


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    return problem(error.status_code, code, str(error.detail))


def install(api: FastAPI) -> None:
    """Answer every error of the API with a problem document."""
    api.add_exception_handler(RunInProgressError, _in_progress)
    api.add_exception_handler(MidwatchError, _known)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _http)
