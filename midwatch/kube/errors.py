"""The API server's answers as our error tree: by status, reason and cause, never by message."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from midwatch.domain.errors import MidwatchError, PermanentError, TransientError

_QUOTED = 80
"""So many characters of an answer that we cannot read are shown."""
_READ = 2**16
"""Of an unreadable answer only this much is looked at; a token cut in two at its end is far from what is shown."""
_LONGEST_MESSAGE = 600


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
        causes: its causes. A refusal by a PodDisruptionBudget, for one, is known by its cause `DisruptionBudget`.
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
    """The server's certificate is not one that the kubeconfig trusts."""


class BadAnswer(PermanentError):  # noqa: N818 - it is the answer that is bad
    """What came is not the API server's: no JSON, or JSON of another shape (a proxy's page, say).

    Deliberately no `ApiError`: a proxy's 404 must not be taken for an object that is gone.
    """


class _Cause(BaseModel):
    model_config = ConfigDict(extra="ignore")

    reason: str = ""
    message: str = ""
    field: str = ""


class _Details(BaseModel):
    model_config = ConfigDict(extra="ignore", alias_generator=to_camel)

    causes: list[_Cause] | None = None
    retry_after_seconds: int | None = None


class _Status(BaseModel):
    """meta/v1 Status, as far as we read it."""

    model_config = ConfigDict(extra="ignore")

    kind: str = Field(pattern="^Status$")
    message: str = ""
    reason: str = ""
    code: int = 0
    details: _Details | None = None


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: int
    reason: str = ""
    causes: tuple[Cause, ...] = ()
    retry_after: timedelta | None = None


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


def from_answer(what: str, http_status: int, data: bytes, retry_after: timedelta | None = None) -> MidwatchError:
    """The error for an answer that is no success.

    Args:
        what: the request as people know it (`get /api/v1/nodes at https://...`), without secrets.
        http_status: 300 or more; for the error event of a watch 0, then the code of the Status counts.
        data: the answer's body, a `Status` object if all is well.
        retry_after: of the answer's header; the Status may name one too.
    """
    try:
        said = _Status.model_validate_json(data)
    except ValidationError:
        return _from_stranger(what, http_status, data, retry_after)
    status = http_status or said.code or 500
    code, kind = _BY_STATUS.get(status, ("server-error", ServerError) if status >= 500 else ("refused", Invalid))
    if status == 409 and said.reason == "AlreadyExists":
        code, kind = "already-exists", AlreadyExists
    details = said.details or _Details()
    if retry_after is None and details.retry_after_seconds:
        retry_after = timedelta(seconds=details.retry_after_seconds)
    causes = tuple(Cause(c.reason, c.message, c.field) for c in details.causes or ())
    text = f"{what}: {_one_line(said.message) or said.reason or f'HTTP {status}'}"
    return _build(kind, code, text, _Refusal(status, said.reason, causes, retry_after))


def bad_answer(what: str, data: bytes, problem: str) -> BadAnswer:
    """The error for an answer of success that cannot be read."""
    return BadAnswer("bad-answer", f"{what}: the answer is {problem}: {_quote(data)}"[:_LONGEST_MESSAGE])


def _from_stranger(what: str, status: int, data: bytes, retry_after: timedelta | None) -> MidwatchError:
    """No Status: a proxy or a gateway. It may ask for patience; of the cluster's state it says nothing.

    The API server itself answers so when it sheds load (429 in plain text) and for a group that it does not serve.
    """
    text = f"{what}: the answer is no Kubernetes Status (HTTP {status}): {_quote(data)}"
    if status == 429:
        return _build(Throttled, "bad-answer", text, _Refusal(status, retry_after=retry_after))
    if status >= 500:
        return _build(ServerError, "bad-answer", text, _Refusal(status, retry_after=retry_after))
    if status == 401:
        return _build(Unauthorized, "bad-answer", text, _Refusal(status))
    return BadAnswer("bad-answer", text[:_LONGEST_MESSAGE])


def _build(kind: type[ApiError], code: str, text: str, refusal: _Refusal) -> ApiError:
    text = text[:_LONGEST_MESSAGE]
    after = refusal.retry_after
    error = kind(code, text, after) if issubclass(kind, TransientApiError) else kind(code, text)
    error.status, error.reason, error.causes = refusal.status, refusal.reason, refusal.causes
    return error


def _one_line(text: str) -> str:
    """One line, without a token that an echo of our own request may hold."""
    return re.sub(r"(?i)\b(bearer)\s+[^\s\"'<,]+", r"\1 ...", " ".join(text.split()))


def _quote(data: bytes) -> str:
    return json.dumps(_one_line(data[:_READ].decode(errors="replace"))[:_QUOTED], ensure_ascii=False)
