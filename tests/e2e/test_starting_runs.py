"""How runs start: by the timer, over HTTP, one at a time, and one on a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.midwatch import Midwatch, Run, hosted, leftovers, objects, require_reboot
from tests.kit import workloads
from tests.kit.background import until
from tests.kit.kubelet.pods import STOP_SECONDS

if TYPE_CHECKING:
    from tests.kit.api import JsonObject
    from tests.kit.fleet import Fleet

_EVERY_TWO_SECONDS = "*/2 * * * * *"


def test_the_timer_starts_a_run(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=2)
    require_reboot(cluster, "blue-0")
    with hosted(Midwatch(fleet), schedule=_EVERY_TWO_SECONDS) as host:
        until(lambda: cluster.boots, "the reboot")
        until(lambda: [r for r in _runs(host.get("runs")) if r.outcome == "completed"], "the run's end")
        first = min(_runs(host.get("runs")), key=lambda run: run.id)
        assert (first.data["trigger"], first.outcome) == ("timer", "completed")
        assert host.view(first.id).outcomes == {"blue-0": "rebooted"}
    assert cluster.boots == {"blue-0": 1}


def test_http_starts_a_run_and_a_second_start_is_refused_with_the_id_of_the_first(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=2)
    cluster.deploy("slow", 2, template=_slow())
    require_reboot(cluster, "blue-0")
    with hosted(Midwatch(fleet)) as host:
        run = host.start_run(clusters=["blue"], nodes=["blue-0"], reason="CVE night")
        code, problem = host.ask("POST", "runs", {})
        assert (code, problem["code"]) == (409, "run-in-progress")
        assert run in str(problem["detail"])
        assert problem["runId"] == run
        ended = host.wait_end(run)
        assert (ended.outcome, ended.data["trigger"], ended.data["reason"]) == ("completed", "http", "CVE night")
        assert ended.outcomes == {"blue-0": "rebooted"}
        code, problem = host.ask("POST", f"runs/{run}/cancel")
        assert (code, problem["code"]) == (409, "run-ended")
        again = host.start_run()
        assert host.wait_end(again).outcome == "nothing-to-do"
    assert cluster.boots == {"blue-0": 1}


def test_of_two_hosts_at_once_on_one_cluster_one_gets_busy(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=2)
    cluster.deploy("slow", 2, template=_slow())
    require_reboot(cluster, *cluster.machines)
    midwatch = Midwatch(fleet)
    with hosted(midwatch) as one, hosted(midwatch, state=midwatch.folder / "other") as other:
        runs = [one.start_run(), other.start_run()]
        ended = [one.wait_end(runs[0]), other.wait_end(runs[1])]
    by_outcome = {str(run.clusters["blue"]["outcome"]): run for run in ended}
    assert set(by_outcome) == {"completed", "busy"}
    assert by_outcome["completed"].id in by_outcome["busy"].error("blue")
    assert by_outcome["busy"].nodes == {}
    assert cluster.boots == {"blue-0": 1, "blue-1": 1}
    assert leftovers(cluster) == []


def test_a_cancelled_run_puts_the_node_back_before_its_reboot(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=2)
    cluster.deploy("shop", 2, min_available=2)
    require_reboot(cluster, *cluster.machines)
    with hosted(Midwatch(fleet, drain={"timeout": "5m"})) as host:
        run = host.start_run()
        until(lambda: "PodDisruptionBudget default/shop" in str(host.view(run).nodes), "the PDB in the run's view")
        code, _ = host.ask("POST", f"runs/{run}/cancel")
        assert code == 202
        ended = host.wait_end(run)
    assert ended.outcome == "cancelled"
    assert set(ended.outcomes.values()) == {"cancelled"}
    assert len(ended.outcomes) == 2
    assert cluster.boots == {}
    assert leftovers(cluster) == []


def _slow() -> JsonObject:
    """Pods that take a while to end, so that there is time to look."""
    return workloads.pod_template("slow", annotations={STOP_SECONDS: "3"})


def _runs(page: JsonObject) -> list[Run]:
    return [Run(item) for item in objects(page["runs"])]
