"""Which pods are on which node, as the changes tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midwatch.simulator import Change, ChangeType
from tests.kit.objects import Pod

if TYPE_CHECKING:
    from tests.soak.staging import Staged

_FINISHED = frozenset({"Succeeded", "Failed"})


class PodBook:
    """Kept up to date by the watcher, in the simulator's thread."""

    def __init__(self, staged: Staged) -> None:
        pods = [Pod.model_validate(doc) for doc in staged.cluster.objects("v1", "Pod")]
        self._pods = {pod.metadata.uid: pod for pod in pods}

    def note(self, change: Change) -> Pod:
        """Take a change; the pod."""
        pod = Pod.model_validate(change.record.doc)
        if change.type is ChangeType.DELETED:
            self._pods.pop(pod.metadata.uid, None)
        else:
            self._pods[pod.metadata.uid] = pod
        return pod

    def to_drain(self, node: str) -> list[str]:
        """The pods of a node that a drain has to move."""
        return sorted(name_of(pod) for pod in self._pods.values() if pod.spec.node_name == node and _moves(pod))


def name_of(pod: Pod) -> str:
    """`namespace/name`."""
    return f"{pod.metadata.namespace}/{pod.metadata.name}"


def _moves(pod: Pod) -> bool:
    daemon = any(owner.kind == "DaemonSet" for owner in pod.metadata.owner_references)
    return not daemon and pod.metadata.namespace != "midwatch" and pod.status.phase not in _FINISHED
