"""Which clusters a run works on."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from pydantic import Field

from midwatch.domain.base import Message
from midwatch.domain.errors import UsageError
from midwatch.domain.policy import Policy


class ClusterRef(Message):
    """One cluster, by the kubeconfig context that reaches it.

    Attributes:
        name: what reports call it.
        server: the URL that the context had when the run began. A kubeconfig in which it is another one by now leads
            to another cluster, and nothing is done there. Empty: it was not known.
    """

    name: str
    context: str
    server: str = ""
    labels: dict[str, str] = Field(default_factory=dict)


def named_or_near(name: str, known: Sequence[str]) -> str:
    """A clause that names what there is, a close match first."""
    if not known:
        return "there is none"
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else "there are " + ", ".join(sorted(known))


def resolve(policy: Policy, wanted: Sequence[str], contexts: Sequence[str]) -> tuple[ClusterRef, ...]:
    """The clusters of a run, in the order asked for.

    Where the policy lists clusters, the caller chooses among them; where it lists none, among the contexts.

    Args:
        policy: the policy.
        wanted: names of clusters; empty means all that the policy lists.
        contexts: the contexts of the kubeconfig.

    Raises:
        UsageError: `no-clusters`, `unknown-cluster` or `unknown-context`, or the same name twice.
    """
    listed = {s.kubeconfig.context: s.kubeconfig for s in policy.clusters}
    if not wanted and not listed:
        raise UsageError("no-clusters", "no cluster: the policy lists none and none was named")
    names = list(wanted) or list(listed)
    for name in names:
        if names.count(name) > 1:
            raise UsageError("duplicate-cluster", f"cluster {name!r} is named twice")
        if listed and name not in listed:
            raise UsageError(
                "unknown-cluster", f"the policy has no cluster {name!r}: {named_or_near(name, list(listed))}"
            )
        if name not in contexts:
            raise UsageError(
                "unknown-context", f"the kubeconfig has no context {name!r}: {named_or_near(name, contexts)}"
            )
    return tuple(
        ClusterRef(name=name, context=name, labels=listed[name].labels if name in listed else {}) for name in names
    )


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
