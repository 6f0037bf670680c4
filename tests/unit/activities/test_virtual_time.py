"""Whole nights with the policy's own deadlines: no test waits for them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from midwatch.simulator import Workload
from tests.unit.activities.activity_kit import NODE, policy
from tests.unit.activities.virtual_kit import VirtualNight, virtual_night


@pytest.fixture
def night(tmp_path: Path) -> Iterator[VirtualNight]:
    with virtual_night(tmp_path) as made:
        yield made


def test_a_machine_that_never_returns_is_waited_for_until_the_deadline_and_no_longer(night: VirtualNight) -> None:
    night.bench.cluster.behave(NODE, returns=False)
    result, took = night.patch(policy())
    assert [(end.name, end.outcome) for end in result.nodes] == [(NODE, "not-ready")]
    assert timedelta(minutes=15) <= took < timedelta(minutes=16)


def test_a_budget_that_never_opens_ends_the_drain_and_the_node_is_given_back(night: VirtualNight) -> None:
    night.bench.cluster.deploy(Workload("shop", replicas=6, min_available=6))
    result, took = night.patch(policy(drain={"timeout": "30m", "misconfiguredTimeout": None}))
    assert [(end.name, end.outcome) for end in result.nodes] == [(NODE, "drain-failed")]
    assert timedelta(minutes=30) <= took < timedelta(minutes=32)
    assert (night.bench.notes, night.bench.node().spec.unschedulable) == ({}, False)


def test_a_node_is_stable_for_as_long_as_the_policy_says_before_the_run_goes_on(night: VirtualNight) -> None:
    result, took = night.patch(policy(verify={"stableFor": "1h"}))
    assert [(end.name, end.outcome) for end in result.nodes] == [(NODE, "rebooted")]
    assert timedelta(hours=1) <= took < timedelta(hours=1, minutes=3)
