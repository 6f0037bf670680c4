"""Several simulated clusters in one thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from midwatch.simulator.cluster import SimulatedCluster
from midwatch.simulator.kubeconfig import write_kubeconfig
from midwatch.simulator.loops import LoopThread
from midwatch.simulator.machines import Behaviour, NodeSpec
from midwatch.simulator.plane import FleetSettings, Plane
from midwatch.simulator.world import Timings

_ZONES = 3
_HISTORY = 5000
"""Changes: a watch that begins at a list of a moment ago is sure to find its beginning, and memory stays bounded."""


class SimulatedFleet:
    """A context manager; its end leaves nothing behind.

    Args:
        seed: decides on all names, UIDs and dice. Requests from outside still come when they come.
        scale: real seconds per simulated second: 1 is real time, 0.02 is fifty times as fast, 0 takes no time at all.
        timings: how long things take, in simulated seconds.
        history: how many changes a watch may lag behind before it gets 410.
        idle_watch_seconds: a watch with a time limit is over as soon as the cluster has been idle for so many real
            seconds: nothing due, no request, no change. It is what lets hours pass at scale 0. None: it lasts.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        scale: float = 1.0,
        timings: Timings | None = None,
        history: int = _HISTORY,
        idle_watch_seconds: float | None = None,
    ) -> None:
        self._settings = FleetSettings(seed, scale, timings or Timings(), history, idle_watch_seconds)
        self._loop = LoopThread("simulator")
        self._planes: list[Plane] = []
        self.clusters: dict[str, SimulatedCluster] = {}

    def __enter__(self) -> Self:
        """The fleet; it has no clusters yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all clusters."""
        self.close()

    def create(
        self, *names: str, nodes: int | Sequence[NodeSpec] = 3, behaviour: Behaviour | None = None
    ) -> list[SimulatedCluster]:
        """Start clusters, each with these nodes; a number stands for `{cluster}-0`, `{cluster}-1`, ..."""
        return [self._start(name, nodes, behaviour) for name in names]

    def kubeconfig(self, path: Path, user: str = "admin") -> Path:
        """Write one kubeconfig for a user, with a context per cluster."""
        return write_kubeconfig(path, [cluster.context(user) for cluster in self.clusters.values()])

    def quiesce(self, seconds: float = 60.0) -> None:
        """Wait until nothing is due in any cluster.

        Raises:
            TimeoutError: it is not so within these real seconds, for one of them.
        """
        for cluster in self.clusters.values():
            cluster.quiesce(seconds)

    def check(self) -> None:
        """Raise what went wrong inside.

        Raises:
            ExceptionGroup: of the first cluster in which something did.
        """
        for cluster in self.clusters.values():
            cluster.check()

    def close(self) -> None:
        """Stop all clusters and the thread. A second call does nothing."""
        for plane in self._planes:
            self._loop.run(plane.stop())
        self._planes.clear()
        self._loop.stop()

    def _start(self, name: str, nodes: int | Sequence[NodeSpec], behaviour: Behaviour | None) -> SimulatedCluster:
        if name in self.clusters:
            raise ValueError(f"there is a cluster {name!r} already")

        async def start() -> tuple[Plane, str, str]:
            plane = Plane(name, self._settings)
            return plane, *await plane.start()

        plane, server, ca = self._loop.run(start())
        self._planes.append(plane)
        cluster = self.clusters[name] = SimulatedCluster(name, plane, self._loop, server, ca)
        cluster.add_nodes(numbered(name, nodes) if isinstance(nodes, int) else nodes, behaviour)
        return cluster


def numbered(cluster: str, count: int, *, pool: str = "nodepool1", os: str = "linux") -> list[NodeSpec]:
    """Specifications of so many nodes, in turn in each of three zones."""
    return [NodeSpec(f"{cluster}-{n}", pool=pool, zone=f"westeurope-{n % _ZONES + 1}", os=os) for n in range(count)]
