"""The machine behind a node: its boots, its sentinel, and how it fails when told to."""

from __future__ import annotations

from dataclasses import dataclass, field

_FIRST_KERNEL = 1064


@dataclass(frozen=True)
class NodeSpec:
    """A node to be, labelled as AKS labels it. A zone is like `westeurope-1`; None: no zone."""

    name: str
    pool: str = "nodepool1"
    zone: str | None = "westeurope-1"
    os: str = "linux"
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Behaviour:
    """How a machine takes a reboot. The defaults are a machine that works."""

    boot_seconds: float = 60.0
    """How long it is down, in simulated seconds."""
    ignores_reboot: bool = False
    """It gets the signal and does nothing."""
    returns: bool = True
    """False: it goes down and stays so."""
    clean: bool = True
    """False: the kubelet does not say NotReady, its heartbeats just stop."""
    deleted_while_down: bool = False
    """The node object is deleted, and the machine does not come back."""
    keeps_sentinel: bool = False
    """It asks for a reboot again after the boot."""


@dataclass
class Machine:
    """A machine.

    Attributes:
        boots: how often it has rebooted, by whatever cause. Tests count here, not in what Midwatch reports.
        signals: how often it was told to reboot, also where it was ignored.
        packages: what the sentinel names; None: there is no sentinel.
        life: counts starts and stops, so that what was due in an earlier one is known as over.
    """

    spec: NodeSpec
    behaviour: Behaviour
    address: str
    boot_id: str
    boots: int = 0
    signals: int = 0
    up: bool = True
    packages: tuple[str, ...] | None = None
    life: int = 0

    @property
    def name(self) -> str:
        """Of the node, too."""
        return self.spec.name

    @property
    def kernel(self) -> str:
        """The kernel's version: another one after each boot."""
        if self.spec.os == "windows":
            return f"10.0.20348.{2000 + self.boots}"
        return f"5.15.0-{_FIRST_KERNEL + self.boots}-azure"
