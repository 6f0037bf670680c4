"""Another cluster's objects, taken over with their names: nodes, pods, PDBs and controllers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from midwatch.simulator import pod_status
from midwatch.simulator.deletion import owner_reference
from midwatch.simulator.documents import (
    JsonObject,
    JsonValue,
    controller_of,
    is_true,
    labels_of,
    moment,
    name_of,
    namespace_of,
    objects,
    part,
    put,
    stamp,
    text,
)
from midwatch.simulator.kubelets import Kubelets
from midwatch.simulator.machines import Behaviour, NodeSpec
from midwatch.simulator.node_status import NEED
from midwatch.simulator.registry import Registry
from midwatch.simulator.resources import (
    BUDGETS,
    DAEMON_SETS,
    DEPLOYMENTS,
    NODES,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Resource,
    of_kind,
)
from midwatch.simulator.workloads import WorkloadMaker

_OWNERS_FIRST = (DAEMON_SETS, DEPLOYMENTS, STATEFUL_SETS, REPLICA_SETS, PODS, BUDGETS)
_MIRROR = "kubernetes.io/config.mirror"
"""What the kubelet notes on the API's picture of a static pod; such a pod is owned by its node."""
_FINISHED = frozenset({"Succeeded", "Failed"})


class Copies:
    """Writes the objects of another cluster into this one, which is empty. Nothing in them is seen as a request."""

    def __init__(self, registry: Registry, kubelets: Kubelets, workloads: WorkloadMaker) -> None:
        self._registry = registry
        self._store = registry.store
        self._world = registry.world
        self._kubelets = kubelets
        self._workloads = workloads
        self._addresses = 0

    def take(self, documents: Sequence[JsonObject], taken_at: datetime, behaviour: Behaviour) -> None:
        """Take over objects (`apiVersion`, `kind`, ...). Other kinds than those that are simulated are left aside.

        Args:
            documents: in any order.
            taken_at: when they were so: conditions are as old here as they were there then.
            behaviour: of all machines.
        """
        found: dict[Resource, list[JsonObject]] = {}
        for doc in documents:
            resource = of_kind(text(doc, "apiVersion"), text(doc, "kind"))
            if resource is not None:
                found.setdefault(resource, []).append(doc)
                if resource.namespaced:
                    self._workloads.namespace(namespace_of(doc))
        for doc in found.get(NODES, ()):
            self._node(doc, taken_at, behaviour)
        for resource in _OWNERS_FIRST:
            for doc in found.get(resource, ()):
                if resource is PODS:
                    self._pod(doc)
                else:
                    self._registry.create(resource, namespace_of(doc), self._owned(doc))

    def _node(self, doc: JsonObject, taken_at: datetime, behaviour: Behaviour) -> None:
        """The machine is down where the node is not Ready; a condition that the source has not got is not there."""
        name = name_of(doc)
        spec = NodeSpec(name, os=labels_of(doc).get("kubernetes.io/os") or "linux")
        machine = self._kubelets.add(spec, behaviour)
        machine.up = is_true(doc, "Ready")
        machine.packages = () if is_true(doc, NEED) else None
        node = self._registry.find(NODES, "", name).doc
        conditions = {text(c, "type"): c for c in objects(node, "status", "conditions") if c["type"] != NEED}
        now = self._world.now()
        for said in objects(doc, "status", "conditions"):
            since = moment(text(said, "lastTransitionTime"))
            age = taken_at - since if since is not None else None
            conditions[text(said, "type")] = {
                **said,
                "lastHeartbeatTime": stamp(now),
                "lastTransitionTime": stamp(now - age if age is not None else now),
            }
        listed: list[JsonValue] = [*conditions.values()]
        node = put(put(node, listed, "status", "conditions"), part(doc, "metadata").get("labels"), "metadata", "labels")
        self._store.put(NODES, {**node, "spec": part(doc, "spec")})

    def _pod(self, doc: JsonObject) -> None:
        """A pod that was Running runs here, too, and is as ready as it was there. It never gets ready by itself."""
        node, phase = text(doc, "spec", "nodeName"), text(doc, "status", "phase")
        if node and node not in self._kubelets.machines:
            return
        body = self._owned(doc)
        if controller_of(doc).get("kind") == "Node":
            body = put(body, "static", "metadata", "annotations", _MIRROR)
        ready = is_true(doc, "Ready")
        if phase == "Running" and not ready:
            body = put(body, "true", "metadata", "annotations", pod_status.NEVER_READY)
        pod = self._registry.prepare(PODS, namespace_of(doc), body)
        now = self._world.now()
        if node:
            pod = pod_status.scheduled(pod, node, now)
        if phase in _FINISHED:
            pod = pod_status.finished(pod, now, 0 if phase == "Succeeded" else 1)
        elif phase == "Running":
            self._addresses += 1
            address = f"10.246.{self._addresses // 250 % 250}.{self._addresses % 250 + 1}"
            pod = pod_status.running(pod, now, ready=ready, restart_count=0, address=address)
        self._store.put(PODS, pod)

    def _owned(self, doc: JsonObject) -> JsonObject:
        """The object with its controller's UID of here. One that is not simulated is named, and brings nothing back."""
        body: JsonObject = {key: value for key, value in doc.items() if key != "status"}
        owner = controller_of(doc)
        if not owner:
            return put(body, None, "metadata", "ownerReferences")
        resource = of_kind(text(owner, "apiVersion"), text(owner, "kind"))
        namespace = namespace_of(doc) if resource is None or resource.namespaced else ""
        found = self._store.get(resource, namespace, text(owner, "name")) if resource is not None else None
        reference = owner_reference(found.doc) if found is not None else {**owner, "uid": self._world.new_uid()}
        references: list[JsonValue] = [reference]
        return put(body, references, "metadata", "ownerReferences")
