"""`midwatch discover` in a process of its own, with a small Azure Resource Manager and identity on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from midwatch.domain.resource_ids import FleetId
from tests.e2e.midwatch import Done
from tests.forked import call
from tests.kit.api import JsonObject
from tests.kit.azure.arm import FakeArm, fake_arm
from tests.kit.azure.documents import SUB, aks, document
from tests.kit.azure.managed_identity import managed_identity_endpoint

FLEET = str(FleetId(SUB, "rg", "fleet"))


@pytest.fixture
async def arm() -> AsyncIterator[FakeArm]:
    async with fake_arm() as started:
        for name, group, facts in (
            ("calm", "rg", {}),
            ("stopped", "rg", {"power": "Stopped"}),
            ("changing", "rg", {"state": "Upgrading"}),
            ("images", "other", {"channel": "NodeImage"}),
        ):
            started.clusters[aks(name, group)] = document(name, group, **facts)
        yield started


async def ask(arm: FakeArm, *flags: str) -> Done:
    async with managed_identity_endpoint() as endpoint:
        env = {**endpoint.env, "MIDWATCH_ARM_ENDPOINT": arm.url}
        return await asyncio.to_thread(call, "discover", *flags, env=env)


def listed(done: Done) -> dict[str, JsonObject]:
    assert done.code == 0, done.stderr
    return {one["name"]: one for one in json.loads(done.stdout)}


async def test_a_subscription_is_listed_with_what_a_run_would_mind(arm: FakeArm) -> None:
    found = listed(await ask(arm, "--subscription", SUB, "-o", "json"))
    assert {name: one["skipReason"] for name, one in found.items()} == {
        "calm": None,
        "images": None,
        "stopped": "the cluster is stopped",
        "changing": "its provisioning state is Upgrading: Azure is changing it, or the last change failed",
    }
    assert found["calm"]["notes"] == []
    assert "is NodeImage: nodes install no updates at night" in str(found["images"]["notes"])
    assert found["calm"]["id"] == aks("calm")


async def test_a_group_an_id_and_a_fleet_are_one_list_with_each_cluster_once(arm: FakeArm) -> None:
    arm.members = [(aks("images", "other").upper(), "late"), (aks("calm"), "early")]
    flags = ("--subscription", SUB, "--resource-group", "RG", "--id", aks("calm"), "--fleet", FLEET)
    found = listed(await ask(arm, *flags, "-o", "json"))
    assert sorted(found) == ["calm", "changing", "images", "stopped"]


async def test_tags_are_asked_of_resource_graph_and_groups_narrow_the_answer(arm: FakeArm) -> None:
    flags = ("--subscription", SUB, "--tag", "patch=night's", "--resource-group", "other")
    found = listed(await ask(arm, *flags, "-o", "json"))
    assert list(found) == ["images"]
    assert arm.queries
    assert all(r"tostring(tags['patch']) =~ 'night\'s'" in query for query in arm.queries)


async def test_the_table_names_each_cluster_and_its_troubles(arm: FakeArm) -> None:
    done = await ask(arm, "--subscription", SUB)
    assert done.code == 0, done.stderr
    for word in ("calm", "westeurope", "Stopped", "Upgrading", "NodeImage", "rarely ask for a reboot"):
        assert word in done.stdout


async def test_a_missing_role_is_one_line_that_names_permission_and_scope(arm: FakeArm) -> None:
    arm.failures = [(403, "AuthorizationFailed", {})]
    done = await ask(arm, "--subscription", SUB)
    assert (done.code, done.stdout) == (2, "")
    assert f"lacks Microsoft.ContainerService/managedClusters/read at /subscriptions/{SUB}" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "nowhere to look"),
        (("--tag", "a=b"), "need a --subscription"),
        (("--subscription", "Production"), "'Production' is not the ID of a subscription"),
        (("--subscription", SUB, "--tag", "a"), "--tag 'a' is not of the form KEY=VALUE"),
        (("--id", "/subscriptions/x"), "is not an ID of the form"),
    ],
)
async def test_what_cannot_be_asked_is_refused_before_azure_is(arm: FakeArm, flags: tuple[str, ...], said: str) -> None:
    done = await ask(arm, *flags)
    assert (done.code, done.stdout) == (2, "")
    assert said in done.stderr
    assert arm.asked == []


async def test_somebody_who_is_not_signed_in_is_told_so_in_one_line(arm: FakeArm) -> None:
    off = {"PATH": "/nowhere", "AZURE_TOKEN_CREDENTIALS": "dev"}  # the developers' ways alone: no metadata service
    done = await asyncio.to_thread(
        call, "discover", "--subscription", SUB, env={**off, "MIDWATCH_ARM_ENDPOINT": arm.url}
    )
    assert (done.code, done.stdout) == (2, "")
    assert "nobody is signed in to Azure: try `az login`" in done.stderr
    assert done.stderr.count("\n") == 1
    assert arm.asked == []
