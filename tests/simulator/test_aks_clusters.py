"""A run over AKS clusters: found through Resource Manager, entered with short-lived tokens of a managed identity.

The clusters ask who a token belongs to, as AKS asks Entra ID, and take none that is older than a second: each run
outlives many. No kubeconfig has any of them.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml

from midwatch.simulator import SimulatedFleet, Workload
from tests.e2e.midwatch import Done
from tests.forked import call
from tests.kit.api import JsonObject
from tests.kit.azure.arm import FakeArm, fake_arm
from tests.kit.azure.documents import SUB, aks, document
from tests.kit.azure.entra import exec_kubeconfig
from tests.kit.azure.managed_identity import HEADER, ManagedIdentityEndpoint, managed_identity_endpoint

_TOKEN_SECONDS = 1.0
_POLICY: JsonObject = {
    "apiVersion": "midwatch/v1",
    "nodes": {"settle": "0s"},
    "drain": {"timeout": "20s"},
    "verify": {"stableFor": "1s", "conditionClears": "20s"},
}


@pytest.fixture
def fleet() -> Iterator[SimulatedFleet]:
    with SimulatedFleet(scale=0) as started:
        for cluster in started.create("blue", "green", nodes=3):
            cluster.create_namespace("midwatch")
            cluster.deploy(Workload("shop", replicas=2, min_available=1))
            cluster.require_reboot(f"{cluster.name}-1", "linux-image")
            cluster.require_reboot(f"{cluster.name}-2", "linux-image")
        started.quiesce()
        yield started


class Azure:
    """Resource Manager and the managed identity, with the clusters of a fleet."""

    def __init__(self, arm: FakeArm, identity: ManagedIdentityEndpoint, fleet: SimulatedFleet, folder: Path) -> None:
        self.arm = arm
        self.identity = identity
        self.folder = folder
        for name, cluster in fleet.clusters.items():
            arm.clusters[aks(name)] = document(name)
            arm.kubeconfigs[aks(name)] = exec_kubeconfig(cluster.kubeconfig(folder / name).read_text())
            cluster.review_tokens(self.whose)

    def whose(self, token: str) -> str | None:
        """The admin's, unless it has become old."""
        fresh = time.time() - self.identity.issued.get(token, 0) < _TOKEN_SECONDS
        return "admin" if fresh else None

    async def midwatch(self, *args: str, clusters: list[JsonObject]) -> Done:
        policy = self.folder / "policy.yaml"
        policy.write_text(yaml.safe_dump({**_POLICY, "clusters": clusters}))
        env = {**self.identity.env, "MIDWATCH_ARM_ENDPOINT": self.arm.url, "KUBECONFIG": str(self.folder / "none")}
        return await asyncio.to_thread(call, *args, "--policy", str(policy), seconds=120, env=env)


@pytest.fixture
async def azure(fleet: SimulatedFleet, tmp_path: Path) -> AsyncIterator[Azure]:
    async with fake_arm() as arm, managed_identity_endpoint() as identity:
        yield Azure(arm, identity, fleet, tmp_path)


BY_ID_AND_TAG: list[JsonObject] = [
    {"aks": {"id": aks("blue"), "labels": {"env": "dev"}}},
    {"resourceGraph": {"subscriptions": [SUB], "tag": {"a": "b"}}},
]


async def test_clusters_by_id_and_by_tag_are_patched_with_tokens_that_expire_meanwhile(
    azure: Azure, fleet: SimulatedFleet, tmp_path: Path
) -> None:
    done = await azure.midwatch("run", "--state", str(tmp_path / "s"), "-o", "json", clusters=BY_ID_AND_TAG)
    assert done.code == 0, done.stderr
    found = {one["name"]: one["outcome"] for one in json.loads(done.stdout)["clusters"]}
    assert found == {"blue": "completed", "green": "completed"}
    assert len(azure.identity.issued) > 3, "no token expired, so nothing was proved"
    written = {str(path): path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()}
    written |= {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    secrets = [*azure.identity.issued, HEADER]
    assert [(s, where) for s in secrets for where, text in written.items() if s.encode() in text] == []
    fleet.check()
    assert {name: cluster.boots for name, cluster in fleet.clusters.items()} == {
        name: {f"{name}-1": 1, f"{name}-2": 1} for name in ("blue", "green")
    }


async def test_a_cluster_that_is_stopped_or_without_entra_id_is_skipped_with_the_reason(
    azure: Azure, fleet: SimulatedFleet, tmp_path: Path
) -> None:
    azure.arm.clusters[aks("green")] = document("green", power="Stopped")
    azure.arm.clusters[aks("blue")] = document("blue", entra="")
    done = await azure.midwatch("run", "--state", str(tmp_path / "s"), "-o", "json", clusters=BY_ID_AND_TAG)
    clusters = {one["name"]: one for one in json.loads(done.stdout)["clusters"]}
    assert {name: one["outcome"] for name, one in clusters.items()} == {"blue": "skipped", "green": "skipped"}
    assert "the cluster is stopped" in clusters["green"]["error"]["message"]
    assert "allowLocalAccounts" in clusters["blue"]["error"]["message"]
    assert all(cluster.boots == {} for cluster in fleet.clusters.values())


async def test_a_cluster_that_is_not_found_any_more_is_an_alarm_in_the_run(azure: Azure, tmp_path: Path) -> None:
    by_tag = BY_ID_AND_TAG[1:]
    state = ("--state", str(tmp_path / "s"), "-o", "json")
    before = await azure.midwatch("run", *state, clusters=by_tag)
    assert json.loads(before.stdout)["warnings"] == [], before.stderr
    del azure.arm.clusters[aks("green")]
    after = await azure.midwatch("run", *state, clusters=by_tag)
    [warning] = json.loads(after.stdout)["warnings"]
    assert aks("green") in warning
    assert f"warning: {warning}" in after.stderr


async def test_azure_that_refuses_means_that_nothing_is_started(
    azure: Azure, fleet: SimulatedFleet, tmp_path: Path
) -> None:
    azure.arm.failures = [(403, "AuthorizationFailed", {})] * 3
    done = await azure.midwatch("run", "--state", str(tmp_path / "s"), clusters=BY_ID_AND_TAG)
    assert done.code == 2, done.stderr
    assert "lacks Microsoft.ContainerService/managedClusters/read" in done.stderr
    assert "Traceback" not in done.stderr
    assert all(cluster.boots == {} for cluster in fleet.clusters.values())


async def test_a_local_account_is_used_where_the_policy_allows_it_and_nowhere_else(
    azure: Azure, fleet: SimulatedFleet, tmp_path: Path
) -> None:
    azure.arm.clusters[aks("blue")] = document("blue", entra="")
    azure.arm.kubeconfigs[aks("blue")] = fleet.clusters["blue"].kubeconfig(tmp_path / "local").read_text()
    sources: list[JsonObject] = [{"aks": {"id": aks("blue"), "allowLocalAccounts": True}}]
    done = await azure.midwatch("run", "--state", str(tmp_path / "s"), "-o", "json", clusters=sources)
    assert done.code == 0, done.stderr
    assert azure.identity.resources == [azure.arm.url], "no token was asked for but for Resource Manager"
    assert fleet.clusters["blue"].boots == {"blue-1": 1, "blue-2": 1}


async def test_a_private_cluster_out_of_reach_says_that_it_is_private(azure: Azure, fleet: SimulatedFleet) -> None:
    properties = document("blue")["properties"]
    assert isinstance(properties, dict)
    properties = {**properties, "apiServerAccessProfile": {"enablePrivateCluster": True}}
    azure.arm.clusters[aks("blue")] = {**document("blue"), "properties": properties}
    nowhere = azure.arm.kubeconfigs[aks("blue")].replace(fleet.clusters["blue"].server, "https://127.0.0.1:9")
    azure.arm.kubeconfigs[aks("blue")] = nowhere
    done = await azure.midwatch("survey", "-o", "json", clusters=BY_ID_AND_TAG)
    clusters = {one["name"]: one for one in json.loads(done.stdout)["clusters"]}
    assert "private address only" in clusters["blue"]["error"]["message"], done.stderr
    assert clusters["green"]["error"] is None


@pytest.mark.parametrize("command", ["survey", "doctor"])
async def test_survey_and_doctor_enter_clusters_of_azure_and_tell_the_channel(azure: Azure, command: str) -> None:
    azure.arm.clusters[aks("blue")] = document("blue", channel="NodeImage")
    done = await azure.midwatch(command, "-o", "json", clusters=BY_ID_AND_TAG)
    assert "NodeImage: nodes install no updates" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr


async def test_a_node_is_drained_by_hand_on_a_cluster_of_azure(
    azure: Azure, fleet: SimulatedFleet, tmp_path: Path
) -> None:
    flags = ("--context", "blue", "--state", str(tmp_path / "s"))
    done = await azure.midwatch("drain", "blue-1", *flags, clusters=BY_ID_AND_TAG)
    assert done.code == 0, done.stderr
    nodes = [json.dumps(node) for node in fleet.clusters["blue"].objects("v1", "Node")]
    assert ['"unschedulable": true' in node for node in nodes] == [False, True, False]
