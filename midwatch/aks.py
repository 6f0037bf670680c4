"""AKS clusters by their IDs: Azure says where each is, and Entra ID gives the tokens. No kubeconfig, no kubelogin."""

from __future__ import annotations

import time
from dataclasses import replace

from midwatch.azure.account import AzureAccount
from midwatch.azure.identity import AKS_SCOPE, AzureIdentity
from midwatch.azure.sources import Sources, find
from midwatch.domain.cluster_sources import AksCluster, FleetSource, ResourceGraphSource, ResourceGroupSource
from midwatch.domain.clusters import ClusterRef, Found
from midwatch.domain.errors import PermanentError
from midwatch.domain.policy import Policy
from midwatch.domain.resource_ids import AksId, FleetId
from midwatch.kube.connection import ClientCertificate, Connection, Entra, Token
from midwatch.kube.kubeconfig import Kubeconfig

_KEPT_SECONDS = 3600.0
"""How long an address and its authorities are believed: a cluster that was made anew has others."""
_PRIVATE = "its API server has a private address only: Midwatch must run in a network that reaches it and its DNS zone"


class AksClusters:
    """The clusters that Azure has, for the one event loop that runs the activities.

    Args:
        azure: the identity, and what is asked with it.
    """

    def __init__(self, azure: AzureAccount) -> None:
        self._azure = azure
        self._tokens: Entra | None = None
        self._known: dict[str, tuple[float, Connection]] = {}

    async def find(self, policy: Policy) -> Found:
        """What Azure has for each source of the policy, by its position. All or nothing.

        Raises:
            UsageError: `setting-invalid`.
            MidwatchError: as `AzureDiscovery` and `AzureIdentity.token`; the message names the source.
        """
        sources = {n: source for n, each in enumerate(policy.clusters) if (source := each.azure()) is not None}
        if not sources:
            return {}
        azure = self._azure.discovery
        await azure.sign_in()
        return {n: await find(azure, _where(source)) for n, source in sources.items()}

    async def connection(self, cluster: ClusterRef) -> Connection:
        """How to reach a cluster: server and authorities from Azure, tokens from Entra ID.

        Raises:
            MidwatchError: as `AzureDiscovery`; `no-credentials`, Azure gave nothing that can be used.
        """
        until, known = self._known.get(cluster.key(), (0.0, None))
        if known is None or time.monotonic() >= until:
            known = await self._ask(cluster)
            self._known[cluster.key()] = (time.monotonic() + _KEPT_SECONDS, known)
        return known

    async def _ask(self, cluster: ClusterRef) -> Connection:
        text = await self._azure.discovery.user_kubeconfig(AksId.parse(cluster.aks))
        config = Kubeconfig.of_text(text, f"the kubeconfig that Azure gives for {cluster.aks}")
        given = config.connection(config.current_context or "")
        hint = _PRIVATE if cluster.private else ""
        if not cluster.local_account:
            self._tokens = self._tokens or Entra(_AksTokens(self._azure.identity))
            return replace(given, context=cluster.name, credentials=self._tokens, hint=hint)
        if not isinstance(given.credentials, ClientCertificate | Token):
            text = f"Azure gives no certificate for {cluster.aks}: it has Entra ID by now"
            raise PermanentError("no-credentials", text)
        return replace(given, context=cluster.name, hint=hint)


class _AksTokens:
    """Tokens that every cluster with Entra ID takes."""

    def __init__(self, identity: AzureIdentity) -> None:
        self._identity = identity

    async def token(self) -> str:
        return (await self._identity.token(AKS_SCOPE)).value

    async def renewed(self) -> str:
        return (await self._identity.renewed(AKS_SCOPE)).value


def _where(source: AksCluster | ResourceGroupSource | ResourceGraphSource | FleetSource) -> Sources:
    match source:
        case AksCluster(id=aks):
            return Sources(ids=(AksId.parse(aks),))
        case ResourceGroupSource(subscription=subscription, name=name):
            return Sources(subscriptions=(subscription,), groups=(name,))
        case ResourceGraphSource(subscriptions=subscriptions, tag=tag):
            return Sources(subscriptions=subscriptions, tags=tuple(sorted(tag.items())))
        case FleetSource(id=fleet):
            return Sources(fleets=(FleetId.parse(fleet),))
