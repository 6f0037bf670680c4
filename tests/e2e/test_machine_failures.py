"""Machines that do not take their reboot well: each gets its outcome, and nothing is left on any node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.midwatch import Midwatch, leftovers, require_reboot
from tests.kit.background import until
from tests.kit.kubelet.node import NodeSpec
from tests.kit.sampler import Sampler

if TYPE_CHECKING:
    from tests.kit.fleet import Fleet
    from tests.kit.machines.machine import BehaviourChange

_LATE_SECONDS = 18.0
_BAD: dict[str, tuple[BehaviourChange, str, str]] = {
    "healthy": ({}, "rebooted", ""),
    "deaf": ({"ignores_reboot": True}, "reboot-failed", "same-boot: "),
    "slow": ({"boot_seconds": 6.0}, "rebooted", ""),
    "late": ({"boot_seconds": _LATE_SECONDS}, "not-ready", "not-ready: "),
    "lost": ({"returns": False}, "not-ready", "not-ready: "),
    "crashed": ({"clean": False}, "rebooted", ""),
    "deleted": ({"deleted_while_down": True}, "gone", "gone: "),
    "stubborn": ({"keeps_sentinel": True}, "still-required", "still-set: RebootRequired is True"),
}
"""Machine -> how it takes its reboot, its outcome, and what its reason says."""


def test_each_failure_of_a_machine_has_its_outcome_and_leaves_nothing_behind(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=[NodeSpec(name) for name in _BAD])
    for name, (change, _, _) in _BAD.items():
        cluster.machines[name].behave(**change)
    require_reboot(cluster, *_BAD)
    midwatch = Midwatch(fleet, nodes={"maxUnavailable": len(_BAD)}, reboot={"timeout": "12s"})
    run = midwatch.patch()
    assert run.outcomes == {name: outcome for name, (_, outcome, _) in _BAD.items()}
    assert {name: run.reason(name) for name, (_, _, said) in _BAD.items() if said not in run.reason(name)} == {}
    assert [run.reason(name) for name, (_, _, said) in _BAD.items() if not said] == ["", "", ""]
    assert (run.code, run.outcome) == (1, "completed-with-failures")
    assert leftovers(cluster) == []
    until(lambda: cluster.node("late").ready, "the late machine", seconds=_LATE_SECONDS)
    assert {name: machine.signals for name, machine in cluster.machines.items()} == dict.fromkeys(_BAD, 1)
    assert max(cluster.boots.values()) == 1


def test_a_machine_that_is_gone_for_good_keeps_the_budget_spent(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=3)
    cluster.machines["blue-0"].behave(returns=False)
    require_reboot(cluster, "blue-0", "blue-1")
    with Sampler(cluster) as sampler:
        run = Midwatch(fleet, nodes={"order": "name"}, reboot={"timeout": "5s"}).patch()
    assert (run.outcome, run.outcomes) == ("halted", {"blue-0": "not-ready", "blue-1": "skipped"})
    assert "blue-0" in run.reason("blue-1")
    assert cluster.boots == {}
    assert sampler.violations == []
    assert leftovers(cluster) == []
