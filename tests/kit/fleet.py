"""Named clusters for one test, on control planes that live through the whole session."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.kit import background
from tests.kit.cluster import Cluster, write_kubeconfig
from tests.kit.controlplane.plane import ControlPlane
from tests.kit.kubelet.node import NodeSpec
from tests.kit.machines.machine import Behaviour

if TYPE_CHECKING:
    from collections.abc import Sequence

_BOOT_SECONDS = 1.5
"""Long enough for a watch to see the node go, short enough for a fast suite."""
_ZONES = 3


class ControlPlanes:
    """Control planes that wait for the next test; started when first needed, several side by side."""

    def __init__(self) -> None:
        self._idle: dict[bool, list[ControlPlane]] = {False: [], True: []}
        self._all: list[ControlPlane] = []

    def take(self, count: int, *, bare_ca: bool = False) -> list[ControlPlane]:
        """So many control planes, empty and ready."""
        idle = self._idle[bare_ca]
        first = len(self._all) + 1
        new = [ControlPlane(f"plane{first + n}", bare_ca=bare_ca) for n in range(count - len(idle))]
        self._all += new
        for plane in new:
            plane.launch()
        for plane in new:
            plane.wait_ready()
        taken = [*idle, *new][:count]
        self._idle[bare_ca] = idle[count:]
        return taken

    def give_back(self, plane: ControlPlane, *, bare_ca: bool = False) -> None:
        """Take an emptied control plane back."""
        self._idle[bare_ca].append(plane)

    def stop(self) -> None:
        """Stop them all."""
        for plane in self._all:
            plane.stop()


class Fleet:
    """The clusters of one test, by name."""

    def __init__(self, planes: ControlPlanes) -> None:
        self._planes = planes
        self._bare: dict[str, bool] = {}
        self.clusters: dict[str, Cluster] = {}
        self.folder = background.scratch("fleet")

    def create(
        self,
        *names: str,
        nodes: int | Sequence[NodeSpec] = 3,
        behaviour: Behaviour | None = None,
        bare_ca: bool = False,
        simulated_npd: bool = True,
    ) -> list[Cluster]:
        """Clusters of these names, each with these nodes; a number stands for `{cluster}-0`, `{cluster}-1`, ...

        `simulated_npd`: the kubelets set the condition; where False, `Cluster.start_npd` runs the real one.
        """
        made = []
        for name, plane in zip(names, self._planes.take(len(names), bare_ca=bare_ca), strict=True):
            cluster = self.clusters[name] = Cluster(name, plane)
            self._bare[name] = bare_ca
            specs = numbered(name, nodes) if isinstance(nodes, int) else nodes
            cluster.add_nodes(specs, behaviour or Behaviour(boot_seconds=_BOOT_SECONDS))
            if simulated_npd:
                cluster.simulate_npd()
            made.append(cluster)
        return made

    def kubeconfig(self, user: str = "midwatch") -> Path:
        """One kubeconfig for a user with a context per cluster."""
        return write_kubeconfig(self.folder / f"{user}.kubeconfig", user, self.clusters.values())

    def close(self) -> None:
        """Stop all machines, empty the clusters and give their control planes back.

        Raises:
            RuntimeError: the kit itself failed in the background.
        """
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            for name, cluster in self.clusters.items():
                stack.callback(self._close, cluster, bare_ca=self._bare[name])

    def _close(self, cluster: Cluster, *, bare_ca: bool) -> None:
        """One that cannot be emptied is not given back, only stopped at the end."""
        cluster.close()
        self._planes.give_back(cluster.plane, bare_ca=bare_ca)
        cluster.check()


def numbered(cluster: str, count: int, *, pool: str = "nodepool1", os: str = "linux") -> list[NodeSpec]:
    """Specifications of so many nodes, in turn in each of three zones."""
    return [NodeSpec(f"{cluster}-{n}", pool=pool, zone=f"westeurope-{n % _ZONES + 1}", os=os) for n in range(count)]
