"""What Azure says of a cluster, and whether a run may go there at all."""

from __future__ import annotations

from dataclasses import dataclass

from midwatch.domain.resource_ids import AksId

_SETTLED = "Succeeded"
_REBOOTING_CHANNEL = "Unmanaged"


@dataclass(frozen=True, slots=True)
class NodePool:
    """A node pool as Azure describes it; `power` and `provisioning` are empty when it does not say."""

    name: str
    power: str
    provisioning: str

    def skip_reason(self) -> str | None:
        """Why no node of it may be touched now; None when nothing speaks against it."""
        if self.power == "Stopped":
            return "it is stopped"
        if self.provisioning != _SETTLED:
            return f"its provisioning state is {self.provisioning or 'unknown'}"
        return None


@dataclass(frozen=True, slots=True)
class DiscoveredCluster:
    """A cluster as Azure Resource Manager describes it.

    Attributes:
        tags: the tags of the cluster.
        power: `Running` or `Stopped`; empty when Azure does not say.
        provisioning: state of the last operation, such as `Succeeded`, `Upgrading`, `Failed`; empty as above.
        entra: whether people and programs sign in with Entra ID.
        channel: the node OS upgrade channel; None when none is set.
        private: whether the API server has a private address only.
        pools: its node pools.
        update_group: of the Fleet Manager in which it was found; None: in none.
    """

    id: AksId
    location: str
    tags: tuple[tuple[str, str], ...]
    power: str
    provisioning: str
    entra: bool
    channel: str | None
    private: bool
    pools: tuple[NodePool, ...] = ()
    update_group: str | None = None

    def skip_reason(self) -> str | None:
        """Why no node of it may be touched now, what is unknown included; None when nothing speaks against it."""
        if self.power != "Running":
            return f"the cluster is {self.power.lower()}" if self.power else "Azure does not say whether it is running"
        if self.provisioning != _SETTLED:
            state = self.provisioning or "unknown"
            return f"its provisioning state is {state}: Azure is changing it, or the last change failed"
        return None

    def channel_warning(self) -> str | None:
        """Why its nodes may never ask for a reboot; None when nightly updates run on them."""
        if self.channel == _REBOOTING_CHANNEL:
            return None
        named = f"is {self.channel}" if self.channel else "is not set"
        return f"the node OS upgrade channel {named}: nodes install no updates at night and rarely ask for a reboot"


@dataclass(frozen=True, slots=True)
class FleetMember:
    """A cluster that a Fleet Manager lists, with its update group (None: in none)."""

    cluster: AksId
    group: str | None
