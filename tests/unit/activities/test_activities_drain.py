"""A drain pass on simulated clusters: each answer to an eviction, and what a pass does with what it lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from midwatch.domain.drain_pace import Blocker
from midwatch.domain.draining import Drained, DrainStep
from midwatch.domain.outcomes import NodeOutcome
from midwatch.simulator import Fault, FaultKind, Workload
from tests.unit.activities.activity_kit import NODE, Bench

if TYPE_CHECKING:
    from tests.kit.api import JsonObject


async def drain(bench: Bench, *, passes: int = 1, policy: dict[str, object] | None = None) -> Drained:
    """Cordon the node, and do so many passes; what the last one saw."""
    reboot = await bench.cordon()
    step = DrainStep(**dict(bench.step(drain=policy or {})), before=reboot.before)
    seen = Drained()
    for _ in range(passes):
        seen = await bench.do("drain_pass", step.model_copy(update={"budgets_in": seen.budgets_in}), Drained)
    return seen


def pods_on_node(bench: Bench) -> list[JsonObject]:
    """The workloads' pods that are on the node."""
    found = []
    for pod in bench.cluster.objects("v1", "Pod"):
        spec, meta = pod["spec"], pod["metadata"]
        assert isinstance(spec, dict)
        assert isinstance(meta, dict)
        if spec.get("nodeName") == NODE and not str(meta["name"]).startswith("midwatch"):
            found.append(pod)
    return found


def evictions(bench: Bench) -> int:
    """The evictions that were asked for so far."""
    return sum(n for (_, verb, what), n in bench.cluster.calls.items() if (verb, what) == ("create", "pods/eviction"))


def answers(bench: Bench, status: int, retry_after: int | None = None, times: int | None = None) -> None:
    """From now on this is the answer to evictions."""
    verbs, resources = frozenset({"create"}), frozenset({"pods/eviction"})
    fault = Fault(FaultKind.ERROR, verbs, resources, status=status, retry_after=retry_after, times=times)
    bench.cluster.add_fault(fault)


async def test_an_eviction_that_is_accepted_empties_the_node_within_the_pass(bench: Bench) -> None:
    bench.cluster.deploy(Workload("shop", replicas=6))
    assert (await drain(bench)).done
    assert pods_on_node(bench) == []


async def test_a_pod_that_is_gone_by_then_is_no_failure(bench: Bench) -> None:
    bench.cluster.deploy(Workload("shop", replicas=3))
    answers(bench, 404)
    seen = await drain(bench)
    assert (seen.outcome, [one for one in seen.left if one.because.startswith("refused")]) == (None, [])


async def test_another_pod_of_that_name_is_looked_up_again_and_not_asked_for_at_once(bench: Bench) -> None:
    bench.cluster.deploy(Workload("shop", replicas=3))
    answers(bench, 409)
    asked = len(pods_on_node(bench))
    seen = await drain(bench)
    assert (seen.outcome, evictions(bench)) == (None, asked)


async def test_a_budget_that_refuses_is_named_and_asked_once_a_pass_at_most(bench: Bench) -> None:
    bench.cluster.deploy(Workload("shop", replicas=3, min_available=3))
    seen = await drain(bench, passes=3)
    assert (seen.outcome, set(seen.blockers) & {Blocker.BUDGET, Blocker.NEVER} != set()) == (None, True)
    assert "shop" in seen.left[0].because
    assert seen.budgets_in == ("default",)
    assert evictions(bench) <= 1


async def test_a_server_that_asks_for_patience_is_no_budget_and_says_how_long(bench: Bench) -> None:
    bench.cluster.deploy(Workload("shop", replicas=3))
    answers(bench, 429, retry_after=7)
    seen = await drain(bench)
    assert (seen.outcome, seen.blockers) == (None, (Blocker.THROTTLED,))
    assert seen.retry_after is not None
    assert seen.retry_after.total_seconds() == 7


async def test_two_budgets_on_one_pod_are_both_named_and_the_pod_is_not_deleted(bench: Bench) -> None:
    bench.cluster.deploy(Workload("shop", replicas=3, min_available=1))
    spec: JsonObject = {"minAvailable": 1, "selector": {"matchLabels": {"app": "shop"}}}
    meta: JsonObject = {"name": "again", "namespace": "default"}
    bench.cluster.create({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta, "spec": spec})
    before = len(pods_on_node(bench))
    seen = await drain(bench)
    assert len(pods_on_node(bench)) == before > 0
    assert "shop" in seen.left[0].because
    assert "again" in seen.left[0].because


async def test_in_a_namespace_that_ends_the_pod_is_waited_for(bench: Bench) -> None:
    bench.cluster.create_namespace("ending")
    bench.cluster.deploy(Workload("shop", namespace="ending", replicas=3, grace_seconds=1))
    bench.api.delete("/api/v1/namespaces/ending")
    seen = await drain(bench)
    assert seen.outcome is None


async def test_any_other_refusal_is_of_that_pod_alone_and_the_others_go_on(bench: Bench) -> None:
    bench.cluster.deploy(Workload("shop", replicas=6))
    before = len(pods_on_node(bench))
    answers(bench, 403, times=1)
    await drain(bench)
    assert evictions(bench) >= before > 1
    assert len(pods_on_node(bench)) <= 1


async def test_a_server_that_cannot_answer_just_now_is_asked_again_later(bench: Bench) -> None:
    bench.cluster.deploy(Workload("shop", replicas=3))
    answers(bench, 503)
    seen = await drain(bench)
    assert (seen.outcome, seen.done) == (None, False)
    bench.cluster.clear_faults()
    assert (await drain(bench)).done


@pytest.mark.parametrize(
    ("pod", "policy", "said"),
    [
        (Workload("scratch", replicas=3, empty_dir=True), {"deleteEmptyDirData": False}, "(empty-dir)"),
        (Workload("agent", daemon=True), {"ignoreDaemonSets": False}, "(daemonset)"),
    ],
)
async def test_a_pod_that_may_not_go_stops_the_drain_before_one_eviction(
    bench: Bench, pod: Workload, policy: dict[str, object], said: str
) -> None:
    bench.cluster.deploy(pod, Workload("shop", replicas=3))
    seen = await drain(bench, policy=policy)
    assert (seen.outcome, evictions(bench)) == (NodeOutcome.DRAIN_FAILED, 0)
    assert said in str(seen.reason)


async def test_pods_of_daemon_sets_stay_and_the_node_counts_as_empty(bench: Bench) -> None:
    bench.cluster.deploy(Workload("agent", daemon=True), Workload("shop", replicas=3))
    assert (await drain(bench)).done
    assert len(pods_on_node(bench)) == 1
