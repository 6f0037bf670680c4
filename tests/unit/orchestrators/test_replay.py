"""A run that is under way survives a new version: today's code is replayed over recorded histories."""

from __future__ import annotations

import json

import pytest

from orchestrators import ORCHESTRATORS
from tests.unit.orchestrators.histories import RUNS, Recorded, load, record, replay

_RECORDED = {f"{run}-{n}-{one.orchestrator}": one for run, found in load().items() for n, one in enumerate(found)}


@pytest.mark.parametrize("recorded", _RECORDED.values(), ids=_RECORDED.keys())
def test_todays_code_follows_a_recorded_history(recorded: Recorded) -> None:
    assert replay(recorded) == recorded.actions, "a change breaks running instances: see histories.py"


def test_every_orchestrator_and_every_run_is_recorded() -> None:
    assert {one.orchestrator for one in _RECORDED.values()} == {orchestrator.__name__ for orchestrator in ORCHESTRATORS}
    assert set(load()) == set(RUNS)


def test_a_run_recorded_now_asks_for_the_same() -> None:
    recorded, fresh = load()["patched"], record("patched")
    assert [(one.orchestrator, one.actions) for one in fresh] == [(one.orchestrator, one.actions) for one in recorded]


def _changed(recorded: Recorded, *swaps: tuple[str, str]) -> Recorded:
    text = json.dumps(recorded.request)
    for old, new in swaps:
        assert f'"{old}"' in text
        text = text.replace(f'"{old}"', f'"{new}"')
    return Recorded(recorded.orchestrator, json.loads(text), recorded.actions)


@pytest.mark.parametrize(
    "swaps",
    [
        pytest.param((("cordon_node", "cordon"),), id="a renamed activity"),
        pytest.param(
            (("cordon_node", "x"), ("claim_node", "cordon_node"), ("x", "claim_node")),
            id="two steps the other way round",
        ),
        pytest.param((("drain_node", "empty_node"),), id="a renamed orchestration"),
    ],
)
def test_a_change_that_breaks_replay_is_found(swaps: tuple[tuple[str, str], ...]) -> None:
    node = next(one for one in load()["patched"] if one.orchestrator == "patch_node")
    assert replay(_changed(node, *swaps)) != node.actions
