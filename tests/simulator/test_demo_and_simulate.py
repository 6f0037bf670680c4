"""`midwatch demo` and `midwatch simulate`, each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
import yaml

from midwatch.cli.demo_fleet import BLOCKED, CORDONED
from midwatch.simulator import SimulatedCluster, SimulatedFleet, Workload
from tests.e2e.midwatch import PROGRAM, Done, Run, objects
from tests.forked import call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kit.api import JsonObject

_POLICY: dict[str, object] = {
    "apiVersion": "midwatch/v1",
    "nodes": {"settle": "0s", "maxUnavailable": 2},
    "drain": {"timeout": "1h", "misconfiguredTimeout": "3s"},
    "reboot": {"timeout": "1h"},
    "verify": {"stableFor": "0s", "conditionClears": "1h"},
}


def _environment(home: Path) -> dict[str, str]:
    """A user with a kubeconfig and a policy of their own, which are not to be looked at."""
    poison = {"KUBECONFIG": str(home / "none"), "MIDWATCH_POLICY": str(home / "none")}
    kept = {name: value for name, value in os.environ.items() if "MIDWATCH" not in name}
    return {**kept, **poison, "HOME": str(home), "XDG_STATE_HOME": str(home), "TMPDIR": str(home), "COLUMNS": "200"}


def _start(home: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([PROGRAM, "demo"], env=_environment(home), stdout=pipe, stderr=pipe, text=True)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[str], Path, float]]:
    """A demo that runs while the tests of the simulation do, its home, and when it began."""
    home = tmp_path_factory.mktemp("home")
    process = _start(home)
    yield process, home, time.monotonic()
    if process.poll() is None:
        process.kill()
        process.communicate()


def _source(fleet: SimulatedFleet) -> SimulatedCluster:
    [source] = fleet.create("source", nodes=5)
    source.create_namespace("midwatch")
    source.deploy(Workload("ledger", namespace="pay", min_available=1))  # its one pod goes to the second node
    source.deploy(Workload("shop", replicas=6, min_available=4), Workload("agent", daemon=True))
    source.cordon("source-3")
    for node in ("source-0", "source-1", "source-2", "source-3"):
        source.require_reboot(node, "linux-image")
    fleet.quiesce()
    return source


def _policy(folder: Path) -> str:
    path = folder / "policy.yaml"
    path.write_text(yaml.safe_dump(_POLICY))
    return str(path)


def _simulate(folder: Path, *flags: str) -> tuple[Done, JsonObject]:
    quick = ("--boot-time", "20s", "--detector-time", "1s", "--speed", "50")
    done = call("simulate", "--policy", _policy(folder), "--output", "json", *quick, *flags)
    assert done.stdout, done.stderr
    return done, done.json


def _outcomes(prediction: JsonObject) -> dict[str, object]:
    return {str(node["name"]): node["outcome"] for node in objects(prediction["nodes"])}


def test_a_simulation_predicts_what_a_run_then_does_and_only_reads_the_cluster(
    demo: object,
    tmp_path: Path,
) -> None:
    assert demo is not None  # it is on its way
    with SimulatedFleet(scale=0) as fleet:
        source = _source(fleet)
        reader, file = str(source.kubeconfig(tmp_path / "reader", "reader")), tmp_path / "snapshot.json"
        before = source.objects("v1", "Node") + source.objects("v1", "Pod")

        done, predicted = _simulate(tmp_path, "--kubeconfig", reader, "--like", "source", "--snapshot", str(file))

        assert {verb for user, verb, _ in source.calls if user == "reader"} == {"list"}
        assert source.objects("v1", "Node") + source.objects("v1", "Pod") == before
        kubeconfig = str(source.kubeconfig(tmp_path / "kubeconfig"))
        state = str(tmp_path / "state")
        flags = ["--kubeconfig", kubeconfig, "--context", "source", "--policy", _policy(tmp_path), "--state", state]
        ran = call("run", *flags, "--output", "json")
        assert _outcomes(predicted) == Run(ran.json).outcomes
        assert (done.code, ran.code) == (1, 1)
    assert _outcomes(predicted) == {
        "source-0": "rebooted", "source-1": "drain-failed", "source-2": "rebooted", "source-3": "skipped",
    }  # fmt: skip
    [blocking] = objects(predicted["blocking"])
    assert blocking["node"] == "source-1"
    assert "pay/ledger" in str(blocking["because"])
    times = {str(n["name"]): n["durationSeconds"] for n in objects(predicted["nodes"])}
    assert isinstance(times["source-0"], float)
    assert times["source-0"] > 20 + 10  # a boot, and a pod's end
    assert "source-4" in file.read_text()


def test_a_saved_copy_is_simulated_without_its_cluster(tmp_path: Path) -> None:
    file = tmp_path / "snapshot.json"
    node = {"metadata": {"name": "alone", "labels": {"kubernetes.io/os": "linux"}}}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    file.write_text(json.dumps({"cluster": "far-away", "takenAt": "2026-11-25T04:00:00Z", "nodes": [
        {**node, "status": ready},
    ]}))  # fmt: skip
    done, predicted = _simulate(tmp_path, "--snapshot", str(file))
    assert done.code == 0
    assert (predicted["cluster"], predicted["outcome"]) == ("far-away", "nothing-to-do")
    assert [(n["name"], n["outcome"], str(n["reason"])[:13]) for n in objects(predicted["nodes"])] == [
        ("alone", "skipped", "no-condition:")
    ]


def test_the_demo_ends_in_time_names_every_cluster_and_leaves_nothing(
    demo: tuple[subprocess.Popen[str], Path, float],
) -> None:
    process, home, began = demo
    out, err = process.communicate(timeout=max(1.0, began + 60 - time.monotonic()))
    assert process.returncode == 0, err
    assert "\x1b" not in out + err
    assert re.search(r"^\d\d:\d\d:\d\d prod/prod-apps-0 rebooted$", err, re.MULTILINE)
    assert re.findall(r"^(\w+): (.+?) *$", out, re.MULTILINE) == [
        ("dev", "completed"), ("staging", "completed-with-failures"), ("prod", "completed"),
    ]  # fmt: skip
    unfolded = " ".join(out.split())
    assert re.search(rf"{BLOCKED} drain-failed \d+s [^ ]+ stays misconfigured-timeout: .* payments/ledger ", unfolded)
    assert f"{CORDONED} skipped cordoned:" in unfolded
    assert "3 clusters, 18 nodes: 9 rebooted, 1 drain-failed, 1 skipped, 7 needed no reboot" in out
    assert list(home.iterdir()) == []


def test_a_signal_to_stop_ends_the_demo_at_once_and_says_how_things_are(tmp_path: Path) -> None:
    process = _start(tmp_path)
    assert process.stderr is not None
    for line in process.stderr:
        if "running" in line:
            break
    process.send_signal(signal.SIGTERM)  # taken as Control-C, which a shell's background job ignores
    process.send_signal(signal.SIGTERM)  # and again, while it ends
    _, err = process.communicate(timeout=15)
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("Interrupted. The simulated clusters are gone")
    assert list(tmp_path.iterdir()) == []
