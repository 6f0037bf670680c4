"""What the tests of the simulator share: a client, and the rules that must hold in every single state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midwatch.simulator import Change, ChangeType, SimulatedCluster
from tests.kit.api import Api
from tests.kit.objects import Budget, Node

if TYPE_CHECKING:
    from pathlib import Path


def api_of(cluster: SimulatedCluster, folder: Path, user: str = "admin", *, seconds: float = 20) -> Api:
    """A client of a simulated cluster."""
    authority = folder / f"{cluster.name}.crt"
    authority.write_text(cluster.ca)
    return Api(cluster.server, authority, cluster.token(user), timeout_seconds=seconds)


class Watchman:
    """Looks at every change of a cluster and keeps what must never happen.

    Rules: never more than `most` nodes not Ready or cordoned by others than `human`; no PDB below its desired count
    once it was above; no cordon of a human removed.
    """

    def __init__(self, cluster: SimulatedCluster, *, most: int, human: frozenset[str] = frozenset()) -> None:
        self.violations: list[str] = []
        self.worst = 0
        self._most = most
        self._human = human
        self._out: set[str] = set()
        self._healthy: set[str] = set()
        cluster.observe(self._look)

    def _look(self, change: Change) -> None:
        if change.resource.plural == "nodes":
            self._look_at_node(change)
        elif change.resource.plural == "poddisruptionbudgets" and change.type is not ChangeType.DELETED:
            self._look_at_budget(Budget.model_validate(change.record.doc))

    def _look_at_node(self, change: Change) -> None:
        node = Node.model_validate(change.record.doc)
        name = node.metadata.name
        cordoned = node.spec.unschedulable and name not in self._human
        gone = change.type is ChangeType.DELETED
        (self._out.add if not gone and (cordoned or not node.ready) else self._out.discard)(name)
        self.worst = max(self.worst, len(self._out))
        if len(self._out) > self._most:
            self.violations.append(f"unavailable: {sorted(self._out)}")
        if name in self._human and not gone and not node.spec.unschedulable:
            self.violations.append(f"human cordon of {name} removed")

    def _look_at_budget(self, budget: Budget) -> None:
        uid, status = budget.metadata.uid, budget.status
        if status.current_healthy >= status.desired_healthy > 0:
            self._healthy.add(uid)
        elif uid in self._healthy:
            self.violations.append(f"{budget.metadata.name}: {status.current_healthy} of {status.desired_healthy}")
