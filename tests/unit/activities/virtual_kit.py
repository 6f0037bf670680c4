"""The real orchestrators and the real activities on a simulated cluster, in virtual time: hours pass in a second."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from durabletask.task import ActivityContext

from midwatch.domain.base import Json
from midwatch.domain.policy import Policy
from midwatch.domain.runs import ClusterRequest, ClusterResult
from midwatch.simulator import SimulatedFleet
from tests.unit.activities.activity_kit import IDLE_SECONDS, RUN, Bench
from tests.unit.orchestrators.orchestration_kit import Stage

_CALL_SECONDS = 30.0


class VirtualNight(Stage):
    """The stage of the orchestrators' tests, with nothing scripted: its activities work on a simulated cluster."""

    def __init__(self, folder: Path, bench: Bench, loop: asyncio.AbstractEventLoop) -> None:
        self.bench = bench
        self._loop = loop
        super().__init__(folder)

    def patch(self, policy: Policy) -> tuple[ClusterResult, timedelta]:
        """Patch the cluster; what came of it, and how much virtual time it took."""
        request = ClusterRequest(run=RUN, cluster=self.bench.ref, policy=policy, dry_run=False)
        result = ClusterResult.from_wire(self.run("patch_cluster", f"{RUN}:blue", request))
        state = self.backend.state(f"{RUN}:blue", payloads=False)
        assert state is not None
        return result, state.lastUpdatedTimestamp.ToDatetime() - state.createdTimestamp.ToDatetime()

    def _activity(self, name: str) -> Callable[[ActivityContext, Json], Json]:
        def activity(_: ActivityContext, payload: Json) -> Json:
            return asyncio.run_coroutine_threadsafe(self.bench.answer(name, payload), self._loop).result(_CALL_SECONDS)

        activity.__name__ = name
        return activity


@contextmanager
def virtual_night(folder: Path) -> Iterator[VirtualNight]:
    """A cluster of three nodes, of which `blue-1` asks for a reboot."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="activities")
    thread.start()
    try:
        with SimulatedFleet(scale=0, idle_watch_seconds=IDLE_SECONDS) as fleet:
            night = VirtualNight(folder, Bench(fleet, folder), loop)
            yield night
            night.close()
            asyncio.run_coroutine_threadsafe(night.bench.pool.close(), loop).result(_CALL_SECONDS)
            fleet.check()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
