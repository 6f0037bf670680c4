"""`midwatch drain` and `midwatch uncordon`."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.e2e.midwatch import PROGRAM, ROOT, Done, Midwatch, call, hosted, leftovers, objects, require_reboot
from tests.kit import background, workloads
from tests.kit.background import until
from tests.kit.kubelet.pods import STOP_SECONDS

if TYPE_CHECKING:
    from tests.kit.api import JsonObject
    from tests.kit.cluster import Cluster
    from tests.kit.fleet import Fleet

_NODE = "blue-0"


def _pods(done: Done) -> dict[str, JsonObject]:
    return {str(pod["name"]): pod for pod in objects(done.json["pods"])}


def _names(cluster: Cluster, app: str) -> list[str]:
    return [pod.metadata.name for pod in cluster.pods(app) if pod.spec.node_name == _NODE]


def test_a_drain_leaves_the_node_cordoned_and_an_uncordon_undoes_it(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=2)
    cluster.deploy_daemons("agent")
    cluster.deploy("shop", 4)
    gone, stays = _names(cluster, "shop"), _names(cluster, "agent")
    midwatch = Midwatch(fleet)
    done = midwatch.drain(_NODE)
    assert (done.code, done.json["outcome"], done.json["dryRun"]) == (0, "drained", False), done.stderr
    found = _pods(done)
    assert {name: (found[name]["verdict"], found[name]["result"]) for name in gone} == dict.fromkeys(
        gone, ("evict", "gone")
    )
    assert {name: (found[name]["verdict"], found[name]["reason"]) for name in stays} == dict.fromkeys(
        stays, ("skip", "daemonset")
    )
    assert cluster.node(_NODE).spec.unschedulable
    again = midwatch.drain(_NODE)
    assert (again.code, again.json["outcome"]) == (0, "drained"), "as with kubectl, a drained node can be drained"
    assert midwatch.uncordon(_NODE).code == 0
    assert leftovers(cluster) == []
    assert cluster.boots == {}


def test_a_run_leaves_a_drained_node_alone(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=2)
    require_reboot(cluster, _NODE)
    midwatch = Midwatch(fleet)
    assert midwatch.drain(_NODE).code == 0
    run = midwatch.patch()
    assert run.outcomes == {_NODE: "skipped"}
    assert run.reason(_NODE).startswith("drained: ")
    assert cluster.node(_NODE).spec.unschedulable
    assert midwatch.uncordon(_NODE).code == 0
    assert midwatch.patch().outcomes == {_NODE: "rebooted"}
    assert leftovers(cluster) == []


def test_an_uncordon_leaves_what_a_human_cordoned(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    midwatch = Midwatch(fleet)
    cluster.cordon(_NODE)
    refused = midwatch.uncordon(_NODE)
    assert (refused.code, "kubectl uncordon" in refused.stderr) == (3, True)
    assert midwatch.drain(_NODE).code == 0
    assert midwatch.uncordon(_NODE).code == 0
    assert cluster.node(_NODE).spec.unschedulable, "it was cordoned before the drain"
    assert leftovers(cluster) == [f"{_NODE} cordoned"]
    cluster.cordon(_NODE, on=False)
    assert midwatch.uncordon(_NODE).code == 0


def test_a_dry_run_asks_the_api_server_and_touches_nothing(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    cluster.deploy("shop", 2, min_available=2)
    cluster.deploy("free", 1)
    midwatch = Midwatch(fleet)
    before = cluster.node(_NODE)
    done = midwatch.drain(_NODE, "--dry-run")
    assert (done.code, done.json["outcome"], done.json["dryRun"]) == (0, None, True)
    found = _pods(done)
    assert {str(found[name]["because"]).split(":")[0] for name in _names(cluster, "shop")} == {"budget-never"}
    assert [found[name]["because"] for name in _names(cluster, "free")] == [None]
    assert {pod["result"] for pod in found.values()} == {None}
    assert cluster.node(_NODE).spec == before.spec
    assert cluster.node(_NODE).metadata.annotations == before.metadata.annotations
    assert [pod.metadata.deletion_timestamp for pod in cluster.pods()] == [None] * 3
    writes = {e.subresource for e in cluster.audit_events("midwatch") if e.verb not in {"get", "list", "watch"}}
    assert writes == {"eviction"}


def test_with_a_pod_that_must_not_go_nothing_is_evicted(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    cluster.deploy("shop", 1)
    cluster.create_pod(workloads.bare_pod("alone", _NODE, workloads.pod_template("alone")))
    midwatch = Midwatch(fleet, drain={"force": False})
    done = midwatch.drain(_NODE)
    assert (done.code, done.json["outcome"]) == (1, "drain-failed")
    assert (_pods(done)["alone"]["verdict"], _pods(done)["alone"]["reason"]) == ("error", "unmanaged")
    assert [e for e in cluster.audit_events("midwatch") if e.subresource == "eviction"] == []
    assert cluster.node(_NODE).spec.unschedulable, "as with kubectl"
    assert midwatch.uncordon(_NODE).code == 0
    assert leftovers(cluster) == []


def test_a_drain_that_runs_out_of_time_names_the_pods_and_what_keeps_them(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    cluster.deploy("shop", 1, min_available=1)
    [name] = _names(cluster, "shop")
    done = Midwatch(fleet).drain(_NODE, "--timeout", "3s")
    assert (done.code, done.json["outcome"]) == (1, "drain-failed")
    assert _pods(done)[name]["result"] == "left"
    assert "PodDisruptionBudget default/shop" in str(_pods(done)[name]["because"])


def test_a_drain_is_refused_while_a_run_holds_the_cluster(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=2)
    cluster.deploy("shop", 2, min_available=2)
    require_reboot(cluster, "blue-1")
    midwatch = Midwatch(fleet, drain={"timeout": "5m"})
    with hosted(midwatch, state=midwatch.folder / "other") as host:
        run = host.start_run()
        host.wait_phase(run, "blue-1", "drain")
        done = midwatch.drain(_NODE)
        host.ask("POST", f"runs/{run}/cancel")
        host.wait_end(run)
    assert (done.code, done.stdout == "" or done.json["outcome"] is None) == (3, True)
    assert run in done.stderr
    assert not cluster.node(_NODE).spec.unschedulable


@pytest.mark.parametrize("again", [True, False], ids=["finished by the same command", "refused to a run"])
def test_a_killed_drain_is_finished_and_evicts_nothing_twice(fleet: Fleet, *, again: bool) -> None:
    [cluster] = fleet.create("blue", nodes=2)
    slow = workloads.pod_template("slow", annotations={STOP_SECONDS: "2"})
    cluster.deploy("slow", 8, min_available=6, template=slow)
    # An eviction that the kill cuts off between its two writes keeps the PDB spent for two minutes (disruptedPods).
    midwatch = Midwatch(fleet, drain={"timeout": "4m"})
    command = [PROGRAM, "drain", _NODE, "--context", "blue", *midwatch.flags]
    first = background.spawn(command, log=midwatch.folder / "drain.log", cwd=ROOT)
    try:
        until(lambda: any(pod.metadata.deletion_timestamp for pod in cluster.pods("slow")), "the first eviction")
    finally:
        background.end(first, signal.SIGKILL)
    if not again:
        refused = midwatch.run()
        assert refused.code == 3
        assert f"midwatch drain {_NODE} --context blue" in refused.stderr
        return
    done = midwatch.drain(_NODE)
    assert (done.code, done.json["outcome"]) == (0, "drained"), done.stderr
    events = cluster.audit_events("midwatch")
    granted = Counter(e.name for e in events if (e.subresource, e.code) == ("eviction", 201))
    assert [name for name, count in granted.items() if count > 1] == []
    assert midwatch.uncordon(_NODE).code == 0
    assert leftovers(cluster) == []


def test_an_unknown_node_is_named(fleet: Fleet) -> None:
    fleet.create("blue", nodes=1)
    midwatch = Midwatch(fleet)
    done = call("drain", "bleu-0", "--context", "blue", *midwatch.flags)
    assert (done.code, done.stdout) == (2, "")
    assert "did you mean 'blue-0'" in done.stderr
