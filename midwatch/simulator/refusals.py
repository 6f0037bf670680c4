"""What an API server answers when it does not do what it was asked: `Status` objects, as Kubernetes 1.36 words them."""

from __future__ import annotations

from dataclasses import dataclass

from midwatch.simulator.documents import JsonObject, JsonValue
from midwatch.simulator.resources import Resource


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of `details.causes`."""

    reason: str
    message: str
    field: str = ""

    def document(self) -> JsonObject:
        """As JSON."""
        return {"reason": self.reason, "message": self.message, **({"field": self.field} if self.field else {})}


class Refusal(Exception):  # noqa: N818 - it is an answer of the API, not an error of the simulator
    """An answer that is no success.

    Attributes:
        code: HTTP status.
        retry_after: seconds for the header of that name; None sends none.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: JsonObject | None = None,
        *,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self._details = dict(details) if details else {}
        if retry_after:
            self._details["retryAfterSeconds"] = retry_after

    def document(self) -> JsonObject:
        """The Status object."""
        status: JsonObject = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self._details:
            status["details"] = self._details
        status["code"] = self.code
        return status


def _of(resource: Resource, name: str, *causes: Cause, kind: bool = False) -> JsonObject:
    details: JsonObject = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.kind if kind else resource.plural
    if causes:
        listed: list[JsonValue] = [cause.document() for cause in causes]
        details["causes"] = listed
    return details


def _title(resource: Resource) -> str:
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def not_found(resource: Resource, name: str) -> Refusal:
    """404."""
    return Refusal(404, "NotFound", f'{_title(resource)} "{name}" not found', _of(resource, name))


def already_exists(resource: Resource, name: str) -> Refusal:
    """409: there is one of that name."""
    return Refusal(409, "AlreadyExists", f'{_title(resource)} "{name}" already exists', _of(resource, name))


def conflict(resource: Resource, name: str, why: str) -> Refusal:
    """409: it is not as the caller thinks."""
    text = f'Operation cannot be fulfilled on {_title(resource)} "{name}": {why}'
    return Refusal(409, "Conflict", text, _of(resource, name))


def modified(resource: Resource, name: str) -> Refusal:
    """409: another resource version."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def invalid(resource: Resource, name: str, *causes: Cause) -> Refusal:
    """422: a field is wrong."""
    problems = "; ".join(f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes)
    text = f'{resource.kind} "{name}" is invalid: {problems}'
    return Refusal(422, "Invalid", text, _of(resource, name, *causes, kind=True))


def bad_request(message: str) -> Refusal:
    """400."""
    return Refusal(400, "BadRequest", message)


def unauthorized() -> Refusal:
    """401."""
    return Refusal(401, "Unauthorized", "Unauthorized")


def forbidden(resource: Resource, name: str, why: str, *causes: Cause) -> Refusal:
    """403."""
    subject = f'{_title(resource)} "{name}"' if name else _title(resource)
    return Refusal(403, "Forbidden", f"{subject} is forbidden: {why}", _of(resource, name, *causes))


def expired(message: str) -> Refusal:
    """410: a resource version or a continue token that is too old."""
    return Refusal(410, "Expired", message)


def budget_refuses(message: str, cause: str, *, retry_after: int | None = None) -> Refusal:
    """429: a PodDisruptionBudget allows no eviction now. Without a `retry_after` the answer has no such header."""
    causes: list[JsonValue] = [Cause("DisruptionBudget", cause).document()]
    return Refusal(429, "TooManyRequests", message, {"causes": causes}, retry_after=retry_after)


def unsupported_media_type(kind: str) -> Refusal:
    """415."""
    return Refusal(415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {kind}")


def method_not_allowed() -> Refusal:
    """405."""
    text = "the server does not allow this method on the requested resource"
    return Refusal(405, "MethodNotAllowed", text)


def no_such_path() -> Refusal:
    """404 for a path that leads nowhere."""
    return Refusal(404, "NotFound", "the server could not find the requested resource", {})
