"""Clusters of a policy with sources in Azure: names, labels, what is skipped, and who is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from midwatch.config import parse_policy
from midwatch.domain.clusters import listed, refuse_twins, resolve
from midwatch.domain.discovered import DiscoveredCluster, NodePool
from midwatch.domain.errors import UsageError
from midwatch.domain.resource_ids import AksId

if TYPE_CHECKING:
    from midwatch.domain.clusters import ClusterRef

S1, S2 = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"


def azure(name: str, group: str = "rg", subscription: str = S1, **facts: Any) -> DiscoveredCluster:  # noqa: ANN401 - fields of all types
    known = {
        "location": "westeurope", "tags": (("team", "a"), ("env", "tag")), "power": "Running",
        "provisioning": "Succeeded", "entra": True, "channel": "Unmanaged", "private": False, **facts,
    }  # fmt: skip
    return DiscoveredCluster(id=AksId(subscription, group, name), **known)


def refs(sources: str, *found: list[DiscoveredCluster]) -> tuple[ClusterRef, ...]:
    policy = parse_policy(f"apiVersion: midwatch/v1\nclusters:\n{sources}", "p.yaml")
    positions = [n for n, source in enumerate(policy.clusters) if source.azure() is not None]
    return listed(policy, dict(zip(positions, found, strict=True)))


GRAPH = f"  - resourceGraph: {{subscriptions: [{S1}], labels: {{env: mine}}}}\n"


def test_labels_come_from_tags_location_and_update_group_and_the_policy_goes_before_them() -> None:
    [one] = refs(GRAPH, [azure("c", update_group="late")])
    assert one.labels == {"team": "a", "env": "mine", "location": "westeurope", "updateGroup": "late"}
    assert (one.name, one.context, one.aks, one.skip) == ("c", "", str(AksId(S1, "rg", "c")), "")


def test_clusters_of_one_name_are_told_apart_by_group_and_then_by_subscription() -> None:
    found = [azure("c"), azure("c", "other"), azure("c", "other", S2), azure("d")]
    assert [one.name for one in refs(GRAPH, found)] == ["c@rg", f"c@other@{S1}", f"c@other@{S2}", "d"]


def test_a_context_keeps_its_name() -> None:
    assert [one.name for one in refs("  - kubeconfig: {context: c}\n" + GRAPH, [azure("c")])] == ["c", "c@rg"]


def test_a_cluster_in_two_sources_is_there_once_with_the_labels_of_both() -> None:
    by_id = f"  - aks: {{id: '{str(AksId(S1, 'RG', 'C')).lower()}', labels: {{night: sat}}}}\n"
    [one] = refs(GRAPH + by_id, [azure("c")], [azure("C", "RG")])
    assert (one.labels["env"], one.labels["night"]) == ("tag", "sat")


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"power": "Stopped"}, "the cluster is stopped"),
        ({"power": ""}, "Azure does not say whether it is running"),
        ({"provisioning": "Upgrading"}, "its provisioning state is Upgrading"),
        ({"entra": False}, "allowLocalAccounts"),
    ],
)
def test_what_may_not_be_entered_is_skipped_with_the_reason(facts: dict[str, Any], reason: str) -> None:
    [one] = refs(GRAPH, [azure("c", **facts)])
    assert reason in one.skip


def test_a_local_account_is_used_where_the_policy_allows_it() -> None:
    [one] = refs(GRAPH.replace("labels", "allowLocalAccounts: true, labels"), [azure("c", entra=False)])
    assert (one.skip, one.local_account) == ("", True)


def test_a_pool_that_azure_changes_is_barred() -> None:
    pools = (NodePool("apps", "Running", "Upgrading"), NodePool("sys", "Running", "Succeeded"))
    stopped = NodePool("spot", "Stopped", "Succeeded")
    [one] = refs(GRAPH, [azure("c", pools=(*pools, stopped))])
    assert one.barred_pools == {"apps": "its provisioning state is Upgrading", "spot": "it is stopped"}


def test_a_channel_that_never_asks_for_a_reboot_is_a_note() -> None:
    [one] = refs(GRAPH, [azure("c", channel="NodeImage")])
    assert "NodeImage" in one.notes[0]


POLICY = parse_policy(f"apiVersion: midwatch/v1\nclusters:\n{GRAPH}  - kubeconfig: {{context: k}}\n", "p.yaml")


@pytest.mark.parametrize("name", ["b", str(AksId(S1, "rg", "b")), str(AksId(S1, "RG", "B"))])
def test_a_cluster_is_chosen_by_name_or_id(name: str) -> None:
    [one] = resolve(POLICY, [name], (), {0: [azure("a"), azure("b")]})
    assert one.name == "b"


def test_one_cluster_by_name_and_by_id_is_named_twice() -> None:
    with pytest.raises(UsageError, match="named twice"):
        resolve(POLICY, ["a", str(AksId(S1, "rg", "a"))], (), {0: [azure("a")]})


def test_no_cluster_in_azure_says_so() -> None:
    only = parse_policy(f"apiVersion: midwatch/v1\nclusters:\n{GRAPH}", "p.yaml")
    with pytest.raises(UsageError, match="none that this identity may see"):
        resolve(only, (), (), {0: []})


def test_a_context_and_an_id_of_one_cluster_are_refused() -> None:
    found = resolve(POLICY, (), ("k",), {0: [azure("a")]})
    with pytest.raises(UsageError, match="one and the same"):
        refuse_twins([one.model_copy(update={"server": "https://a:443"}) for one in found])


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{}", "p.yaml:3: `clusters.0`: an entry has one of `kubeconfig`, `aks`"),
        ("{kubeconfig: {context: a}, aks: {id: '%s'}}" % AksId(S1, "g", "n"), "an entry has one of"),  # noqa: UP031
        ("{aks: {id: /subscriptions/x}}", "p.yaml:3: `clusters.0.aks.id`: '/subscriptions/x' is not an ID of the form"),
        ("{resourceGraph: {subscriptions: [mine]}}", "p.yaml:3: `clusters.0.resourceGraph.subscriptions.0`: 'mine' is"),
        ("{resourceGraph: {subscriptions: []}}", "p.yaml:3: `clusters.0.resourceGraph.subscriptions`: "),
        ("{resourceGroup: {subscription: %s, name: 'a/b'}}" % S1, "`clusters.0.resourceGroup.name`: "),  # noqa: UP031
        ("{fleet: {id: nowhere}}", "p.yaml:3: `clusters.0.fleet.id`: "),
    ],
)
def test_a_source_that_is_none_is_refused_by_line_and_key(entry: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_policy(f"apiVersion: midwatch/v1\nclusters:\n  - {entry}\n", "p.yaml")
    assert said in refused.value.message
