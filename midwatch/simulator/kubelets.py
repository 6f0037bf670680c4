"""The kubelets of a cluster: they register nodes, take machines through their reboots, and post conditions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from midwatch.simulator import node_events, node_status
from midwatch.simulator.agenda import Action, Timers
from midwatch.simulator.deletion import DeleteOptions, Deletions
from midwatch.simulator.documents import JsonObject
from midwatch.simulator.machines import Behaviour, Machine, NodeSpec
from midwatch.simulator.pod_runners import PodRunners
from midwatch.simulator.registry import Registry
from midwatch.simulator.resources import NODES

_ADDRESSES = 250

type Write = Callable[[JsonObject, Machine, datetime], JsonObject]


class Kubelets:
    """All kubelets and detectors of a cluster.

    Attributes:
        machines: by node name; those whose node was deleted stay.
    """

    def __init__(self, registry: Registry, deletions: Deletions) -> None:
        self._registry = registry
        self._world = registry.world
        self._deletions = deletions
        self.machines: dict[str, Machine] = {}
        self._silence: Timers[str] = Timers(self._world.agenda)
        self._pods = PodRunners(registry, self.machines, self.tell_reboot)

    def add(self, spec: NodeSpec, behaviour: Behaviour) -> Machine:
        """Boot a machine and register its node, Ready and asking for no reboot."""
        number = len(self.machines) + 4
        address = f"10.240.{number // _ADDRESSES}.{number % _ADDRESSES + 1}"
        machine = Machine(spec, behaviour, address, self._world.new_uid())
        self.machines[spec.name] = machine
        now = self._world.now()
        node = node_status.need_status(node_status.registration(machine, now), machine, now)
        self._registry.create(NODES, "", node)
        return machine

    def require_reboot(self, name: str, packages: tuple[str, ...], age: timedelta) -> None:
        """Leave the sentinel; the detector says so at its next look. It has been there for `age`."""
        machine = self.machines[name]
        machine.packages = packages
        self._later(machine, self._world.timings.detector, lambda: self._detect(machine, age))

    def tell_reboot(self, machine: Machine) -> bool:
        """Tell a machine to reboot; whether it does."""
        machine.signals += 1
        if machine.behaviour.ignores_reboot:
            return False
        self._later(
            machine, self._world.timings.shutdown, lambda: self._go_down(machine, clean=machine.behaviour.clean)
        )
        return True

    def power_off(self, name: str) -> None:
        """End a machine at once, as a power cut; it boots again as its behaviour says."""
        if self.machines[name].up:
            self._go_down(self.machines[name], clean=False)

    def confirm(self, older_than: datetime) -> None:
        """Write new heartbeats for the nodes whose newest one is older than that, and whose machine is up."""
        for machine in self.machines.values():
            node = self._world.store.get(NODES, "", machine.name)
            if node is not None and machine.up:
                newest = node_status.newest_heartbeat(node.doc)
                if newest is None or newest < older_than:
                    self._world.store.put(NODES, node_status.confirmed(node.doc, self._world.now()))

    # -- the life of a machine ----------------------------------------------------------------------------------------

    def _later(self, machine: Machine, seconds: float, act: Action) -> None:
        """Do something to a machine, unless it has gone down or come up meanwhile."""
        life = machine.life

        def still() -> None:
            if machine.life == life:
                act()

        self._world.agenda.after(seconds, still)

    def _go_down(self, machine: Machine, *, clean: bool) -> None:
        machine.up = False
        machine.life += 1
        if clean:
            self._write(machine, node_status.leaving_status)
            self._say(machine, "Normal", "NodeNotReady", f"Node {machine.name} status is now: NodeNotReady")
        else:
            self._silence.set(machine.name, self._world.timings.node_grace, lambda: self._fall_silent(machine))
        if machine.behaviour.deleted_while_down:
            if self._world.store.get(NODES, "", machine.name) is not None:
                self._deletions.delete(NODES, ("", machine.name), DeleteOptions())
        elif machine.behaviour.returns:
            self._world.agenda.after(machine.behaviour.boot_seconds, lambda: self._come_up(machine))

    def _fall_silent(self, machine: Machine) -> None:
        self._write(machine, lambda node, _, now: node_status.silent_status(node, now))

    def _come_up(self, machine: Machine) -> None:
        self._silence.cancel(machine.name)
        machine.up = True
        machine.life += 1
        machine.boots += 1
        machine.boot_id = self._world.new_uid()
        if not machine.behaviour.keeps_sentinel:
            machine.packages = None
        self._write(machine, node_status.ready_status)
        self._say(machine, "Warning", "Rebooted", f"Node {machine.name} has been rebooted, boot id: {machine.boot_id}")
        self._say(machine, "Normal", "NodeReady", f"Node {machine.name} status is now: NodeReady")
        self._pods.machine_up(machine)
        self._later(machine, self._world.timings.detector, lambda: self._detect(machine, timedelta(0)))

    def _detect(self, machine: Machine, age: timedelta) -> None:
        self._write(machine, node_status.need_status)
        node = self._world.store.get(NODES, "", machine.name)
        if node is not None and age:
            self._world.store.put(NODES, node_status.aged_need(node.doc, self._world.now() - age))

    def _say(self, machine: Machine, kind: str, reason: str, message: str) -> None:
        node = self._world.store.get(NODES, "", machine.name)
        if node is not None:
            node_events.record(self._registry, node.doc, kind, reason, message)

    def _write(self, machine: Machine, write: Write) -> None:
        """Change the node. Its heartbeats grow with every write after a boot, however quick that was."""
        node = self._world.store.get(NODES, "", machine.name)
        if node is None:
            return
        now = self._world.now()
        booted = node_status.boot_id(node.doc) != machine.boot_id
        when = node_status.after_heartbeats(node.doc, now) if booted else node_status.not_before(node.doc, now)
        self._world.store.put(NODES, write(node.doc, machine, when))
