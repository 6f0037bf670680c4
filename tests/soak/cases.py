"""What a drawn case consists of: clusters, policy, and what happens while Midwatch works on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from midwatch.simulator import Behaviour, Workload

if TYPE_CHECKING:
    from midwatch.simulator import Fault

DEAD_RUN = "20200101-000000-dead00"
"""The run whose claims a case may begin with."""
RIVAL = "20200101-000000-rival0"
"""Who holds a lease that is not Midwatch's."""


class Doubt(StrEnum):
    """Why it is not known whether a node needs a reboot."""

    ABSENT = "absent"
    UNKNOWN = "unknown"
    STALE = "stale"


class Act(StrEnum):
    """What others do meanwhile."""

    CORDON = "cordon"
    UNCORDON = "uncordon"
    POWER_OFF = "power-off"
    DELETE_NODE = "delete-node"
    STEAL_LEASE = "steal-lease"
    DROP_WATCHES = "drop-watches"
    CANCEL = "cancel"
    KILL = "kill"
    """`kill -9` of the host, which is started again."""


@dataclass(frozen=True)
class Strike:
    """Something that happens after so many changes by Midwatch to a cluster."""

    act: Act
    after: int
    node: str = ""


@dataclass(frozen=True)
class NodePlan:
    """One node as it is before the run.

    Attributes:
        needs: whether it asks for a reboot.
        human: whether a human has cordoned it.
        off: whether its machine is off, and stays so.
        claimed: whether a run that is no more has left it claimed and cordoned.
    """

    name: str
    pool: str
    zone: str
    os: str = "linux"
    needs: bool = False
    doubt: Doubt | None = None
    human: bool = False
    off: bool = False
    claimed: bool = False
    behaviour: Behaviour = field(default_factory=Behaviour)


@dataclass(frozen=True)
class ClusterPlan:
    """One cluster. `holder`: of its lease; empty: nobody."""

    name: str
    nodes: tuple[NodePlan, ...]
    workloads: tuple[Workload, ...] = ()
    bare: tuple[str, ...] = ()
    """Nodes that run a pod without a controller."""
    faults: tuple[Fault, ...] = ()
    strikes: tuple[Strike, ...] = ()
    holder: str = ""


@dataclass(frozen=True)
class Case:
    """A fleet, a policy, and what happens."""

    seed: int
    clusters: tuple[ClusterPlan, ...]
    policy: dict[str, dict[str, object]] = field(default_factory=dict)

    @property
    def calm(self) -> bool:
        """Whether nothing is in the way of any reboot, so that each node that asks for one must get it."""
        drain = self.policy["drain"]
        if self.policy["nodes"]["countCordoned"] and any(node.human for plan in self.clusters for node in plan.nodes):
            return False
        return drain["force"] is True and drain["deleteEmptyDirData"] is True and all(map(_is_calm, self.clusters))


def _is_calm(plan: ClusterPlan) -> bool:
    well = all(node.behaviour == Behaviour() and not node.off and not node.claimed for node in plan.nodes)
    blocks = any(w.min_available is not None or w.max_unavailable is not None for w in plan.workloads)
    return well and not blocks and not plan.holder and not plan.faults and not plan.strikes


def budget_of(limit: object, total: int) -> int:
    """The most nodes that may be unavailable, as the policy reference defines it."""
    return limit if isinstance(limit, int) else max(1, total * int(str(limit).rstrip("%")) // 100)
