"""Whose clusters a command works on: other kubeconfigs, hosts to attach to, signals, crashes; on simulated clusters."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import yaml

from midwatch.simulator import SimulatedCluster, SimulatedFleet, Workload
from tests.e2e.midwatch import Run
from tests.forked import call, end, start
from tests.kit.background import until
from tests.kit.objects import Node

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.process import BaseProcess
    from pathlib import Path

_POLICY = {
    "apiVersion": "midwatch/v1",
    "nodes": {"settle": "0s"},
    "drain": {"timeout": "10s", "misconfiguredTimeout": None},
    "verify": {"stableFor": "0s"},
}


@pytest.fixture
def fleet() -> Iterator[SimulatedFleet]:
    """Two clusters; in `blue` a PDB holds up the drain of a node for good."""
    with SimulatedFleet(scale=0) as made:
        blue, green = made.create("blue", "green", nodes=2)
        blue.deploy(Workload("shop", replicas=2, min_available=2))
        for cluster in (blue, green):
            cluster.create_namespace("midwatch")
            cluster.require_reboot(f"{cluster.name}-0", "linux-image")
        made.quiesce()
        yield made


class _Setup:
    """A kubeconfig, a policy and a state directory of its own."""

    def __init__(self, fleet: SimulatedFleet, folder: Path) -> None:
        self.folder = folder
        self.kubeconfig = fleet.kubeconfig(folder / "kubeconfig")
        self.other = folder / "other"
        self.other.write_text(self.kubeconfig.read_text())
        policy = folder / "policy.yaml"
        policy.write_text(yaml.safe_dump(_POLICY))
        self.state = ["--state", str(folder / "state")]
        self.flags = ["--kubeconfig", str(self.kubeconfig), "--policy", str(policy), *self.state]
        self.output = folder / "log"

    def start(self, *args: str) -> BaseProcess:
        """`midwatch` in the background."""
        return start(*args, log=self.output)


@pytest.fixture
def setup(fleet: SimulatedFleet, tmp_path: Path) -> _Setup:
    """What the commands are given."""
    return _Setup(fleet, tmp_path)


def _cordoned(cluster: SimulatedCluster) -> list[str]:
    nodes = [Node.model_validate(doc) for doc in cluster.objects("v1", "Node")]
    return [node.metadata.name for node in nodes if node.spec.unschedulable]


def _kill_in_the_drain(fleet: SimulatedFleet, setup: _Setup, how: signal.Signals) -> None:
    command = setup.start("run", "--context", "blue", *setup.flags)
    until(lambda: _cordoned(fleet.clusters["blue"]), "the drain")
    end(command, how)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_told_to_end_puts_its_node_back_first(
    fleet: SimulatedFleet, setup: _Setup, ending: signal.Signals
) -> None:
    _kill_in_the_drain(fleet, setup, ending)
    assert _cordoned(fleet.clusters["blue"]) == []
    assert "stopping run" in setup.output.read_text()


def test_a_cancel_after_a_crash_finds_the_kubeconfig_that_the_run_began_with(
    fleet: SimulatedFleet, setup: _Setup
) -> None:
    _kill_in_the_drain(fleet, setup, signal.SIGKILL)
    assert _cordoned(fleet.clusters["blue"]) == ["blue-0"]
    assert call("cancel", *setup.state, env={"HOME": str(setup.folder)}).code == 0
    assert _cordoned(fleet.clusters["blue"]) == []


def test_an_unfinished_run_is_not_resumed_under_another_kubeconfig(fleet: SimulatedFleet, setup: _Setup) -> None:
    _kill_in_the_drain(fleet, setup, signal.SIGKILL)
    done = call("status", "--resume", *setup.state, env={"KUBECONFIG": str(setup.other)})
    assert (done.code, done.stdout) == (2, "")
    assert str(setup.other) in done.stderr
    assert _cordoned(fleet.clusters["blue"]) == ["blue-0"]
    shown = call("status", *setup.state, env={"KUBECONFIG": str(setup.other)})
    assert "stands still" in shown.stderr


def test_a_context_that_leads_elsewhere_by_now_is_not_touched(fleet: SimulatedFleet, setup: _Setup) -> None:
    _kill_in_the_drain(fleet, setup, signal.SIGKILL)
    green = fleet.clusters["green"]
    before = dict(green.calls)
    swapped = setup.kubeconfig.read_text().replace(fleet.clusters["blue"].server, green.server)
    setup.kubeconfig.write_text(swapped)
    command = setup.start("status", "--resume", *setup.state)
    try:
        until(lambda: "and this began at" in setup.output.read_text(), "the refusal", seconds=60)
    finally:
        end(command)
    assert green.calls == before


def test_a_command_does_not_attach_to_a_host_with_other_settings(setup: _Setup) -> None:
    host = setup.start("up", *setup.flags, "--port", "0")
    try:
        until(lambda: "midwatch" in setup.output.read_text(), "the host")
        refused = call("run", "--context", "blue", "--dry-run", *setup.state, env={"KUBECONFIG": str(setup.other)})
        assert (refused.code, refused.stdout) == (2, "")
        assert str(setup.other) in refused.stderr
        agreed = call("run", "--context", "green", "--dry-run", *setup.state, "--output", "json")
        assert Run(agreed.json).outcomes == {"green-0": "skipped"}
    finally:
        end(host)


def test_a_plan_says_what_a_run_would_do_and_what_blocks_it_and_touches_nothing(
    fleet: SimulatedFleet, setup: _Setup
) -> None:
    clusters = ("--context", "blue", "--context", "green")
    planned = call("plan", *setup.flags, *clusters, "-o", "json")
    assert planned.code == 0, planned.stderr
    plan = Run(planned.json)
    assert (plan.data["dryRun"], plan.outcomes) == (True, {"blue-0": "skipped", "green-0": "skipped"})
    assert plan.reason("blue-0").startswith("dry-run")
    assert "shop" in plan.reason("blue-0"), "the budget that would hold up the drain"
    assert all(cluster.boots == {} for cluster in fleet.clusters.values())


def test_one_cluster_under_two_names_is_refused(fleet: SimulatedFleet, setup: _Setup) -> None:
    whole = yaml.safe_load(setup.kubeconfig.read_text())
    blue = next(context for context in whole["contexts"] if context["name"] == "blue")
    whole["contexts"].append({**blue, "name": "blue-admin"})
    setup.kubeconfig.write_text(yaml.safe_dump(whole))
    done = call("run", "--context", "blue", "--context", "blue-admin", *setup.flags)
    assert (done.code, done.stdout) == (2, "")
    assert "one and the same" in done.stderr
    assert _cordoned(fleet.clusters["blue"]) == []


def test_a_folder_with_other_things_in_it_is_no_state_directory(setup: _Setup) -> None:
    foreign = setup.folder / "foreign"
    foreign.mkdir()
    (foreign / "host.json").write_text("{}")
    for given in (str(foreign), "", ".", str(foreign / "host.json")):
        done = call("status", "--state", given)
        assert (done.code, done.stdout) == (2, ""), given
        assert done.stderr.count("\n") == 1, done.stderr
    assert (foreign / "host.json").read_text() == "{}"


def test_commands_at_the_same_moment_wait_for_each_other(setup: _Setup) -> None:
    commands = [setup.start("run", "--context", "green", "--dry-run", *setup.flags)]
    commands += [setup.start("status", "--list", *setup.state) for _ in range(3)]
    for command in commands:
        command.join(120)
    assert [command.exitcode for command in commands] == [0, 0, 0, 0], setup.output.read_text()
