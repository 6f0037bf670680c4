"""A span as we keep it: plain data, so that nothing of OpenTelemetry is needed until it is sent."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

type Value = str | int | float | bool | tuple[str, ...]


class Kind(StrEnum):
    """OpenTelemetry's kinds, as far as we have them. Application Insights shows a server's as a request."""

    SERVER = "server"
    INTERNAL = "internal"
    CLIENT = "client"


class Link(BaseModel):
    """A span of another trace, or elsewhere in this one, that is about the same thing."""

    model_config = ConfigDict(frozen=True)

    trace_id: str
    span_id: str


class Span(BaseModel):
    """A span that has ended.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 of them; a second span with this ID is dropped.
        parent_id: None for the root.
        started_at: aware.
        ended_at: aware.
        error: what went wrong, one line; None when nothing did.
        attributes: without secrets; None values are left out.
        links: see `Link`.
    """

    model_config = ConfigDict(frozen=True)

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: Kind = Kind.INTERNAL
    started_at: datetime
    ended_at: datetime
    error: str | None = None
    attributes: dict[str, Value] = {}
    links: tuple[Link, ...] = ()


def known(**attributes: Value | None) -> dict[str, Value]:
    """Attributes that have a value. `__` in a keyword stands for the dot of the conventions' names."""
    return {name.replace("__", "."): value for name, value in attributes.items() if value is not None}
