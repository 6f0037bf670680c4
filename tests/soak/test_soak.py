"""Random fleets: two dozen. `make soak N=1000` runs more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.soak.cases import Act
from tests.soak.drawing import draw
from tests.soak.running import AGAIN, Rig

if TYPE_CHECKING:
    from pathlib import Path

_SEEDS = [range(first, first + 6) for first in range(1, 25, 6)]


@pytest.mark.parametrize("seeds", _SEEDS, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_no_random_fleet_breaks_an_invariant(tmp_path: Path, seeds: range) -> None:
    rig, failed = Rig(tmp_path), []
    try:
        for seed in seeds:
            result = rig.run(seed)
            if result.problems:
                failed.append(f"seed {seed} ({AGAIN.format(seed=seed)}): " + "; ".join(result.problems))
    finally:
        rig.close()
    assert not failed, "\n".join(failed)


def test_a_seed_draws_the_same_case_every_time() -> None:
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)


def test_the_draw_leaves_nothing_out() -> None:
    cases = [draw(seed) for seed in range(300)]
    plans = [plan for case in cases for plan in case.clusters]
    nodes = [node for plan in plans for node in plan.nodes]
    assert {strike.act for plan in plans for strike in plan.strikes} == set(Act)
    assert any(case.calm for case in cases)
    for drawn in (
        any(node.human for node in nodes),
        any(node.off for node in nodes),
        any(node.claimed for node in nodes),
        any(node.os == "windows" for node in nodes),
        any(plan.bare for plan in plans),
        any(plan.faults for plan in plans),
        {node.doubt for node in nodes} == {None, "absent", "unknown", "stale"},
    ):
        assert drawn
