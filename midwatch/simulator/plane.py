"""One cluster, put together: store, controllers, kubelets, and the server in front of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from midwatch.simulator.access import Access
from midwatch.simulator.actions import Actions
from midwatch.simulator.agenda import Agenda
from midwatch.simulator.authority import new_identity
from midwatch.simulator.budgets import Budgets
from midwatch.simulator.controllers.daemons import Daemons
from midwatch.simulator.controllers.node_lifecycle import NodeLifecycle
from midwatch.simulator.controllers.replicas import Replicas
from midwatch.simulator.controllers.scheduler import Scheduler
from midwatch.simulator.controllers.service_accounts import ServiceAccounts
from midwatch.simulator.copies import Copies
from midwatch.simulator.deletion import Deletions
from midwatch.simulator.eviction import Evictions
from midwatch.simulator.faults import Faults
from midwatch.simulator.idleness import Idleness
from midwatch.simulator.kubelets import Kubelets
from midwatch.simulator.registry import Registry
from midwatch.simulator.server import ApiServer
from midwatch.simulator.store import Change, Store
from midwatch.simulator.watches import WatchHub
from midwatch.simulator.workloads import WorkloadMaker
from midwatch.simulator.world import Timings, World

_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """What all clusters of a fleet have in common; `SimulatedFleet` says what it means."""

    seed: int
    scale: float
    timings: Timings
    history: int
    idle_watch_seconds: float | None


class Plane:
    """All parts of a cluster. Everything here is for the loop's thread; the settings are those of the fleet."""

    def __init__(self, name: str, settings: FleetSettings) -> None:
        self.failures: list[Exception] = []
        self.store = Store()
        dice = random.Random(f"{settings.seed}/{name}")  # noqa: S311 - a simulation that can be repeated
        self.world = World(name, self.store, Agenda(settings.scale, self.failures.append), dice, settings.timings)
        self.hub = WatchHub(self.store, settings.history)
        self.registry = Registry(self.world)
        self.deletions = Deletions(self.registry)
        budgets = Budgets(self.world)
        self.actions = Actions(
            self.registry, self.deletions, Evictions(self.registry, self.deletions, budgets), self.hub
        )
        self.kubelets = Kubelets(self.registry, self.deletions)
        Scheduler(self.world)
        Replicas(self.registry, self.deletions)
        Daemons(self.registry)
        NodeLifecycle(self.registry, self.deletions)
        ServiceAccounts(self.registry)
        self.workloads = WorkloadMaker(self.registry)
        self.copies = Copies(self.registry, self.kubelets, self.workloads)
        self.access = Access(name)
        self.faults = Faults(dice)
        idleness = Idleness(self.world.agenda, settings.idle_watch_seconds)
        self.store.observe(lambda _: idleness.touch())
        self.server = ApiServer(self.actions, self.access, self.faults, idleness)
        self._beating: asyncio.Task[None] | None = None

    async def start(self) -> tuple[str, str]:
        """Serve; the server's address and its authority (PEM)."""
        for name in _NAMESPACES:
            self.workloads.namespace(name)
        identity = new_identity(self.world.name)
        port = await self.server.start(identity)
        self._beating = asyncio.create_task(self._beat())
        return f"https://127.0.0.1:{port}", identity.ca

    async def stop(self) -> None:
        """Stop serving and everything that is due."""
        self.world.agenda.stop()
        self.hub.drop_all()
        if self._beating is not None:
            self._beating.cancel()
        await self.server.stop()

    def observe(self, observer: Callable[[Change], None]) -> None:
        """Call a function with every change, in the loop's thread; what it raises is kept among the failures."""

        def guarded(change: Change) -> None:
            try:
                observer(change)
            except Exception as error:  # noqa: BLE001 - an assertion of a test must not end the simulation
                self.failures.append(error)

        self.store.observe(guarded)

    def forget_history(self) -> None:
        """Drop the history: watches and lists that were begun before have to begin anew (410)."""
        self.hub.forget()
        self.actions.pages.forget()

    async def _beat(self) -> None:
        """Confirm conditions in time. This is real time: Midwatch doubts a condition by the machine's clock."""
        oldest = timedelta(seconds=self.world.timings.heartbeat)
        while True:
            await asyncio.sleep(self.world.timings.heartbeat / 4)
            self.kubelets.confirm(self.world.now() - oldest)
