"""What Midwatch leaves alone: people's cordons, budgets that say no, Windows nodes, clusters that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.midwatch import Midwatch, leftovers, require_reboot
from tests.kit import workloads
from tests.kit.controlplane import kubeconfig
from tests.kit.fleet import numbered
from tests.kit.sampler import Sampler

if TYPE_CHECKING:
    from tests.kit.fleet import Fleet

_CLOSED = "https://127.0.0.1:9"


def test_a_node_that_a_human_cordoned_is_skipped_and_stays_cordoned(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=3)
    require_reboot(cluster, "blue-0", "blue-1")
    cluster.cordon("blue-0")
    with Sampler(cluster) as sampler:
        run = Midwatch(fleet).patch()
    assert run.outcomes == {"blue-0": "skipped", "blue-1": "rebooted"}
    assert run.reason("blue-0").startswith("cordoned")
    assert cluster.boots == {"blue-1": 1}
    assert leftovers(cluster) == ["blue-0 cordoned"]
    assert sampler.violations == []


@pytest.mark.parametrize(
    ("tolerated", "outcome", "code", "others", "boots"),
    [(0, "halted", 3, "skipped", {}), (1, "completed-with-failures", 1, "rebooted", {"blue-1": 1})],
    ids=["no failure is tolerated", "one failure is tolerated"],
)
def test_a_pdb_that_never_allows_fails_the_drain_and_the_failure_budget_decides_on_the_rest(
    fleet: Fleet, tolerated: int, outcome: str, code: int, others: str, boots: dict[str, int]
) -> None:
    [cluster] = fleet.create("blue", nodes=2)
    template = workloads.pod_template("pinned")
    spec = template["spec"]
    assert isinstance(spec, dict)
    cluster.deploy(
        "pinned",
        1,
        min_available=1,
        template={**template, "spec": {**spec, "nodeSelector": {"kubernetes.io/hostname": "blue-0"}}},
    )
    require_reboot(cluster, "blue-0", "blue-1")
    midwatch = Midwatch(
        fleet,
        nodes={"order": "name"},
        drain={"timeout": "4s"},
        failure={"maxFailedNodes": tolerated},
    )
    run = midwatch.patch()
    assert (run.outcome, run.code) == (outcome, code)
    assert run.outcomes == {"blue-0": "drain-failed", "blue-1": others}
    assert "PodDisruptionBudget default/pinned" in run.reason("blue-0")
    assert cluster.boots == boots
    assert [pod.metadata.deletion_timestamp for pod in cluster.pods("pinned")] == [None]
    assert leftovers(cluster) == []


def test_windows_nodes_are_skipped_and_reported(fleet: Fleet) -> None:
    specs = [*numbered("blue", 1), *numbered("win", 1, pool="winpool", os="windows")]
    [cluster] = fleet.create("blue", nodes=specs)
    require_reboot(cluster, "blue-0", "win-0")
    run = Midwatch(fleet, nodes={"select": {}}).patch()
    assert run.outcomes == {"blue-0": "rebooted", "win-0": "skipped"}
    assert "windows" in run.reason("win-0")
    assert cluster.boots == {"blue-0": 1}
    assert cluster.machines["win-0"].executions == []


def test_an_unreachable_cluster_is_reported_and_stops_no_other(fleet: Fleet) -> None:
    blue, gone = fleet.create("blue", "gone", nodes=1)
    require_reboot(blue, "blue-0")
    midwatch = Midwatch(fleet)
    kubeconfig.write(midwatch.kubeconfig, blue.access("midwatch"), gone.access("midwatch", server=_CLOSED))
    run = midwatch.patch()
    assert run.code == 1
    assert {name: cluster["outcome"] for name, cluster in run.clusters.items()} == {
        "blue": "completed",
        "gone": "unreachable",
    }
    assert _CLOSED in run.error("gone")
    assert blue.boots == {"blue-0": 1}
