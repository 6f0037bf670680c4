"""Every activity may run twice: after a crash its answer is lost, and it is asked for again."""

from __future__ import annotations

import pytest

from midwatch.domain.draining import Drained, DrainStep
from midwatch.domain.outcomes import NodeOutcome
from midwatch.domain.steps import (
    Checked,
    Claimed,
    ClusterStep,
    LeaseHeld,
    LookStep,
    Released,
    Seen,
    Surveyed,
    SurveyStep,
)
from midwatch.simulator import Workload
from tests.unit.activities.activity_kit import NODE, RUN, Bench, policy, settle, writes


async def test_the_lease_taken_twice_is_held_and_freed_twice_is_free(bench: Bench) -> None:
    step = ClusterStep(run=RUN, cluster=bench.ref)
    assert [(await bench.take()).held for _ in range(2)] == [True, True]
    assert [(await bench.do("release_lease", step, LeaseHeld)).holder for _ in range(2)] == ["", ""]


async def test_a_survey_changes_nothing(bench: Bench) -> None:
    step = SurveyStep(run=RUN, cluster=bench.ref, policy=policy())
    first, second = [await bench.do("survey_cluster", step, Surveyed) for _ in range(2)]
    assert [c.name for c in first.candidates] == [NODE]
    assert first == second
    assert writes(bench.cluster) == 0


async def test_a_claim_made_twice_is_one_claim(bench: Bench) -> None:
    first = await bench.claim()
    before = writes(bench.cluster)
    second = await bench.do("claim_node", bench.step(), Claimed)
    assert (first, writes(bench.cluster)) == (second, before)
    assert bench.notes["run"] == RUN


async def test_a_cordon_made_twice_writes_once(bench: Bench) -> None:
    await bench.cordon()
    before = writes(bench.cluster)
    assert (await bench.do("cordon_node", bench.step(), Checked)).outcome is None
    assert (bench.node().spec.unschedulable, writes(bench.cluster)) == (True, before)


async def test_a_drain_pass_on_an_empty_node_evicts_nothing_more(bench: Bench) -> None:
    bench.cluster.deploy(Workload("shop", replicas=6))
    reboot = await bench.cordon()
    step = DrainStep(**dict(bench.step()), before=reboot.before)
    while not (await bench.do("drain_pass", step, Drained)).done:
        await settle(bench)
    before = writes(bench.cluster)
    assert (await bench.do("drain_pass", step, Drained)).done
    assert writes(bench.cluster) == before


async def test_a_recheck_changes_nothing(bench: Bench) -> None:
    await bench.cordon()
    before = writes(bench.cluster)
    answers = [await bench.do("recheck_node", bench.step(), Checked) for _ in range(2)]
    assert [answer.outcome for answer in answers] == [None, None]
    assert writes(bench.cluster) == before


async def test_a_reboot_asked_for_twice_boots_the_machine_once(bench: Bench) -> None:
    step = await bench.cordon()
    for _ in range(2):
        assert (await bench.do("reboot_node", step, Checked)).outcome is None
        await settle(bench)
    assert (bench.cluster.boots, bench.cluster.machines[NODE].signals) == ({NODE: 1}, 1)


async def test_a_reboot_asked_for_again_before_the_machine_went_down_makes_no_second_pod(bench: Bench) -> None:
    bench.cluster.behave(NODE, ignores_reboot=True)
    step = await bench.cordon()
    for _ in range(2):
        await bench.do("reboot_node", step, Checked)
    assert (bench.reboot_pods, bench.cluster.machines[NODE].signals) == (1, 1)


@pytest.mark.parametrize("look", ["look_for_boot", "look_for_proof"])
async def test_a_look_changes_nothing_and_sees_the_same_again(bench: Bench, look: str) -> None:
    step = await bench.cordon()
    await bench.do("reboot_node", step, Checked)
    await settle(bench)
    before = writes(bench.cluster)
    answers = [await bench.do(look, LookStep(**dict(step)), Seen) for _ in range(2)]
    assert [seen.done for seen in answers] == [True, True]
    assert answers[0].boot_id == bench.cluster.machines[NODE].boot_id
    assert writes(bench.cluster) == before


async def test_a_node_released_twice_is_released_and_a_cordon_that_came_since_stays(bench: Bench) -> None:
    await bench.cordon()
    assert (await bench.do("release_node", bench.release(), Released)).left == ()
    assert (bench.notes, bench.node().spec.unschedulable) == ({}, False)
    bench.human_cordons()
    released = await bench.do("release_node", bench.release(outcome=NodeOutcome.REBOOTED), Released)
    assert bench.node().spec.unschedulable
    assert released.left == ("possibly our cordon: somebody has removed our annotations, so nothing says whose it is",)
