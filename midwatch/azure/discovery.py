"""Find clusters: by ID, in a resource group or subscription, by tag, and as members of a fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict, cast

from midwatch.azure.failures import named
from midwatch.azure.identity import AzureIdentity
from midwatch.azure.settings import AzureSettings
from midwatch.domain.discovered import DiscoveredCluster, FleetMember, NodePool
from midwatch.domain.errors import PermanentError
from midwatch.domain.resource_ids import AksId, FleetId

if TYPE_CHECKING:
    from azure.mgmt.containerservice.aio import ContainerServiceClient
    from azure.mgmt.containerservice.models import ManagedCluster, ManagedClusterAgentPoolProfile

_READ = "Microsoft.ContainerService/managedClusters/read"
_LOG_IN = "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action"
_READ_MEMBERS = "Microsoft.ContainerService/fleets/members/read"
_PAGE = 1000


class _Options(TypedDict, total=False):
    base_url: str
    credential_scopes: list[str]
    retry_total: int


class _Plain(TypedDict, total=False):
    enforce_https: bool


class AzureDiscovery:
    """Questions to Azure Resource Manager. Each has all its pages read, or raises; none changes anything."""

    def __init__(self, settings: AzureSettings, identity: AzureIdentity) -> None:
        self._credential = identity
        self._scope = f"{settings.arm}/.default"
        self._options = _Options(base_url=settings.arm, credential_scopes=[self._scope], retry_total=4)
        # the SDK sends tokens over TLS only; settings allow less for loopback
        self._plain = _Plain(enforce_https=False) if settings.plain else _Plain()

    async def sign_in(self) -> None:
        """Get a token before the first question, since these errors say who lacks what.

        Raises:
            MidwatchError: as `AzureIdentity.token`.
        """
        await self._credential.token(self._scope)

    async def cluster(self, aks: AksId) -> DiscoveredCluster:
        """One cluster. Raises MidwatchError as `failures.named`."""
        with named(f"read {aks}", _READ, str(aks)):
            async with self._containers(aks.subscription) as client:
                return _cluster(await client.managed_clusters.get(aks.group, aks.name, **self._plain))

    async def user_kubeconfig(self, aks: AksId) -> str:
        """The kubeconfig that Azure gives to users of a cluster: with Entra ID it holds no secret.

        Raises:
            MidwatchError: as `failures.named`; `azure-incomplete` when the answer has none.
        """
        with named(f"get the address of {aks}", _LOG_IN, str(aks)):
            async with self._containers(aks.subscription) as client:
                answer = await client.managed_clusters.list_cluster_user_credentials(
                    aks.group, aks.name, format="exec", **self._plain
                )
        for found in answer.kubeconfigs or ():
            if found.value:
                return bytes(found.value).decode("utf-8", errors="replace")
        raise PermanentError("azure-incomplete", f"Azure's answer holds no kubeconfig for {aks}")

    async def in_group(self, subscription: str, group: str) -> list[DiscoveredCluster]:
        """The clusters of a resource group. Raises MidwatchError as `failures.named`."""
        scope = f"/subscriptions/{subscription}/resourceGroups/{group}"
        with named("list clusters", _READ, scope):
            async with self._containers(subscription) as client:
                pages = client.managed_clusters.list_by_resource_group(group, **self._plain)
                return [_cluster(found) async for found in pages]

    async def in_subscription(self, subscription: str) -> list[DiscoveredCluster]:
        """The clusters of a subscription that the identity may see. Raises MidwatchError as `failures.named`."""
        with named("list clusters", _READ, f"/subscriptions/{subscription}"):
            async with self._containers(subscription) as client:
                return [_cluster(found) async for found in client.managed_clusters.list(**self._plain)]

    async def tagged(self, subscriptions: Sequence[str], tags: Mapping[str, str]) -> list[AksId]:
        """The clusters that carry all the tags, by Resource Graph: it leaves out in silence what we may not see.

        Raises:
            MidwatchError: as `failures.named`; `azure-incomplete` when Azure cuts the answer and gives no next page.
        """
        from azure.mgmt.resourcegraph.aio import ResourceGraphClient  # noqa: PLC0415 - see identity.py
        from azure.mgmt.resourcegraph.models import QueryRequest, QueryRequestOptions  # noqa: PLC0415 - likewise

        found: list[AksId] = []
        skip: str | None = None
        scope = ", ".join(f"/subscriptions/{each}" for each in subscriptions)
        with named("ask Resource Graph", _READ, scope):
            async with ResourceGraphClient(self._credential.credential, **self._options) as client:
                while True:
                    options = QueryRequestOptions(skip_token=skip, top=_PAGE, result_format="objectArray")
                    query = QueryRequest(subscriptions=list(subscriptions), query=_query(tags), options=options)
                    answer = await client.resources(query, **self._plain)
                    rows = cast("list[dict[str, str]]", answer.data)  # the SDK leaves the rows' shape to the query
                    found += [AksId.parse(row["id"]) for row in rows]
                    skip = answer.skip_token
                    if skip:
                        continue
                    if str(answer.result_truncated).lower().endswith("true"):
                        text = f"Resource Graph cut its answer at {len(found)} clusters and gives no next page"
                        raise PermanentError("azure-incomplete", text)
                    return found

    async def members(self, fleet: FleetId) -> list[FleetMember]:
        """The clusters of a fleet, with their update groups. Raises MidwatchError as `failures.named`."""
        from azure.mgmt.containerservicefleet.aio import ContainerServiceFleetMgmtClient  # noqa: PLC0415 - likewise

        found = []
        with named(f"list the members of {fleet}", _READ_MEMBERS, str(fleet)):
            async with ContainerServiceFleetMgmtClient(
                self._credential.credential, fleet.subscription, **self._options
            ) as client:
                async for member in client.fleet_members.list_by_fleet(fleet.group, fleet.name, **self._plain):
                    facts = member.properties
                    if facts is not None:
                        found.append(FleetMember(AksId.parse(facts.cluster_resource_id), facts.group or None))
        return found

    def _containers(self, subscription: str) -> ContainerServiceClient:
        from azure.mgmt.containerservice.aio import ContainerServiceClient  # noqa: PLC0415 - likewise

        return ContainerServiceClient(self._credential.credential, subscription, **self._options)


def _query(tags: Mapping[str, str]) -> str:
    wanted = [f"tostring(tags[{_quoted(key)}]) =~ {_quoted(value)}" for key, value in sorted(tags.items())]
    only = "".join(f" | where {each}" for each in wanted)
    return (
        f"resources | where type =~ 'microsoft.containerservice/managedclusters'{only} | project id | order by id asc"
    )


def _quoted(text: str) -> str:
    """A string of the query language; a quote in a tag must not end it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _cluster(found: ManagedCluster) -> DiscoveredCluster:
    facts = found.properties
    power = facts.power_state if facts else None
    upgrades = facts.auto_upgrade_profile if facts else None
    access = facts.api_server_access_profile if facts else None
    channel = upgrades.node_os_upgrade_channel if upgrades else None
    return DiscoveredCluster(
        id=AksId.parse(found.id or ""),
        location=found.location or "",
        tags=tuple(sorted((found.tags or {}).items())),
        power=_word(power.code if power else None),
        provisioning=_word(facts.provisioning_state if facts else None),
        entra=bool(facts and facts.aad_profile),
        channel=_word(channel) or None,
        private=bool(access and access.enable_private_cluster),
        pools=tuple(_pool(profile) for profile in (facts.agent_pool_profiles if facts else None) or ()),
    )


def _pool(profile: ManagedClusterAgentPoolProfile) -> NodePool:
    power = _word(profile.power_state.code if profile.power_state else None)
    return NodePool(name=profile.name, power=power, provisioning=_word(profile.provisioning_state))


def _word(value: str | None) -> str:
    """The wire's word: the SDK's enumerations are strings whose `str` is their Python name."""
    return str(getattr(value, "value", value) or "")
