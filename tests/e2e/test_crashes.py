"""`kill -9` of the whole host: after a restart the run goes on, and no node reboots twice."""

from __future__ import annotations

import json
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.e2e.midwatch import PROGRAM, ROOT, Midwatch, call, hosted, leftovers, require_reboot
from tests.kit import background, workloads
from tests.kit.background import until
from tests.kit.kubelet.pods import STOP_SECONDS
from tests.kit.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kit.cluster import Cluster
    from tests.kit.fleet import Fleet

_FIRST = "blue-0"


def _drains(cluster: Cluster) -> bool:
    return any(pod.metadata.deletion_timestamp for pod in cluster.pods("slow"))


def _is_down(cluster: Cluster) -> bool:
    return cluster.machines[_FIRST].signals == 1 and not cluster.node(_FIRST).ready


def _is_back(cluster: Cluster) -> bool:
    node, machine = cluster.node(_FIRST), cluster.machines[_FIRST]
    return machine.boots == 1 and node.ready and node.status.node_info.boot_id == machine.boot_id


@pytest.fixture
def cluster(fleet: Fleet) -> Cluster:
    """Three nodes, two of which ask for a reboot; pods that take their time to end, and a boot that takes a while."""
    [made] = fleet.create("blue", nodes=3)
    made.machines[_FIRST].behave(boot_seconds=3.0)
    made.deploy("slow", 3, min_available=2, template=workloads.pod_template("slow", annotations={STOP_SECONDS: "1.5"}))
    require_reboot(made, _FIRST, "blue-1")
    return made


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(_drains, id="in mid-drain"),
        pytest.param(_is_down, id="between reboot and Ready"),
        pytest.param(_is_back, id="after Ready"),
    ],
)
def test_a_killed_host_finishes_after_its_restart_and_each_node_reboots_once(
    fleet: Fleet, cluster: Cluster, moment: Callable[[Cluster], bool]
) -> None:
    midwatch = Midwatch(fleet, nodes={"order": "name"}, verify={"stableFor": "3s"}, reboot={"timeout": "60s"})
    with Sampler(cluster) as sampler, hosted(midwatch) as host:
        run = host.start_run()
        until(lambda: moment(cluster), "the moment to kill it")
        host.kill()
        assert not cluster.node("blue-1").spec.unschedulable, "the second node had not begun"
        host.start()
        ended = host.wait_end(run)
    assert ended.outcomes == {_FIRST: "rebooted", "blue-1": "rebooted"}, json.dumps(ended.data)
    assert cluster.boots == {_FIRST: 1, "blue-1": 1}
    assert {name: machine.signals for name, machine in cluster.machines.items()} == {
        _FIRST: 1, "blue-1": 1, "blue-2": 0,
    }  # fmt: skip
    assert sampler.violations == []
    assert leftovers(cluster) == []
    assert _evicted_twice(cluster) == []


def test_status_resume_finishes_what_a_killed_command_left(fleet: Fleet, cluster: Cluster) -> None:
    midwatch = Midwatch(fleet, nodes={"order": "name"})
    command = background.spawn([PROGRAM, "run", *midwatch.flags], log=midwatch.folder / "run.log", cwd=ROOT)
    try:
        until(lambda: _is_down(cluster), "the reboot")
    finally:
        background.end(command, signal.SIGKILL)
    refused = midwatch.run()
    assert (refused.code, refused.stdout) == (3, "")
    assert "status --resume" in refused.stderr
    done = call("status", "--resume", *midwatch.flags, "--output", "json", seconds=120)
    assert (done.code, done.json["outcome"]) == (0, "completed")
    assert cluster.boots == {_FIRST: 1, "blue-1": 1}
    assert leftovers(cluster) == []


def _evicted_twice(cluster: Cluster) -> list[str]:
    """Pods whose eviction the API server granted more than once; their names are never used again."""
    granted = Counter(
        event.name
        for event in cluster.audit_events("midwatch")
        if (event.verb, event.resource, event.subresource, event.code) == ("create", "pods", "eviction", 201)
    )
    return [name for name, count in granted.items() if count > 1]
