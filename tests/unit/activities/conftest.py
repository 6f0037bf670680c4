"""The simulated cluster of the activities' tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from midwatch.simulator import SimulatedFleet
from tests.unit.activities.activity_kit import IDLE_SECONDS, Bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    with SimulatedFleet(scale=0, idle_watch_seconds=IDLE_SECONDS) as fleet:
        made = Bench(fleet, tmp_path)
        yield made
        await made.pool.close()
        fleet.check()
