"""One call of a Kubernetes API, as it is told to whoever observes a step: no query, no headers, no bodies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has ended.

    Attributes:
        verb: Kubernetes' word: get, list, watch, post, put, patch, delete.
        method: of HTTP.
        server: the API server's URL.
        path: without the query, which may hold selectors.
        started_at: aware.
        took: until the answer was read; of a watch, until it was closed.
        status: of HTTP; None when no answer came.
        error: the code of the error that the caller got; None when it got none.
    """

    verb: str
    method: str
    server: str
    path: str
    started_at: datetime
    took: timedelta
    status: int | None
    error: str | None
