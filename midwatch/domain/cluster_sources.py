"""Where a policy's clusters come from: the entries of `clusters`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from midwatch.domain.resource_ids import AksId, FleetId, check_group, check_subscription
from midwatch.domain.section import Section


def _aks_id(text: str) -> str:
    return str(AksId.parse(text))


def _fleet_id(text: str) -> str:
    return str(FleetId.parse(text))


type Subscription = Annotated[str, AfterValidator(check_subscription)]
"""The GUID of a subscription."""


class KubeconfigCluster(Section):
    """One cluster that a kubeconfig names."""

    context: str = Field(
        min_length=1, description="Name of the kubeconfig context. It is the cluster's name in reports."
    )
    labels: dict[str, str] = Field(default_factory=dict, description="Labels of the cluster.")


class AzureSource(Section):
    """What all sources in Azure share."""

    labels: dict[str, str] = Field(
        default_factory=dict,
        description="Labels of the clusters, over those that Azure gives: the tags, and `location`.",
    )
    allow_local_accounts: bool = Field(
        default=False,
        description="`true`: a cluster without Entra ID is entered with the certificate that Azure gives out for it; "
        "else it is skipped, with the reason.",
    )


class AksCluster(AzureSource):
    """One AKS cluster."""

    id: Annotated[str, AfterValidator(_aks_id)] = Field(
        description="Resource ID: `/subscriptions/S/resourceGroups/G/providers/Microsoft.ContainerService/"
        "managedClusters/NAME`. Its name is the cluster's name in reports; where two have one name, `NAME@GROUP` is."
    )


class ResourceGroupSource(AzureSource):
    """The AKS clusters of a resource group."""

    subscription: Subscription = Field(description="ID of the subscription, a GUID.")
    name: Annotated[str, AfterValidator(check_group)] = Field(description="Name of the resource group.")


class ResourceGraphSource(AzureSource):
    """The AKS clusters of subscriptions, by tag."""

    subscriptions: tuple[Subscription, ...] = Field(
        min_length=1, strict=False, description="IDs of the subscriptions, GUIDs."
    )
    tag: dict[str, str] = Field(
        default_factory=dict,
        description="Tags that a cluster must carry, all of them. None: every cluster of the subscriptions, asked of "
        "each subscription and not of Resource Graph, which leaves out in silence what the identity may not read.",
    )


class FleetSource(AzureSource):
    """The members of an Azure Kubernetes Fleet Manager. Their update group is the label `updateGroup`."""

    id: Annotated[str, AfterValidator(_fleet_id)] = Field(
        description="Resource ID: `/subscriptions/S/resourceGroups/G/providers/Microsoft.ContainerService/fleets/NAME`."
    )


_KINDS = ("kubeconfig", "aks", "resourceGroup", "resourceGraph", "fleet")


class ClusterSource(Section):
    """Where clusters come from; one source in each entry."""

    kubeconfig: KubeconfigCluster | None = Field(default=None, description="A cluster from the kubeconfig.")
    aks: AksCluster | None = Field(default=None, description="An AKS cluster by its ID.")
    resource_group: ResourceGroupSource | None = Field(
        default=None, description="The AKS clusters of a resource group."
    )
    resource_graph: ResourceGraphSource | None = Field(
        default=None, description="The AKS clusters of subscriptions, all or those with a tag."
    )
    fleet: FleetSource | None = Field(default=None, description="The AKS clusters of a Fleet Manager.")

    @model_validator(mode="after")
    def _one_kind(self) -> ClusterSource:
        given = [source for source in (self.kubeconfig, *self._in_azure()) if source is not None]
        if len(given) != 1:
            raise ValueError(f"an entry has one of {', '.join(f'`{kind}`' for kind in _KINDS)}")
        return self

    def azure(self) -> AksCluster | ResourceGroupSource | ResourceGraphSource | FleetSource | None:
        """The source in Azure; None for a kubeconfig's cluster."""
        return next((source for source in self._in_azure() if source is not None), None)

    def _in_azure(
        self,
    ) -> tuple[AksCluster | None, ResourceGroupSource | None, ResourceGraphSource | None, FleetSource | None]:
        return self.aks, self.resource_group, self.resource_graph, self.fleet
