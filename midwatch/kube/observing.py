"""Who is told of each call. The clients are shared by all steps of a process, so the observer is the context's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

from midwatch.domain.calls import Call
from midwatch.domain.errors import MidwatchError
from midwatch.kube.errors import ApiError
from midwatch.kube.transport import Request

type Observer = Callable[[Call], None]

_observer: ContextVar[Observer | None] = ContextVar("midwatch_call_observer", default=None)


@contextmanager
def observed_by(observer: Observer | None) -> Iterator[None]:
    """Tell `observer` of every call in this context, and in the tasks that it starts; None tells nobody.

    It is called on the event loop, and must be quick.
    """
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


class Watched:
    """A call that is under way. `end` tells of it, once."""

    def __init__(self, server: str, request: Request) -> None:
        self._observer = _observer.get()
        if self._observer is None:
            return
        self._server, self._request = server, request
        self._started_at, self._clock = datetime.now(UTC), time.monotonic()

    def end(self, status: int | None, error: BaseException | None) -> None:
        """The call is over. A second call does nothing."""
        observer, self._observer = self._observer, None
        if observer is None:
            return
        if isinstance(error, ApiError):
            status = error.status
        observer(
            Call(
                verb=self._request.what.partition(" ")[0],
                method=self._request.method,
                server=self._server,
                path=self._request.url.partition("?")[0],
                started_at=self._started_at,
                took=timedelta(seconds=time.monotonic() - self._clock),
                status=status or None,
                error=_code(error),
            )
        )


def _code(error: BaseException | None) -> str | None:
    if error is None or isinstance(error, GeneratorExit):
        return None
    return error.code if isinstance(error, MidwatchError) else type(error).__name__
