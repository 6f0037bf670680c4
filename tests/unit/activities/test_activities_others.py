"""What others did meanwhile: dead runs, humans, other holders of the lease, auto-repair, an API server that refuses."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from midwatch.domain.errors import TransientError
from midwatch.domain.outcomes import NodeOutcome
from midwatch.domain.steps import Checked, Claimed, ClusterStep, LookStep, Released, Seen, Surveyed, SurveyStep
from midwatch.simulator import Change
from tests.unit.activities.activity_kit import NODE, OTHER, RUN, Bench, policy, settle


async def test_the_claim_of_a_dead_run_is_taken_over_with_what_it_says_of_the_node_before(bench: Bench) -> None:
    bench.left_claimed()
    assert (await bench.claim()).outcome is None
    assert (bench.notes["run"], bench.notes["was-unschedulable"]) == (RUN, "false")
    await bench.do("cordon_node", bench.step(), Checked)
    await bench.do("release_node", bench.release(), Released)
    assert not bench.node().spec.unschedulable


async def test_what_a_dead_run_left_is_found_and_put_back(bench: Bench) -> None:
    bench.left_claimed()
    surveyed = await bench.do("survey_cluster", SurveyStep(run=RUN, cluster=bench.ref, policy=policy()), Surveyed)
    assert [(node.name, node.run) for node in surveyed.abandoned] == [(NODE, OTHER)]
    assert (await bench.do("release_node", bench.release(OTHER), Released)).left == ()
    assert (bench.notes, bench.node().spec.unschedulable) == ({}, False)


@pytest.mark.parametrize("activity", ["claim_node", "recheck_node", "reboot_node"])
async def test_without_the_lease_nothing_is_claimed_and_nothing_reboots(bench: Bench, activity: str) -> None:
    step = bench.step()
    if activity == "claim_node":
        await bench.take()
    else:
        step = await bench.cordon()
    bench.steal_lease()
    checked = await bench.do(activity, step, Checked)
    assert (checked.outcome, str(checked.reason).split(":")[0]) == (NodeOutcome.CANCELLED, "lease-lost")
    assert bench.reboot_pods == 0


async def test_a_human_cordon_between_claim_and_cordon_stays(bench: Bench) -> None:
    await bench.claim()
    bench.human_cordons()
    checked = await bench.do("cordon_node", bench.step(), Checked)
    assert (checked.outcome, str(checked.reason).split(":")[0]) == (NodeOutcome.SKIPPED, "cordoned")
    await bench.do("release_node", bench.release(), Released)
    assert (bench.notes, bench.node().spec.unschedulable) == ({}, True)


async def test_a_node_that_a_human_uncordoned_is_not_rebooted(bench: Bench) -> None:
    step = await bench.cordon()
    bench.human_uncordons()
    checked = await bench.do("recheck_node", bench.step(), Checked)
    assert str(checked.reason).split(":")[0] == "uncordoned"
    assert (await bench.do("reboot_node", step, Checked)).outcome is NodeOutcome.DRAIN_FAILED
    bench.human_cordons()
    await bench.do("release_node", bench.release(), Released)
    assert (bench.node().spec.unschedulable, bench.reboot_pods) == (True, 0)


async def test_a_node_that_others_rebooted_is_let_go(bench: Bench) -> None:
    await bench.cordon()
    bench.cluster.power_off(NODE)
    await settle(bench)
    checked = await bench.do("recheck_node", bench.step(), Checked)
    assert (checked.outcome, str(checked.reason).split(":")[0]) == (NodeOutcome.SKIPPED, "rebooted-by-others")


async def test_a_failed_node_stays_cordoned_where_the_policy_says_so(bench: Bench) -> None:
    await bench.cordon()
    released = await bench.do("release_node", bench.release(keep_cordoned=True), Released)
    assert released.left == ("the cordon (failure.keepCordoned)",)
    assert (bench.notes, bench.node().spec.unschedulable) == ({}, True)


async def test_auto_repair_takes_the_node_over(bench: Bench) -> None:
    bench.cluster.behave(NODE, returns=False)
    step = await bench.cordon()
    await bench.do("reboot_node", step, Checked)
    await settle(bench)
    when = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    bench.cluster.create({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "repair", "namespace": "default"},
        "involvedObject": {"kind": "Node", "name": NODE}, "source": {"component": "aks-auto-repair"},
        "reason": "NodeRebootStart", "message": "Node auto-repair is initiating a reboot", "lastTimestamp": when,
    })  # fmt: skip
    seen = await bench.do("look_for_boot", LookStep(**dict(step)), Seen)
    assert (seen.outcome, "auto-repair" in str(seen.reason)) == (NodeOutcome.TAKEN_OVER, True)


async def test_a_reboot_pod_that_may_not_signal_fails_the_reboot(bench: Bench) -> None:
    step = await bench.cordon()
    stale = step.model_copy(update={"before": step.before.model_copy(update={"boot_id": "another"})})
    assert (await bench.do("reboot_node", stale, Checked)).outcome is None, "it has booted since: nothing to do"
    assert bench.reboot_pods == 0
    seen = await bench.do("look_for_boot", LookStep(**dict(step)), Seen)
    assert seen.outcome is None
    assert [left.because for left in seen.left] == ["the reboot pod is gone"]


async def test_a_pod_that_may_not_be_deleted_keeps_no_node_cordoned(bench: Bench) -> None:
    step = await bench.cordon()
    await bench.do("reboot_node", step, Checked)
    await settle(bench)
    bench.refuses("delete", "pods")
    released = await bench.do("release_node", bench.release(), Released)
    assert [left.split(" (")[0] for left in released.left] == ["the reboot pod"]
    assert (bench.notes, bench.node().spec.unschedulable) == ({}, False)


async def test_without_the_right_to_write_events_everything_else_happens(bench: Bench) -> None:
    bench.refuses("create", "events")
    step = await bench.cordon()
    await bench.do("reboot_node", step, Checked)
    await settle(bench)
    assert (await bench.do("look_for_proof", LookStep(**dict(step)), Seen)).done
    assert (await bench.do("release_node", bench.release(), Released)).left == ()
    assert bench.cluster.boots == {NODE: 1}


async def test_a_lease_that_changes_all_the_time_is_not_told_as_given_back(bench: Bench) -> None:
    await bench.take()
    bench.refuses("update", "leases", status=409)
    failure = await bench.refuse("release_lease", ClusterStep(run=RUN, cluster=bench.ref))
    assert failure.code == "conflict"


async def test_a_client_replaced_while_a_watch_is_open_leaves_the_look_alone(bench: Bench) -> None:
    bench.cluster.behave(NODE, ignores_reboot=True)
    step = await bench.cordon()
    opened, loop = asyncio.Event(), asyncio.get_running_loop()

    def look(_: Change) -> None:
        loop.call_soon_threadsafe(opened.set)

    bench.cluster.observe(look)
    await bench.do("reboot_node", step, Checked)
    watching = asyncio.create_task(bench.do("look_for_boot", LookStep(**dict(step)), Seen))
    await opened.wait()
    bench.cluster.token("someone")
    bench.fleet.kubeconfig(bench.kubeconfig, "someone")
    assert (await bench.take()).held
    assert (await watching).outcome is None


async def test_each_call_logs_one_structured_record(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "midwatch.steps")
    await bench.claim()
    records = [json.loads(record.getMessage()) for record in caplog.records if record.name == "midwatch.steps"]
    assert [(r["run_id"], r["cluster"], r["node"], r["step"], r["outcome"]) for r in records] == [
        (RUN, "blue", None, "acquire_lease", "ok"),
        (RUN, "blue", NODE, "claim_node", "ok"),
    ]
    assert all(0 <= r["duration_seconds"] < 60 for r in records)


async def test_what_may_pass_is_raised_for_the_durable_retries(bench: Bench) -> None:
    bench.refuses("patch", "nodes", status=503, times=1)
    await bench.take()
    with pytest.raises(TransientError):
        await bench.call("claim_node", bench.step())
    assert (await bench.do("claim_node", bench.step(), Claimed)).outcome is None
