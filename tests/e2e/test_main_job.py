"""The main job: from the sentinel on a machine to a proven reboot, over several clusters."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.e2e.midwatch import ROOT, Midwatch, leftovers, require_reboot
from tests.kit.kubelet.npd import NpdSettings
from tests.kit.sampler import Sampler

if TYPE_CHECKING:
    from tests.kit.cluster import Cluster
    from tests.kit.fleet import Fleet

_NPD = ROOT / "deploy" / "npd"
_MOST_ACTIVITIES = 12
_MOST_EVENTS = 200


def _run_shipped_plugin(cluster: Cluster) -> None:
    """The real node-problem-detector with the plugin and the rights of `deploy/npd`, in every machine."""
    cluster.plane.apply(_NPD)
    places = {"/custom-config": str(_NPD), "/host/var/run": "/var/run"}
    access = cluster.plane.account_access("midwatch", "midwatch-npd")
    cluster.start_npd(NpdSettings(_NPD / "reboot-required.json", places), access=access)


def test_three_clusters_reboot_exactly_the_nodes_that_ask_for_it(fleet: Fleet) -> None:
    clusters = fleet.create("blue", "green", "red", nodes=4, simulated_npd=False)
    blue, *others = clusters
    _run_shipped_plugin(blue)
    for cluster in others:
        cluster.simulate_npd()
    waiting = [f"{cluster.name}-{n}" for cluster in clusters for n in (1, 3)]
    for cluster in clusters:
        cluster.deploy_daemons("agent")
        cluster.deploy("shop", 6, min_available=5)
        require_reboot(cluster, *(name for name in waiting if name in cluster.machines), packages=["libc6", "linux"])
    midwatch = Midwatch(fleet)

    with ExitStack() as watching:
        samplers = [watching.enter_context(Sampler(cluster)) for cluster in clusters]
        run = midwatch.patch()

    assert run.outcome == "completed"
    assert run.outcomes == dict.fromkeys(waiting, "rebooted")
    for cluster, sampler in zip(clusters, samplers, strict=True):
        assert cluster.boots == {f"{cluster.name}-1": 1, f"{cluster.name}-3": 1}
        assert sampler.violations == []
        assert sampler.timeline.one_at_a_time()
        assert leftovers(cluster) == []
    spans = [sampler.timeline.whole() for sampler in samplers]
    assert all(a.overlaps(b) for a in spans for b in spans), "clusters are patched in parallel"
    for name, node in run.nodes.items():
        machine = fleet.clusters[name.split("-")[0]].machines[name]
        assert (node["kernelAfter"], node["bootIDAfter"]) == (machine.kernel, machine.boot_id)
        assert node["kernelBefore"] != node["kernelAfter"]
        assert node["packages"] == ["libc6", "linux"]
        assert node["phase"] == "ended"


def test_a_node_costs_few_activities_and_a_short_history(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=3)
    cluster.deploy("shop", 6, min_available=5)
    require_reboot(cluster, *cluster.machines)
    midwatch = Midwatch(fleet)
    run = midwatch.patch()
    assert run.outcomes == dict.fromkeys(cluster.machines, "rebooted")
    for name in cluster.machines:
        cost = midwatch.costs(f"{run.id}:blue:{name}")
        assert sum(cost.activities.values()) <= _MOST_ACTIVITIES, cost
        assert cost.events <= _MOST_EVENTS, cost
    whole = midwatch.costs(run.id)
    assert sum(whole.activities.values()) <= _MOST_ACTIVITIES * 3 + 3, whole


def test_a_dry_run_says_what_it_would_do_and_touches_nothing(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=2)
    require_reboot(cluster, "blue-1")
    midwatch = Midwatch(fleet)
    versions = [node.metadata.annotations for node in cluster.nodes()]
    run = midwatch.patch("--dry-run", "--reason", "a look")
    assert (run.outcome, run.data["dryRun"], run.data["reason"]) == ("nothing-to-do", True, "a look")
    assert run.outcomes == {"blue-1": "skipped"}
    assert run.reason("blue-1").startswith("dry-run")
    assert cluster.boots == {}
    assert [node.metadata.annotations for node in cluster.nodes()] == versions
    writes = {event.verb for event in cluster.audit_events("midwatch")} - {"get", "list", "watch"}
    assert writes == set()


def test_only_the_named_node_is_rebooted(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=2)
    require_reboot(cluster, *cluster.machines)
    run = Midwatch(fleet).patch("--node", "blue-1")
    assert run.outcomes == {"blue-1": "rebooted"}
    assert cluster.boots == {"blue-1": 1}


def test_a_cluster_whose_authority_lacks_key_identifiers_works(fleet: Fleet) -> None:
    [cluster] = fleet.create("bare", nodes=1, bare_ca=True)
    require_reboot(cluster, "bare-0")
    run = Midwatch(fleet).patch()
    assert run.outcomes == {"bare-0": "rebooted"}
    assert leftovers(cluster) == []


def test_without_a_node_that_asks_there_is_nothing_to_do(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    cluster.wait_condition("blue-0", "False")
    done = Midwatch(fleet).run()
    assert (done.code, done.json["outcome"]) == (0, "nothing-to-do")
    assert leftovers(cluster) == []
