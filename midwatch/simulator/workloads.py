"""Workloads in bulk: whole Deployments whose pods run already, written without a detour over HTTP."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from midwatch.simulator import pod_status
from midwatch.simulator.controllers.daemons import daemon_pod
from midwatch.simulator.controllers.replicas import pod_of, replica_set_of
from midwatch.simulator.controllers.scheduler import takes
from midwatch.simulator.defaults import pod_spec
from midwatch.simulator.documents import JsonObject, name_of, part, put
from midwatch.simulator.registry import Registry
from midwatch.simulator.resources import BUDGETS, DAEMON_SETS, DEPLOYMENTS, NAMESPACES, NODES, PODS, REPLICA_SETS
from midwatch.simulator.store import Record

_IMAGE = "registry.invalid/pause:3"


@dataclass(frozen=True)
class Workload:
    """A Deployment (or with `daemon` a DaemonSet) of pods with the label `app`.

    Attributes:
        replicas: of a Deployment.
        min_available, max_unavailable: of a PDB; None for both: there is none.
        annotations: of the pods, such as `STOP_SECONDS`.
        empty_dir: whether the pods have an emptyDir volume.
        grace_seconds: the pods' termination grace.
    """

    app: str
    replicas: int = 1
    namespace: str = "default"
    daemon: bool = False
    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    annotations: dict[str, str] = field(default_factory=dict)
    empty_dir: bool = False
    grace_seconds: int = 30

    @property
    def template(self) -> JsonObject:
        """The pod template."""
        spec: JsonObject = {
            "terminationGracePeriodSeconds": self.grace_seconds,
            "containers": [{"name": "main", "image": _IMAGE}],
        }
        if self.empty_dir:
            spec["volumes"] = [{"name": "scratch", "emptyDir": {}}]
        metadata: JsonObject = {"labels": {"app": self.app}}
        if self.annotations:
            metadata["annotations"] = {**self.annotations}
        return {"metadata": metadata, "spec": pod_spec(spec)}


class WorkloadMaker:
    """Writes workloads."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store
        self._turn = 0
        self._addresses = itertools.count()

    def namespace(self, name: str) -> None:
        """Create a namespace, unless it is there."""
        if self._store.get(NAMESPACES, "", name) is None:
            self._registry.create(NAMESPACES, "", {"metadata": {"name": name}})

    def make(self, workloads: Sequence[Workload]) -> None:
        """Write workloads with their PDBs; the pods run and are Ready, evenly over the nodes that take them.

        Raises:
            ValueError: no node takes them.
        """
        nodes = [record for record in self._store.list(NODES) if record.ready]
        names = [record.key[1] for record in nodes if takes(record.doc, {})]
        for workload in workloads:
            self._make(workload, nodes, names)

    def _make(self, workload: Workload, nodes: list[Record], names: list[str]) -> None:
        self.namespace(workload.namespace)
        head: JsonObject = {"metadata": {"name": workload.app, "namespace": workload.namespace}}
        spec: JsonObject = {"selector": {"matchLabels": {"app": workload.app}}, "template": workload.template}
        if workload.daemon:
            self._daemons(workload, {**head, "spec": spec}, nodes)
        else:
            self._replicas(workload, {**head, "spec": {**spec, "replicas": workload.replicas}}, names)
        if workload.min_available is not None or workload.max_unavailable is not None:
            self._budget(workload, head)

    def _daemons(self, workload: Workload, body: JsonObject, nodes: list[Record]) -> None:
        owner = self._registry.create(DAEMON_SETS, workload.namespace, body)
        for node in nodes:
            pod = daemon_pod(owner.doc, name_of(node.doc))
            if takes(node.doc, put(pod, pod_spec(part(pod, "spec")), "spec")):
                self._run(workload.namespace, pod, name_of(node.doc))

    def _replicas(self, workload: Workload, body: JsonObject, names: list[str]) -> None:
        if not names:
            raise ValueError(f"no node takes the pods of {workload.app}")
        deployment = self._registry.create(DEPLOYMENTS, workload.namespace, body)
        owner = self._registry.create(REPLICA_SETS, workload.namespace, replica_set_of(deployment.doc))
        pod = pod_of(owner.doc, None)
        for _ in range(workload.replicas):
            self._turn += 1
            self._run(workload.namespace, pod, names[self._turn % len(names)])

    def _run(self, namespace: str, body: JsonObject, node: str) -> None:
        now = self._registry.world.now()
        number = next(self._addresses)
        address = f"10.245.{number // 250 % 250}.{number % 250 + 1}"
        doc = pod_status.scheduled(self._registry.prepare(PODS, namespace, body), node, now)
        self._store.put(PODS, pod_status.running(doc, now, ready=True, restart_count=0, address=address))

    def _budget(self, workload: Workload, head: JsonObject) -> None:
        limits = {"minAvailable": workload.min_available, "maxUnavailable": workload.max_unavailable}
        spec: JsonObject = {"selector": {"matchLabels": {"app": workload.app}}}
        spec |= {key: limit for key, limit in limits.items() if limit is not None}
        self._registry.create(BUDGETS, workload.namespace, {**head, "spec": spec})
