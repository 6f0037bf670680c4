"""Azure resource IDs: what is read, what is refused, and what counts as the same."""

from __future__ import annotations

import pytest

from midwatch.domain.resource_ids import AksId, FleetId, check_group, check_subscription

SUBSCRIPTION = "0b1f6471-1bf0-4dda-aec3-cb9272f09590"
_PROVIDER = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-shop/providers/Microsoft.ContainerService"
CLUSTER = f"{_PROVIDER}/managedClusters/a1"
FLEET = f"{_PROVIDER}/fleets/f1"


def test_an_id_is_read_and_written_back() -> None:
    found = AksId.parse(CLUSTER)
    assert (found.subscription, found.group, found.name) == (SUBSCRIPTION, "rg-shop", "a1")
    assert str(found) == CLUSTER
    assert str(FleetId.parse(FLEET)) == FLEET


def test_two_spellings_name_one_cluster() -> None:
    assert AksId.parse(CLUSTER.upper()).key() == AksId.parse(CLUSTER).key()
    assert AksId.parse(CLUSTER).key() != AksId.parse(CLUSTER.replace("/a1", "/a2")).key()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "managedClusters/N"),
        ("a1", "managedClusters/N"),
        (FLEET, "managedClusters/N"),
        (CLUSTER + "/", "managedClusters/N"),
        (CLUSTER + "/agentPools/p", "managedClusters/N"),
        (CLUSTER.removeprefix("/"), "managedClusters/N"),
        (CLUSTER.replace(SUBSCRIPTION, "Production"), "'Production' is not the ID of a subscription"),
        (CLUSTER.replace("rg-shop", ""), "'' is not the name of a resource group"),
        (CLUSTER.replace("rg-shop", "rg."), "'rg.' is not the name of a resource group"),
        (CLUSTER.replace("/a1", "/a1?x=1"), "'a1?x=1' in "),
        (CLUSTER.replace("/a1", "/-a"), "'-a' in "),
        (CLUSTER.replace("/a1", "/" + "a" * 64), "is not a name that Azure allows"),
    ],
)
def test_what_is_no_cluster_id_is_refused_with_what_is_wrong(text: str, part: str) -> None:
    with pytest.raises(ValueError, match="is not") as caught:
        AksId.parse(text)
    assert part in str(caught.value)


def test_a_cluster_is_no_fleet() -> None:
    with pytest.raises(ValueError, match="fleets/N"):
        FleetId.parse(CLUSTER)


def test_subscriptions_and_groups_by_themselves() -> None:
    assert check_subscription(SUBSCRIPTION) == SUBSCRIPTION
    assert check_group("Rg_(x).y-1") == "Rg_(x).y-1"
    with pytest.raises(ValueError, match="GUID"):
        check_subscription("Production")
    with pytest.raises(ValueError, match="resource group"):
        check_group("a/b")
