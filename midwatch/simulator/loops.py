"""An event loop in a thread of its own, for all clusters of a fleet, and the way into it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine

_CALL_SECONDS = 120.0


class LoopThread:
    """Started when made. `stop` ends it and leaves nothing behind."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call[T](self, function: Callable[[], T]) -> T:
        """Run a function in the loop's thread and give its result. It must not wait."""
        if threading.get_ident() == self._thread.ident:
            return function()

        async def work() -> T:
            return function()

        return self.run(work())

    def run[T](self, work: Coroutine[object, object, T], seconds: float = _CALL_SECONDS) -> T:
        """Run a coroutine in the loop's thread and wait for its result.

        Raises:
            TimeoutError: it takes longer than that; it is cancelled.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds)
        except TimeoutError:
            future.cancel()
            raise

    def stop(self) -> None:
        """Cancel what is left, end the loop and its thread. A second call does nothing."""
        if self._loop.is_closed():
            return
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
