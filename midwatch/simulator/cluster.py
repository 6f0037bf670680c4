"""A simulated cluster as its users hold it: every method may be called from any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypedDict, Unpack

from midwatch.simulator import node_status
from midwatch.simulator.access import Rule
from midwatch.simulator.documents import JsonObject, namespace_of, put, text
from midwatch.simulator.faults import Fault
from midwatch.simulator.kubeconfig import Context, write_kubeconfig
from midwatch.simulator.loops import LoopThread
from midwatch.simulator.machines import Behaviour, Machine, NodeSpec
from midwatch.simulator.plane import Plane
from midwatch.simulator.resources import NODES, Resource, of_kind
from midwatch.simulator.store import Change
from midwatch.simulator.workloads import Workload


class BehaviourChange(TypedDict, total=False):
    """The fields of `Behaviour`."""

    boot_seconds: float
    ignores_reboot: bool
    returns: bool
    clean: bool
    deleted_while_down: bool
    keeps_sentinel: bool


class SimulatedCluster:
    """One cluster; made by `SimulatedFleet.create`.

    Attributes:
        server: its address.
        ca: its authority, PEM.
    """

    def __init__(self, name: str, plane: Plane, loop: LoopThread, server: str, ca: str) -> None:
        self.name = name
        self.server = server
        self.ca = ca
        self._plane = plane
        self._loop = loop

    # -- who may come in ----------------------------------------------------------------------------------------------

    def token(self, user: str) -> str:
        """The bearer token of a user, who is known from now on, and may do everything unless restricted."""
        return self._loop.call(lambda: self._plane.access.token(user))

    def restrict(self, user: str, rules: Iterable[Rule]) -> None:
        """From now on a user may do just this; everything else is 403."""
        self._loop.call(lambda: self._plane.access.restrict(user, rules))

    def revoke(self, user: str) -> None:
        """From now on the user's token is answered by 401, until `token` is asked for again."""
        self._loop.call(lambda: self._plane.access.revoke(user))

    def review_tokens(self, who: Callable[[str], str | None]) -> None:
        """From now on ask `who`, on any thread, whose an unknown token is, as a token webhook is; None: nobody's."""
        self._loop.call(lambda: self._plane.access.review(who))

    def context(self, user: str = "admin") -> Context:
        """How a user reaches the cluster; the context is named after the cluster."""
        return Context(self.name, self.server, self.ca, self.token(user))

    def kubeconfig(self, path: Path, user: str = "admin") -> Path:
        """Write a kubeconfig for a user."""
        return write_kubeconfig(path, [self.context(user)])

    # -- nodes and machines -------------------------------------------------------------------------------------------

    def add_nodes(self, specs: Iterable[NodeSpec], behaviour: Behaviour | None = None) -> None:
        """Boot a machine per specification; their nodes are Ready at once."""

        def add() -> None:
            for spec in specs:
                self._plane.kubelets.add(spec, behaviour or Behaviour())

        self._loop.call(add)

    @property
    def machines(self) -> Mapping[str, Machine]:
        """The machines by node name, as they are now: copies."""
        return self._loop.call(lambda: {name: replace(m) for name, m in self._plane.kubelets.machines.items()})

    @property
    def boots(self) -> dict[str, int]:
        """How often each machine has rebooted, those that never did left out."""
        return {name: machine.boots for name, machine in self.machines.items() if machine.boots}

    def behave(self, node: str, **change: Unpack[BehaviourChange]) -> None:
        """Change how a machine takes its next reboot."""

        def apply() -> None:
            machine = self._plane.kubelets.machines[node]
            machine.behaviour = replace(machine.behaviour, **change)

        self._loop.call(apply)

    def set_behaviour(self, node: str, behaviour: Behaviour) -> None:
        """Say how a machine takes its next reboot."""

        def apply() -> None:
            self._plane.kubelets.machines[node].behaviour = behaviour

        self._loop.call(apply)

    def require_reboot(self, node: str, *packages: str, age: timedelta = timedelta(0)) -> None:
        """Leave the sentinel on a machine; the node's condition follows. It has been there for `age`."""
        self._loop.call(lambda: self._plane.kubelets.require_reboot(node, packages, age))

    def set_condition(self, node: str, kind: str, status: str | None, *, age: timedelta = timedelta(0)) -> None:
        """Have a node's condition say this, last confirmed `age` ago; None takes the condition away."""

        def apply() -> None:
            record = self._plane.registry.find(NODES, "", node)
            doc = node_status.told(record.doc, kind, status, self._plane.world.now() - age)
            self._plane.store.put(NODES, doc)

        self._loop.call(apply)

    def power_off(self, node: str) -> None:
        """End a machine at once, as a power cut; it boots again as its behaviour says."""
        self._loop.call(lambda: self._plane.kubelets.power_off(node))

    def cordon(self, node: str, *, on: bool = True) -> None:
        """Cordon a node as a human would, or take that back."""

        def apply() -> None:
            record = self._plane.registry.find(NODES, "", node)
            self._plane.store.put(NODES, put(record.doc, True if on else None, "spec", "unschedulable"))

        self._loop.call(apply)

    # -- objects ------------------------------------------------------------------------------------------------------

    def deploy(self, *workloads: Workload) -> None:
        """Write workloads with their PDBs; the pods run already. A namespace that is missing is created."""
        self._loop.call(lambda: self._plane.workloads.make(workloads))

    def copy(self, documents: Sequence[JsonObject], *, taken_at: datetime, behaviour: Behaviour | None = None) -> None:
        """Take over the nodes, pods, PDBs and controllers of another cluster; this one has no nodes yet.

        Names, labels and conditions are kept, UIDs are not. `behaviour` is that of all machines.
        """
        self._loop.call(lambda: self._plane.copies.take(documents, taken_at, behaviour or Behaviour()))

    def create_namespace(self, name: str) -> None:
        """Create a namespace, unless it is there."""
        self._loop.call(lambda: self._plane.workloads.namespace(name))

    def create(self, doc: JsonObject) -> JsonObject:
        """Create any object (`apiVersion`, `kind`, `metadata`), as a request would; the object.

        Raises:
            Refusal: the API server would refuse it.
        """
        resource = _resource(text(doc, "apiVersion"), text(doc, "kind"))
        namespace = (namespace_of(doc) or "default") if resource.namespaced else ""
        return self._loop.call(lambda: self._plane.registry.create(resource, namespace, doc).doc)

    def objects(self, api_version: str, kind: str, namespace: str = "") -> list[JsonObject]:
        """All objects of a kind as they are now; not to be changed."""
        resource = _resource(api_version, kind)
        return self._loop.call(lambda: [record.doc for record in self._plane.store.list(resource, namespace)])

    # -- what goes wrong ----------------------------------------------------------------------------------------------

    def add_fault(self, fault: Fault) -> Fault:
        """Have a fault strike from now on; it counts its hits."""
        return self._loop.call(lambda: self._plane.faults.add(fault))

    def clear_faults(self) -> None:
        """No more faults."""
        self._loop.call(self._plane.faults.clear)

    def drop_watches(self) -> int:
        """End every open watch; how many there were."""
        return self._loop.call(self._plane.hub.drop_all)

    def forget_history(self) -> None:
        """Answer 410 to every watch and list that goes on from before."""
        self._loop.call(self._plane.forget_history)

    # -- watching it --------------------------------------------------------------------------------------------------

    def observe(self, observer: Callable[[Change], None]) -> None:
        """Call a function with every committed change from now on, at once and in order.

        It runs in the simulator's thread, must be quick, and must not call the cluster's methods. What it raises is
        raised by `check`.
        """
        self._loop.call(lambda: self._plane.observe(observer))

    @property
    def acting(self) -> tuple[str, str, str]:
        """For observers: the request (user, verb, resource) that makes the change; empty: the cluster itself."""
        call = self._plane.server.acting
        return (call.user, call.verb, call.what) if call is not None else ("", "", "")

    def quiesce(self, seconds: float = 60.0) -> None:
        """Wait until nothing is due any more: no boot, no pod on its way, no controller with work.

        Raises:
            TimeoutError: it is not so within these real seconds.
        """
        self._loop.run(self._plane.world.agenda.idle(), seconds)

    @property
    def elapsed_seconds(self) -> float:
        """Simulated seconds since its start."""
        return self._loop.call(lambda: self._plane.world.agenda.elapsed)

    @property
    def calls(self) -> dict[tuple[str, str, str], int]:
        """How many requests for resources there were, by (user, verb, resource)."""
        return self._loop.call(lambda: dict(self._plane.server.calls))

    def check(self) -> None:
        """Raise what went wrong inside, or in an observer.

        Raises:
            ExceptionGroup: all of it.
        """
        failures = self._loop.call(lambda: list(self._plane.failures))
        if failures:
            raise ExceptionGroup(f"the simulated cluster {self.name} failed", failures)


def _resource(api_version: str, kind: str) -> Resource:
    resource = of_kind(api_version, kind)
    if resource is None:
        raise ValueError(f"the simulator has no {kind} in {api_version}")
    return resource
