"""The main job: ten nodes, one at a time, against the least that it can take; and what one node costs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from tests.bench import raw
from tests.bench.figures import Figure
from tests.e2e.midwatch import Midwatch, Run, leftovers, require_reboot
from tests.kit.background import until
from tests.kit.kubelet.node import NodeSpec
from tests.kit.machines.machine import Behaviour
from tests.kit.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kit.cluster import Cluster
    from tests.kit.fleet import Fleet

_NODES = 10
_PODS_PER_NODE = 33
_REBOOT_SECONDS = 5.0
_MAKESPAN_GOAL = 1.25
_ACTIVITIES_GOAL = 12
_EVENTS_GOAL = 200


def measure(fleet: Fleet) -> Iterator[Figure]:
    """Reboot ten nodes, of 33 pods and a reboot of 5 s each, without pauses.

    The lower bound is N x reboot, and the raw drains of the same nodes, one after the other, just before.
    """
    specs = [NodeSpec(f"node-{n:02}") for n in range(_NODES + 1)]  # no name may begin with another: `costs`
    [cluster] = fleet.create("blue", nodes=specs, behaviour=Behaviour(boot_seconds=_REBOOT_SECONDS))
    cluster.deploy_daemons("agent")
    total = _PODS_PER_NODE * (_NODES + 1)
    cluster.deploy("load", total)
    names = sorted(cluster.machines)[:_NODES]
    drains = [_drain_raw(cluster, name, total) for name in names]
    require_reboot(cluster, *names)
    midwatch = Midwatch(fleet, nodes={"order": "name"}, drain={"timeout": "2m"}, reboot={"timeout": "1m"})
    with Sampler(cluster) as sampler:
        run = midwatch.patch(seconds=600)
    assert run.outcomes == dict.fromkeys(names, "rebooted"), run.data
    assert cluster.boots == dict.fromkeys(names, 1)
    assert (sampler.violations, leftovers(cluster)) == ([], [])
    bound = sum(drains) + _NODES * _REBOOT_SECONDS
    held = sum(span.end - span.start for spans in sampler.timeline.held().values() for span in spans)
    print(f"  raw drains {sum(drains):.1f} s, bound {bound:.1f} s, run {_seconds(run):.1f} s, nodes held {held:.1f} s")
    costs = [midwatch.costs(f"{run.id}:blue:{name}") for name in names]
    yield Figure("activities", max(sum(cost.activities.values()) for cost in costs), _ACTIVITIES_GOAL, "per node")
    yield Figure("events", max(cost.events for cost in costs), _EVENTS_GOAL, "per node")
    yield Figure("makespan", _seconds(run) / bound, _MAKESPAN_GOAL)


def _drain_raw(cluster: Cluster, name: str, total: int) -> float:
    seconds = raw.drain(cluster, name)
    cluster.cordon(name, on=False)
    until(lambda: sum(pod.ready for pod in cluster.pods("load")) == total, "all pods again", every=0.3)
    return seconds


def _seconds(run: Run) -> float:
    began, ended = (datetime.fromisoformat(str(run.data[key])) for key in ("startedAt", "endedAt"))
    return (ended - began).total_seconds()
