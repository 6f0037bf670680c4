"""Clusters found by the real azure-mgmt SDKs, which ask a small Azure Resource Manager on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from midwatch.azure.discovery import AzureDiscovery
from midwatch.azure.identity import AzureIdentity
from midwatch.azure.settings import AzureSettings
from midwatch.domain.errors import PermanentError, TransientError
from midwatch.domain.resource_ids import AksId, FleetId
from tests.kit.azure.arm import FakeArm, fake_arm
from tests.kit.azure.documents import SUB, aks, document
from tests.kit.azure.managed_identity import managed_identity_endpoint


@pytest.fixture
async def arm() -> AsyncIterator[FakeArm]:
    async with fake_arm() as started:
        for name, group in (("c1", "rg"), ("c2", "rg"), ("c3", "rg"), ("c4", "rg"), ("c5", "other")):
            started.clusters[aks(name, group)] = document(name, group)
        yield started


@pytest.fixture
async def azure(arm: FakeArm, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AzureDiscovery]:
    async with managed_identity_endpoint() as endpoint:
        for name, value in endpoint.env.items():
            monkeypatch.setenv(name, value)
        settings = AzureSettings.read({**endpoint.env, "MIDWATCH_ARM_ENDPOINT": arm.url})
        async with AzureIdentity(settings) as identity:
            yield AzureDiscovery(settings, identity)


async def test_a_cluster_by_its_id(azure: AzureDiscovery, arm: FakeArm) -> None:
    found = await azure.cluster(AksId.parse(aks("c1")))
    assert (found.id, found.location, found.tags) == (AksId.parse(aks("c1")), "westeurope", (("a", "b"),))
    assert (found.power, found.provisioning, found.entra, found.channel) == ("Running", "Succeeded", True, "Unmanaged")
    assert found.skip_reason() is None
    assert found.channel_warning() is None
    assert arm.tokens == {"Bearer token-1"}


async def test_lists_are_read_page_by_page(azure: AzureDiscovery, arm: FakeArm) -> None:
    assert [found.id.name for found in await azure.in_group(SUB, "rg")] == ["c1", "c2", "c3", "c4"]
    assert [found.id.name for found in await azure.in_subscription(SUB)] == ["c1", "c2", "c3", "c4", "c5"]
    assert len(arm.asked) == 5


async def test_resource_graph_is_read_page_by_page(azure: AzureDiscovery, arm: FakeArm) -> None:
    found = await azure.tagged([SUB], {"patching": "it's \\on"})
    assert [each.name for each in found] == ["c1", "c2", "c3", "c4", "c5"]
    assert len(arm.queries) == 3
    assert r"tostring(tags['patching']) =~ 'it\'s \\on'" in arm.queries[0]


async def test_an_answer_that_was_cut_is_no_answer(azure: AzureDiscovery, arm: FakeArm) -> None:
    arm.cut = True
    with pytest.raises(PermanentError, match="cut its answer at 5 clusters"):
        await azure.tagged([SUB], {"patching": "on"})


async def test_members_of_a_fleet_and_their_groups(azure: AzureDiscovery, arm: FakeArm) -> None:
    arm.members = [(aks("c1"), "canary"), (aks("c2"), ""), (aks("c3"), "rest")]
    found = await azure.members(FleetId(SUB, "rg", "f"))
    assert [(each.cluster.name, each.group) for each in found] == [("c1", "canary"), ("c2", None), ("c3", "rest")]


async def test_azure_is_asked_again_when_it_says_when(azure: AzureDiscovery, arm: FakeArm) -> None:
    arm.failures = [(429, "TooManyRequests", {"Retry-After": "0"})]
    assert (await azure.cluster(AksId.parse(aks("c1")))).id.name == "c1"
    assert len(arm.asked) == 2


async def test_azure_that_stays_busy_says_how_long_to_wait(azure: AzureDiscovery, arm: FakeArm) -> None:
    arm.failures = [(429, "TooManyRequests", {"Retry-After": "0"})] * 5
    with pytest.raises(TransientError) as caught:
        await azure.in_group(SUB, "rg")
    assert (caught.value.code, caught.value.retry_after) == ("azure-busy", timedelta(0))


@pytest.mark.parametrize(
    ("status", "answer", "code", "part"),
    [
        (
            403,
            "AuthorizationFailed",
            "azure-forbidden",
            "lacks Microsoft.ContainerService/managedClusters/read at /sub",
        ),
        (401, "InvalidAuthenticationTokenTenant", "azure-wrong-tenant", "belongs to another tenant"),
        (404, "SubscriptionNotFound", "azure-not-found", "does not exist, or the identity may not see it"),
        (400, "Strange", "azure-refused", "HTTP 400"),
    ],
)
async def test_a_refusal_says_what_to_do(
    azure: AzureDiscovery, arm: FakeArm, status: int, answer: str, code: str, part: str
) -> None:
    arm.failures = [(status, answer, {})]
    with pytest.raises(PermanentError) as caught:
        await azure.in_group(SUB, "rg")
    assert caught.value.code == code
    assert part in caught.value.message
    assert "token-1" not in caught.value.message


@pytest.mark.parametrize(
    ("facts", "part"),
    [
        ({"power": "Stopped"}, "the cluster is stopped"),
        ({"state": "Upgrading"}, "provisioning state is Upgrading"),
        ({"state": "Failed"}, "provisioning state is Failed"),
        ({"state": ""}, "provisioning state is unknown"),
        ({"power": ""}, "does not say whether it is running"),
    ],
)
async def test_clusters_that_must_be_left_alone(
    azure: AzureDiscovery, arm: FakeArm, facts: dict[str, str], part: str
) -> None:
    arm.clusters[aks("c1")] = document("c1", **facts)
    assert part in str((await azure.cluster(AksId.parse(aks("c1")))).skip_reason())


async def test_a_channel_on_which_nodes_rarely_ask_is_warned_about(azure: AzureDiscovery, arm: FakeArm) -> None:
    arm.clusters[aks("c1")] = document("c1", channel="NodeImage")
    assert "channel is NodeImage" in str((await azure.cluster(AksId.parse(aks("c1")))).channel_warning())
