"""The drain on a real API server: budgets that open one at a time, deadlines, escalation, other people's hands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.midwatch import Midwatch, hosted, leftovers, objects, require_reboot
from tests.kit import workloads
from tests.kit.api import MERGE_PATCH
from tests.kit.background import until
from tests.kit.kubelet.pods import RUN_SECONDS, STOP_SECONDS
from tests.kit.sampler import Sampler

if TYPE_CHECKING:
    from tests.e2e.midwatch import Host
    from tests.kit.api import JsonObject
    from tests.kit.cluster import Cluster
    from tests.kit.fleet import Fleet

_NODE = "blue-0"
_EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"


def _on(cluster: Cluster, app: str, node: str = _NODE) -> list[str]:
    return [pod.metadata.name for pod in cluster.pods(app) if pod.spec.node_name == node]


def _events(cluster: Cluster, reason: str) -> list[str]:
    found = cluster.api.get("/api/v1/namespaces/default/events", fieldSelector=f"reason={reason}")["items"]
    return [str(event["message"]) for event in objects(found)]


def test_a_node_of_110_pods_behind_five_budgets_that_open_one_at_a_time_costs_four_calls_a_pod(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=3)
    cluster.cordon("blue-1")
    cluster.cordon("blue-2")
    for n in range(5):
        cluster.deploy(f"shop-{n}", 22, min_available=21)
    cluster.cordon("blue-1", on=False)
    cluster.cordon("blue-2", on=False)
    require_reboot(cluster, _NODE)
    midwatch = Midwatch(fleet, drain={"timeout": "2m"})
    with Sampler(cluster) as sampler:
        run = midwatch.patch()
    assert run.outcomes == {_NODE: "rebooted"}, run.data
    assert sampler.violations == []
    mine = cluster.audit_events("midwatch")
    evictions = [event for event in mine if event.subresource == "eviction"]
    refused = [event for event in evictions if event.code == 429]
    print(f"{len(mine)} calls for 110 pods, {len(evictions)} evictions of which {len(refused)} were refused")
    assert len(mine) < 4 * 110
    assert len([event for event in evictions if event.code == 201]) == 110
    assert leftovers(cluster) == []


def test_two_budgets_on_one_pod_are_both_named_and_the_api_is_asked_once(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    cluster.deploy("shop", 1, min_available=0)
    second = workloads.budget("shop", min_available=0)
    path = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    cluster.api.create(path, {**second, "metadata": {"name": "other"}})
    require_reboot(cluster, _NODE)
    run = Midwatch(fleet, drain={"misconfiguredTimeout": "3s"}).patch()
    assert run.outcomes == {_NODE: "drain-failed"}
    assert run.reason(_NODE).startswith("misconfigured-timeout: ")
    assert "two-budgets: " in run.reason(_NODE)
    assert "default/other, default/shop" in run.reason(_NODE)
    assert len([e for e in cluster.audit_events("midwatch") if e.subresource == "eviction"]) == 1
    assert leftovers(cluster) == []


def test_a_budget_that_can_never_allow_fails_the_drain_long_before_its_deadline(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    cluster.deploy("shop", 2, min_available=2)
    require_reboot(cluster, _NODE)
    run = Midwatch(fleet, drain={"timeout": "2m", "misconfiguredTimeout": "2s"}).patch(seconds=60)
    assert run.outcomes == {_NODE: "drain-failed"}
    assert "budget-never: PodDisruptionBudget default/shop" in run.reason(_NODE)
    assert [pod.metadata.deletion_timestamp for pod in cluster.pods("shop")] == [None, None]


def test_at_the_deadline_pods_are_deleted_where_the_policy_says_so_and_each_is_named(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    cluster.deploy("shop", 2, min_available=2)
    require_reboot(cluster, _NODE)
    names = _on(cluster, "shop")
    run = Midwatch(
        fleet, drain={"onTimeout": "delete", "deleteGracePeriod": "1s", "misconfiguredTimeout": "2s"}
    ).patch()
    assert run.outcomes == {_NODE: "rebooted"}
    assert "deleted at the deadline: " in run.reason(_NODE)
    assert [name for name in names if name not in run.reason(_NODE)] == []
    assert leftovers(cluster) == []


def test_at_the_deadline_the_node_is_rebooted_anyway_where_the_policy_says_so(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    cluster.deploy("shop", 1, min_available=1)
    require_reboot(cluster, _NODE)
    [name] = _on(cluster, "shop")
    run = Midwatch(fleet, drain={"onTimeout": "reboot-anyway", "timeout": "3s"}).patch()
    assert run.outcomes == {_NODE: "rebooted"}
    assert "drain-timeout: rebooted anyway, with Pod " in run.reason(_NODE)
    assert name in run.reason(_NODE)
    assert _on(cluster, "shop") == [name]
    assert cluster.boots == {_NODE: 1}
    assert leftovers(cluster) == []


def test_a_pod_that_will_not_die_has_a_deadline_of_its_own(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    cluster.deploy("shop", 1)
    [name] = _on(cluster, "shop")
    path = f"/api/v1/namespaces/default/pods/{name}"
    cluster.api.patch(path, {"metadata": {"finalizers": ["kit/stay"]}}, MERGE_PATCH)
    require_reboot(cluster, _NODE)
    try:
        drain: dict[str, object] = {"timeout": "2m", "terminationTimeout": "2s", "gracePeriod": "1s"}
        run = Midwatch(fleet, drain=drain).patch(seconds=60)
    finally:
        cluster.api.patch(path, {"metadata": {"finalizers": None}}, MERGE_PATCH)
    assert run.outcomes == {_NODE: "drain-failed"}
    assert run.reason(_NODE).startswith("termination-timeout: ")
    assert f"Pod default/{name} (stuck: " in run.reason(_NODE)


def test_a_pod_that_has_been_terminating_for_too_long_is_left_aside_and_named(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    cluster.deploy("shop", 1)
    [name] = _on(cluster, "shop")
    path = f"/api/v1/namespaces/default/pods/{name}"
    cluster.api.patch(path, {"metadata": {"finalizers": ["kit/stay"]}}, MERGE_PATCH)
    cluster.api.delete(path, grace_seconds=1)
    require_reboot(cluster, _NODE)
    try:
        run = Midwatch(fleet, drain={"skipWaitForDeleteTimeout": "1s"}).patch()
    finally:
        cluster.api.patch(path, {"metadata": {"finalizers": None}}, MERGE_PATCH)
    assert run.outcomes == {_NODE: "rebooted"}
    assert f"stayed on the node: Pod default/{name} (terminating-too-long)" in run.reason(_NODE)


def test_labels_rules_and_the_selector_say_what_goes_what_stays_and_what_is_waited_for(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    cluster.deploy("plain", 1)
    cluster.deploy("kept", 1)
    bare = workloads.pod_template("batch", annotations={RUN_SECONDS: "20"})  # past the slowest start of a run
    inner = bare["spec"]
    assert isinstance(inner, dict)
    body = workloads.bare_pod("job", _NODE, {**bare, "spec": {**inner, "restartPolicy": "Never"}})
    cluster.create_pod(body)
    [kept] = _on(cluster, "kept")
    patch: JsonObject = {"metadata": {"labels": {"cluster.x-k8s.io/drain": "skip"}}}
    cluster.api.patch(f"/api/v1/namespaces/default/pods/{kept}", patch, MERGE_PATCH)
    require_reboot(cluster, _NODE)
    rules = [{"select": {"app": "batch"}, "action": "wait"}]
    run = Midwatch(fleet, drain={"rules": rules, "timeout": "1m"}).patch()
    assert run.outcomes == {_NODE: "rebooted"}
    assert _on(cluster, "kept") == [kept], "it stayed through the reboot"
    evicted = [e.name for e in cluster.audit_events("midwatch") if e.subresource == "eviction" and e.code == 201]
    assert kept not in evicted
    assert evicted[-1] == "job", "it was removed when it had completed"


def test_pods_go_in_waves_by_their_order(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    slow = workloads.pod_template("first", annotations={STOP_SECONDS: "1"})
    cluster.deploy("first", 2, template=slow)
    cluster.deploy("last", 2)
    require_reboot(cluster, _NODE)
    first, last = _on(cluster, "first"), _on(cluster, "last")
    gone: list[bool] = []
    midwatch = Midwatch(fleet, drain={"rules": [{"select": {"app": "last"}, "order": 10}], "timeout": "1m"})
    with hosted(midwatch) as host:
        run = host.start_run()

        def last_one_goes() -> bool:
            pods = {pod.metadata.name: pod.metadata.deletion_timestamp for pod in cluster.pods()}
            if any(pods.get(name) is not None or name not in pods for name in last):
                gone.append(not any(name in pods for name in first))
                return True
            return False

        until(last_one_goes, "the last wave")
        assert host.wait_end(run).outcomes == {_NODE: "rebooted"}
    assert gone == [True]


def test_a_node_that_somebody_uncordons_is_cordoned_again_three_times_and_then_left_to_them(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    cluster.deploy("shop", 1, min_available=1)
    require_reboot(cluster, _NODE)
    midwatch = Midwatch(fleet, drain={"timeout": "5m", "misconfiguredTimeout": None})
    with hosted(midwatch) as host:
        run = host.start_run()
        until(lambda: cluster.node(_NODE).spec.unschedulable, "the cordon")
        for _ in range(3):
            cluster.cordon(_NODE, on=False)
            until(lambda: cluster.node(_NODE).spec.unschedulable, "the next cordon", seconds=60)
        cluster.cordon(_NODE, on=False)
        ended = host.wait_end(run)
    assert ended.outcomes == {_NODE: "drain-failed"}
    assert ended.reason(_NODE).startswith("uncordoned: ")
    assert len(_events(cluster, "MidwatchCordonedAgain")) == 3
    assert leftovers(cluster) == []


@pytest.mark.parametrize("theirs", [False, True], ids=["ours", "somebody else's"])
def test_the_label_for_load_balancers_is_set_before_the_drain_and_removed_only_if_ours(
    fleet: Fleet, *, theirs: bool
) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    if theirs:
        cluster.api.patch(f"/api/v1/nodes/{_NODE}", {"metadata": {"labels": {_EXCLUDE: ""}}}, MERGE_PATCH)
    cluster.deploy("shop", 1)
    require_reboot(cluster, _NODE)
    drain: dict[str, object] = {"excludeFromLoadBalancers": True, "loadBalancerWait": "2s"}
    with hosted(Midwatch(fleet, drain=drain)) as host:
        run = host.start_run()
        until(lambda: _EXCLUDE in cluster.node(_NODE).metadata.labels, "the label")
        if not theirs:
            assert [pod.metadata.deletion_timestamp for pod in cluster.pods("shop")] == [None]
        assert host.wait_end(run).outcomes == {_NODE: "rebooted"}
    assert (_EXCLUDE in cluster.node(_NODE).metadata.labels) is theirs


def test_a_pod_that_delays_the_drain_for_a_minute_is_shown_with_its_reason_and_told_once_on_the_node(
    fleet: Fleet,
) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    cluster.deploy("shop", 1, min_available=1)
    require_reboot(cluster, _NODE)
    [name] = _on(cluster, "shop")
    midwatch = Midwatch(fleet, drain={"timeout": "100s", "misconfiguredTimeout": None})
    with hosted(midwatch) as host:
        run = host.start_run()
        until(lambda: _events(cluster, "MidwatchDrainDelayed"), "the event", seconds=95)
        [waiting] = _waiting(host, run)
        assert (waiting["kind"], waiting["namespace"], waiting["name"]) == ("Pod", "default", name)
        assert "PodDisruptionBudget default/shop" in str(waiting["because"])
        assert waiting["since"] is not None
        assert host.wait_end(run).outcomes == {_NODE: "drain-failed"}
    [told] = _events(cluster, "MidwatchDrainDelayed")
    assert name in told
    assert "PodDisruptionBudget default/shop" in told


def _waiting(host: Host, run: str) -> list[JsonObject]:
    return objects(host.view(run).nodes[_NODE]["waitingFor"])
