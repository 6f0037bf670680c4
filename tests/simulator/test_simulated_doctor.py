"""`midwatch doctor` on simulated clusters: several at once, faults, 80 columns, and nothing that it changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml
from rich.console import Console

from activities.directory import ClusterDirectory
from activities.doctor import examine_fleet
from midwatch.aks import AksClusters
from midwatch.azure.account import AzureAccount
from midwatch.cli.doctor import doctor_report
from midwatch.domain.clusters import ClusterRef
from midwatch.domain.doctor.checks import Check, CheckedCluster, Health, summed_up
from midwatch.domain.policy import Policy
from midwatch.kube.pool import ClientPool
from midwatch.simulator import Change, Fault, FaultKind, SimulatedCluster, SimulatedFleet, read_rules
from tests.e2e.midwatch import ROOT, objects
from tests.forked import call
from tests.kit.api import MERGE_PATCH
from tests.simulator.simulator_kit import api_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

_POLICY = Policy.default()
_NO_AZURE = AksClusters(AzureAccount({}))
_ROLES = ("clusterrole", "role", "events-role")


@pytest.fixture
def fleet() -> Iterator[SimulatedFleet]:
    """Two clusters with the shipped roles."""
    with SimulatedFleet(scale=0) as made:
        for cluster in made.create("blue", "green", nodes=2):
            cluster.create_namespace("midwatch")
            roles = [yaml.safe_load((ROOT / "deploy" / "rbac" / f"{name}.yaml").read_text()) for name in _ROLES]
            cluster.restrict("midwatch", read_rules(roles))
        made.quiesce()
        yield made
        made.check()


def _gives(policy: Policy) -> Callable[[], Awaitable[Policy]]:
    async def read() -> Policy:
        return policy

    return read


async def _examine(
    fleet: SimulatedFleet, folder: Path, *names: str, policy: Policy = _POLICY
) -> dict[str, dict[str, Check]]:
    """The checks of each cluster, by ID; of permissions the first that is not ok."""
    pool = ClientPool({"KUBECONFIG": str(fleet.kubeconfig(folder / "kubeconfig", "midwatch"))})
    try:
        found = await ClusterDirectory(pool, _NO_AZURE, _gives(policy)).examine(names or ("blue",))
    finally:
        await pool.close()
    return {cluster.name: _by_id(cluster) for cluster in found}


def _by_id(cluster: CheckedCluster) -> dict[str, Check]:
    ordered = sorted(cluster.checks, key=lambda check: check.verdict is not Health.OK)
    return {check.id.value: check for check in ordered}


def _not_ok(checks: dict[str, Check]) -> dict[str, str]:
    return {name: check.verdict.value for name, check in checks.items() if check.verdict is not Health.OK}


async def test_with_the_shipped_roles_all_is_well_and_no_object_changes(fleet: SimulatedFleet, tmp_path: Path) -> None:
    changes: list[Change] = []
    blue = fleet.clusters["blue"]
    blue.observe(lambda change: changes.append(change) if blue.acting[0] == "midwatch" else None)
    found = await _examine(fleet, tmp_path, "blue", "green")
    assert {name: _not_ok(checks) for name, checks in found.items()} == {"blue": {}, "green": {}}
    assert changes == []
    verbs = {verb for user, verb, _ in blue.calls if user == "midwatch"}
    assert verbs == {"get", "list", "create"}
    assert blue.objects("v1", "Pod", "midwatch") == []


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        pytest.param(
            Fault(FaultKind.ERROR, resources=frozenset({"nodes"}), status=500),
            {"condition": "unknown", "detector": "unknown", "leftovers": "unknown"},
            id="nodes",
        ),
        pytest.param(
            Fault(FaultKind.ERROR, resources=frozenset({"leases"}), status=403),
            {"lease": "unknown", "leftovers": "unknown"},
            id="lease",
        ),
        pytest.param(
            Fault(FaultKind.ERROR, verbs=frozenset({"create"}), resources=frozenset({"pods"}), status=403),
            {"reboot-pod": "failed"},
            id="an admission controller",
        ),
        pytest.param(
            Fault(FaultKind.RESET, verbs=frozenset({"create"}), resources=frozenset({"pods"})),
            {"reboot-pod": "unknown", "namespace": "unknown"},
            id="no answer to the dry run",
        ),
        pytest.param(
            Fault(FaultKind.ERROR, resources=frozenset({"daemonsets"}), status=500),
            {"detector": "unknown"},
            id="daemons",
        ),
    ],
)
async def test_what_cannot_be_read_is_unknown_and_the_rest_is_looked_at(
    fleet: SimulatedFleet, tmp_path: Path, fault: Fault, expected: dict[str, str]
) -> None:
    fleet.clusters["blue"].add_fault(fault)
    found = await _examine(fleet, tmp_path)
    assert fault.hits
    assert _not_ok(found["blue"]) == expected


async def test_refused_credentials_stop_the_rest_and_no_other_cluster(fleet: SimulatedFleet, tmp_path: Path) -> None:
    config = fleet.kubeconfig(tmp_path / "kubeconfig", "midwatch")
    fleet.clusters["blue"].revoke("midwatch")
    pool = ClientPool({"KUBECONFIG": str(config)})
    found = await ClusterDirectory(pool, _NO_AZURE, _gives(_POLICY)).examine(("blue", "green"))
    await pool.close()
    by_name = {cluster.name: _by_id(cluster) for cluster in found}
    assert by_name["blue"]["identity"].verdict == "failed"
    assert {by_name["blue"][name].verdict.value for name in ("permission", "lease", "version")} == {"unknown"}
    assert _not_ok(by_name["green"]) == {}


async def test_a_dead_run_is_seen_by_its_lease_its_claim_and_its_pod(fleet: SimulatedFleet, tmp_path: Path) -> None:
    blue = fleet.clusters["blue"]
    _leave_behind(blue, tmp_path)
    found = (await _examine(fleet, tmp_path))["blue"]
    assert _not_ok(found) == {"lease": "warning", "leftovers": "warning"}
    assert "a-run:blue let it run out" in found["lease"].detail
    assert "blue-0 (cordoned, run a-run)" in found["leftovers"].detail
    assert "midwatch-reboot-x" in found["leftovers"].detail


async def test_what_azure_says_of_a_cluster_comes_first_and_one_that_is_skipped_is_not_entered(
    fleet: SimulatedFleet, tmp_path: Path
) -> None:
    pool = ClientPool({"KUBECONFIG": str(fleet.kubeconfig(tmp_path / "kubeconfig", "midwatch"))})
    aks = "/subscriptions/S/resourceGroups/G/providers/Microsoft.ContainerService/managedClusters/N"
    refs = (
        ClusterRef(name="stopped", context="", aks=aks, skip="the cluster is stopped"),
        ClusterRef(name="busy", context="", aks=aks, barred_pools={"apps": "it is stopped"}, notes=("the channel",)),
        ClusterRef(name="blue", context="blue"),
    )
    seen: list[CheckedCluster] = []
    stopped, busy, blue = await examine_fleet(pool, refs, _POLICY, seen.append)
    await pool.close()
    assert sorted(seen, key=lambda one: one.name) == [blue, busy, stopped]
    assert (stopped.checks[0].id, stopped.checks[0].verdict) == ("azure", "failed")
    assert {check.verdict.value for check in stopped.checks[1:]} == {"unknown"}
    assert [check.verdict.value for check in busy.checks if check.id == "azure"] == ["ok", "warning", "warning"]
    assert not [check for check in blue.checks if check.id == "azure"]


def test_the_command_prints_json_and_a_table_and_exits_by_the_verdict(fleet: SimulatedFleet, tmp_path: Path) -> None:
    config = fleet.kubeconfig(tmp_path / "kubeconfig", "midwatch")
    flags = ["--kubeconfig", str(config), "--context", "blue", "--context", "green"]
    good = call("doctor", *flags, "--output", "json")
    assert (good.code, good.json["verdict"]) == (0, "ok"), good.stdout
    assert set(good.json) == {"verdict", "checks", "clusters"}
    for cluster in objects(good.json["clusters"]):
        assert set(cluster) == {"name", "server", "verdict", "checks"}
        for check in objects(cluster["checks"]):
            assert set(check) == {"id", "subject", "verdict", "detail", "remedy"}
    assert good.stderr.count("\n") == 2
    fleet.clusters["green"].set_condition("green-1", "RebootRequired", None)
    bad = call("doctor", *flags)
    assert bad.code == 1
    assert "missing on 1 of 2: green-1" in bad.stdout
    assert "to do:" in bad.stdout
    json_of_bad = json.loads(call("doctor", *flags, "--output", "json").stdout)
    assert [cluster["verdict"] for cluster in json_of_bad["clusters"]] == ["ok", "failed"]


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["--context", "bule"], "did you mean 'blue'"),
        (["--policy", "nowhere.yaml"], "nowhere.yaml"),
        (["--kubeconfig", "nowhere"], "nowhere"),
    ],
)
def test_what_the_caller_got_wrong_is_one_line_and_exit_code_2(
    fleet: SimulatedFleet, tmp_path: Path, args: list[str], word: str
) -> None:
    config = fleet.kubeconfig(tmp_path / "kubeconfig", "midwatch")
    done = call("doctor", *args, env={"KUBECONFIG": str(config)})
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert word in done.stderr


@pytest.mark.parametrize(
    ("schedule", "code", "word"), [("0 0 22 * * 6", 1, "no clusters"), ("often", 1, "NCRONTAB"), ("", 0, "not set")]
)
def test_the_schedule_is_looked_at(fleet: SimulatedFleet, tmp_path: Path, schedule: str, code: int, word: str) -> None:
    config = fleet.kubeconfig(tmp_path / "kubeconfig", "midwatch")
    env = {"KUBECONFIG": str(config), "MIDWATCH_SCHEDULE": schedule}
    done = call("doctor", "--context", "blue", env=env)
    assert (done.code, word in done.stdout) == (code, True), done.stdout


async def test_the_report_fits_into_80_columns(fleet: SimulatedFleet, tmp_path: Path) -> None:
    fleet.clusters["blue"].restrict("midwatch", ())
    text = fleet.kubeconfig(tmp_path / "kubeconfig", "midwatch").read_text()
    green = fleet.clusters["green"].server
    long = f"https://{'a-long-name-' * 4}.privatelink.westeurope.azmk8s.invalid:443"
    (tmp_path / "kubeconfig").write_text(text.replace(green, long))
    pool = ClientPool({"KUBECONFIG": str(tmp_path / "kubeconfig")})
    found = await ClusterDirectory(pool, _NO_AZURE, _gives(_POLICY)).examine(("blue", "green"))
    await pool.close()
    console = Console(width=80)
    with console.capture() as shown:
        console.print(doctor_report(summed_up((), found)))
    lines = shown.get().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    folded = " ".join(shown.get().split())
    assert "private cluster" in folded
    assert "create pods/eviction: not allowed" in folded
    assert "..." not in folded.replace("…", "...")


def _leave_behind(cluster: SimulatedCluster, folder: Path) -> None:
    api = api_of(cluster, folder)
    old = "2026-01-01T00:00:00.000000Z"
    cluster.create(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "midwatch", "namespace": "midwatch"},
            "spec": {"holderIdentity": "a-run:blue", "leaseDurationSeconds": 600, "acquireTime": old, "renewTime": old},
        }
    )
    notes = {"midwatch.dev/run": "a-run", "midwatch.dev/phase": "drain", "midwatch.dev/was-unschedulable": "false"}
    body = {"metadata": {"annotations": notes}, "spec": {"unschedulable": True}}
    api.patch("/api/v1/nodes/blue-0", body, MERGE_PATCH)  # type: ignore[arg-type]  # JSON
    cluster.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "midwatch-reboot-x",
                "namespace": "midwatch",
                "labels": {"app.kubernetes.io/name": "midwatch-reboot"},
            },
            "spec": {"nodeName": "blue-0", "containers": [{"name": "x", "image": "x"}]},
        }
    )
