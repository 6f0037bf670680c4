"""What Azure says of a cluster, as checks."""

from __future__ import annotations

from midwatch.domain.clusters import ClusterRef
from midwatch.domain.doctor.checks import Check, CheckId, doubtful, failed, fine


def azure_checks(cluster: ClusterRef) -> tuple[Check, ...]:
    """State, node pools and node OS channel of an AKS cluster; nothing for one of the kubeconfig."""
    if not cluster.aks:
        return ()
    if cluster.skip:
        remedy = "start it, wait until Azure has done with it, or see docs/azure.md for Entra ID"
        return (failed(CheckId.AZURE, "state", f"a run skips it: {cluster.skip}", remedy),)
    found = [fine(CheckId.AZURE, "state", "running, and its last change succeeded")]
    for pool, why in sorted(cluster.barred_pools.items()):
        text = f"a run skips its nodes: {why}"
        found.append(doubtful(CheckId.AZURE, f"node pool {pool}", text, "wait, or mend the pool"))
    for note in cluster.notes:
        remedy = "set the channel to Unmanaged (docs/operations.md)"
        found.append(doubtful(CheckId.AZURE, "node OS channel", note, remedy))
    return tuple(found)
