"""Which clusters a run works on."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from pydantic import Field

from midwatch.domain.base import Message
from midwatch.domain.cluster_sources import AzureSource
from midwatch.domain.discovered import DiscoveredCluster
from midwatch.domain.errors import UsageError
from midwatch.domain.policy import Policy
from midwatch.domain.resource_ids import AksId

SKIPPED = "cluster-skipped"
"""The code of the error that a cluster may not be entered in this run."""


class ClusterRef(Message):
    """One cluster, by the kubeconfig context or the AKS ID that reaches it.

    Attributes:
        name: what reports call it.
        context: the kubeconfig's context; empty for a cluster that is known by its AKS ID.
        server: the URL that the context had when the run began. A kubeconfig in which it is another one by now leads
            to another cluster, and nothing is done there. Empty: it was not known.
        aks: resource ID of the AKS cluster; empty for one of the kubeconfig.
        local_account: it has no Entra ID, and the policy allows the certificate that Azure gives out instead.
        private: its API server has a private address only, which explains why it may be out of reach.
        skip: why nothing may be asked of it in this run; empty: nothing speaks against it.
        barred_pools: node pools of which no node may be touched, and why.
        notes: what an operator should know of it.
    """

    name: str
    context: str
    server: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    aks: str = ""
    local_account: bool = False
    private: bool = False
    skip: str = ""
    barred_pools: dict[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def key(self) -> str:
        """What tells it from other clusters for as long as it exists; its name may change when others come."""
        return self.aks.lower() or self.context


def named_or_near(name: str, known: Sequence[str]) -> str:
    """A clause that names what there is, a close match first."""
    if not known:
        return "there is none"
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else "there are " + ", ".join(sorted(known))


type Found = Mapping[int, Sequence[DiscoveredCluster]]
"""What Azure has, by the position of the source in the policy."""


def listed(policy: Policy, found: Found) -> tuple[ClusterRef, ...]:
    """The clusters of the policy, in its order, each once, with names that differ."""
    refs: dict[str, ClusterRef] = {}
    for position, source in enumerate(policy.clusters):
        azure = source.azure()
        if azure is not None:
            new = [of_azure(cluster, azure) for cluster in found[position]]
        elif source.kubeconfig is not None:
            known = source.kubeconfig
            new = [ClusterRef(name=known.context, context=known.context, labels=known.labels)]
        for ref in new:
            before = refs.get(ref.key())
            refs[ref.key()] = ref if before is None else _merged(before, ref)
    return _named_apart(tuple(refs.values()))


def of_azure(cluster: DiscoveredCluster, source: AzureSource) -> ClusterRef:
    """A cluster of Azure under its own name, with what Azure says of it."""
    group = {} if cluster.update_group is None else {"updateGroup": cluster.update_group}
    no_way_in = "" if cluster.entra or source.allow_local_accounts else _NO_ENTRA
    return ClusterRef(
        name=cluster.id.name,
        context="",
        labels={**dict(cluster.tags), "location": cluster.location, **group, **source.labels},
        aks=str(cluster.id),
        local_account=not cluster.entra,
        private=cluster.private,
        skip=cluster.skip_reason() or no_way_in,
        barred_pools={pool.name: why for pool in cluster.pools if (why := pool.skip_reason())},
        notes=tuple(note for note in (cluster.channel_warning(),) if note),
    )


_NO_ENTRA = "it has no Entra ID, and the policy does not allow its local account (allowLocalAccounts)"


def _merged(one: ClusterRef, other: ClusterRef) -> ClusterRef:
    """A cluster that two sources list: the labels of both, the later ones going first; one that allows it is enough."""
    skip = "" if not (one.skip and other.skip) else other.skip
    return other.model_copy(update={"labels": {**one.labels, **other.labels}, "skip": skip})


def _named_apart(refs: tuple[ClusterRef, ...]) -> tuple[ClusterRef, ...]:
    """The shortest of NAME, NAME@GROUP and NAME@GROUP@SUBSCRIPTION that no other has; contexts keep their names."""
    names = {ref.key(): _spellings(ref)[0] for ref in refs}
    for longer in (1, 2):
        count = Counter(name.lower() for name in names.values())
        for ref in refs:
            if ref.aks and count[names[ref.key()].lower()] > 1:
                names[ref.key()] = _spellings(ref)[longer]
    return tuple(ref.model_copy(update={"name": names[ref.key()]}) for ref in refs)


def _spellings(ref: ClusterRef) -> tuple[str, ...]:
    if not ref.aks:
        return (ref.name,)
    aks = AksId.parse(ref.aks)
    return aks.name, f"{aks.name}@{aks.group}", f"{aks.name}@{aks.group}@{aks.subscription}"


def resolve(
    policy: Policy, wanted: Sequence[str], contexts: Collection[str], found: Found | None = None
) -> tuple[ClusterRef, ...]:
    """The clusters of a run, in the order asked for.

    Where the policy lists clusters, the caller chooses among them; where it lists none, among the contexts.

    Args:
        policy: the policy.
        wanted: names of clusters, or AKS IDs; empty means all that the policy lists.
        contexts: the contexts of the kubeconfig.
        found: what Azure has for each of the policy's sources there.

    Raises:
        UsageError: `no-clusters`, `unknown-cluster` or `unknown-context`, or the same name twice.
    """
    known = listed(policy, found or {})
    if not wanted and not policy.clusters:
        raise UsageError("no-clusters", "no cluster: the policy lists none and none was named")
    if not wanted and not known:
        raise UsageError(
            "no-clusters", "no cluster: the policy's sources in Azure have none that this identity may see"
        )
    refs = _chosen(known, wanted) if policy.clusters else [ClusterRef(name=name, context=name) for name in wanted]
    count = Counter(ref.key() for ref in refs)
    for ref in refs:
        if count[ref.key()] > 1:
            raise UsageError("duplicate-cluster", f"cluster {ref.name!r} is named twice")
        if not ref.aks and ref.context not in contexts:
            near = named_or_near(ref.context, list(contexts))
            raise UsageError("unknown-context", f"the kubeconfig has no context {ref.context!r}: {near}")
    return tuple(refs)


def _chosen(known: Sequence[ClusterRef], wanted: Iterable[str]) -> list[ClusterRef]:
    """Those that are named, or all."""
    by_name = {ref.name: ref for ref in known} | {ref.aks.lower(): ref for ref in known if ref.aks}
    names = list(wanted)
    for name in names:
        if name not in by_name and name.lower() not in by_name:
            near = named_or_near(name, [ref.name for ref in known])
            raise UsageError("unknown-cluster", f"the policy has no cluster {name!r}: {near}")
    return [by_name.get(name) or by_name[name.lower()] for name in names] or list(known)


def refuse_twins(clusters: Sequence[ClusterRef]) -> None:
    """One cluster under two names would get two budgets.

    Raises:
        UsageError: `duplicate-cluster`, two of them have the same server.
    """
    seen: dict[str, str] = {}
    for cluster in clusters:
        if cluster.server and (other := seen.setdefault(cluster.server, cluster.name)) != cluster.name:
            text = f"clusters {other!r} and {cluster.name!r} are one and the same: both lead to {cluster.server}"
            raise UsageError("duplicate-cluster", text)
