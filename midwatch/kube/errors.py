"""The API server's answers as our error tree: by status, reason and cause, never by message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from midwatch.domain.errors import MidwatchError, PermanentError, TransientError


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of `status.details.causes`."""

    reason: str
    message: str
    field: str


class ApiError(MidwatchError):
    """An answer other than success.

    Attributes:
        status: HTTP status.
        reason: the machine-readable reason of the Status object, empty when there is none.
        causes: its causes.
    """

    status: int = 0
    reason: str = ""
    causes: tuple[Cause, ...] = ()


class PermanentApiError(ApiError, PermanentError):
    """An answer that will be the same next time."""


class TransientApiError(ApiError, TransientError):
    """An answer that may be another next time."""


class NotFound(PermanentApiError):  # noqa: N818 - Kubernetes' own name of the reason, as are those below
    """404."""


class Conflict(PermanentApiError):  # noqa: N818
    """409: the object has changed since it was read."""


class AlreadyExists(PermanentApiError):  # noqa: N818
    """409: there is one of that name."""


class Gone(PermanentApiError):  # noqa: N818
    """410: the resource version, or the continue token, is too old."""


class Invalid(PermanentApiError):  # noqa: N818
    """400 or 422: the request is wrong."""


class Unauthorized(PermanentApiError):  # noqa: N818
    """401: the credentials are not accepted (any more)."""


class Forbidden(PermanentApiError):  # noqa: N818
    """403: these credentials may not do that."""


class Throttled(TransientApiError):  # noqa: N818
    """429."""


class ServerError(TransientApiError):
    """5xx."""


class Unreachable(TransientError):  # noqa: N818
    """No answer: not connected, or cut off, or out of time. Whether the server acted is unknown."""


class TlsError(PermanentError):
    """The server's certificate is not the one that the kubeconfig trusts."""


_BY_STATUS: dict[int, tuple[str, type[ApiError]]] = {
    400: ("invalid", Invalid),
    401: ("unauthorized", Unauthorized),
    403: ("forbidden", Forbidden),
    404: ("not-found", NotFound),
    409: ("conflict", Conflict),
    410: ("gone", Gone),
    422: ("invalid", Invalid),
    429: ("throttled", Throttled),
}


def from_status(what: str, status: int, body: object, retry_after: timedelta | None = None) -> ApiError:
    """The error for an answer.

    Args:
        what: the request as people know it (`get /api/v1/nodes at https://...`), without secrets.
        status: HTTP status, 400 or more.
        body: the answer's JSON, a `Status` object if all is well; anything else is tolerated.
        retry_after: of the answer's header.
    """
    details = body if isinstance(body, Mapping) and body.get("kind") == "Status" else {}
    reason = _text(details.get("reason"))
    code, kind = _BY_STATUS.get(status, ("server-error", ServerError) if status >= 500 else ("refused", Invalid))
    if status == 409 and reason == "AlreadyExists":
        code, kind = "already-exists", AlreadyExists
    said = " ".join(_text(details.get("message")).split()) or f"the answer is no Kubernetes Status (HTTP {status})"
    message = f"{what}: {said}"[:600]
    error = kind(code, message, retry_after) if issubclass(kind, TransientApiError) else kind(code, message)
    error.status, error.reason, error.causes = status, reason, _causes(details)
    return error


def _causes(details: Mapping[object, object]) -> tuple[Cause, ...]:
    inner = details.get("details")
    listed = inner.get("causes") if isinstance(inner, Mapping) else None
    if not isinstance(listed, list):
        return ()
    return tuple(
        Cause(_text(c.get("reason")), _text(c.get("message")), _text(c.get("field")))
        for c in listed
        if isinstance(c, Mapping)
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
