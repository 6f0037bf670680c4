"""ReplicaSets, StatefulSets and the Deployments over them: as many pods as asked for."""

from __future__ import annotations

import hashlib
import json

from midwatch.simulator.agenda import Dirty
from midwatch.simulator.deletion import DeleteOptions, Deletions, owner_reference
from midwatch.simulator.documents import (
    JsonObject,
    controller_of,
    name_of,
    number,
    part,
    put,
    text,
    uid_of,
)
from midwatch.simulator.registry import Registry
from midwatch.simulator.resources import DEPLOYMENTS, NAMESPACES, PODS, REPLICA_SETS, STATEFUL_SETS, Resource, of_kind
from midwatch.simulator.store import Change, Key, Record

_HASH = "pod-template-hash"
_FINISHED = frozenset({"Succeeded", "Failed"})
_SERVED = (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS)

type Place = tuple[Resource, Key]


def template_hash(template: JsonObject) -> str:
    """What tells the ReplicaSets of a Deployment apart."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def replica_set_of(deployment: JsonObject) -> JsonObject:
    """The ReplicaSet of a Deployment's present template."""
    template = part(deployment, "spec", "template")
    mark = template_hash(template)
    selector = put(part(deployment, "spec", "selector"), mark, "matchLabels", _HASH)
    return {
        "metadata": {
            "name": f"{name_of(deployment)}-{mark}",
            "namespace": text(deployment, "metadata", "namespace"),
            "labels": {**part(template, "metadata", "labels"), _HASH: mark},
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": number(deployment, "spec", "replicas"),
            "selector": selector,
            "template": put(template, mark, "metadata", "labels", _HASH),
        },
    }


def pod_of(owner: JsonObject, name: str | None) -> JsonObject:
    """A pod of a workload's template. Without a name it gets one of its own."""
    template = part(owner, "spec", "template")
    named: JsonObject = {"name": name} if name else {"generateName": f"{name_of(owner)}-"}
    metadata: JsonObject = {**part(template, "metadata"), **named, "ownerReferences": [owner_reference(owner)]}
    return {"metadata": metadata, "spec": part(template, "spec")}


class Replicas:
    """The controllers of everything that has replicas."""

    def __init__(self, registry: Registry, deletions: Deletions) -> None:
        self._registry = registry
        self._store = registry.store
        self._deletions = deletions
        world = registry.world
        self._dirty: Dirty[Place] = Dirty(world.agenda, world.timings.controller, self._reconcile)
        self._store.observe(self._take)

    def _take(self, change: Change) -> None:
        if change.resource in _SERVED and not _only_status(change):
            self._dirty.mark((change.resource, change.record.key))
        if change.resource in {PODS, REPLICA_SETS}:
            owner = controller_of(change.record.doc)
            resource = of_kind(text(owner, "apiVersion"), text(owner, "kind")) if owner else None
            if resource in _SERVED:
                assert resource is not None
                self._dirty.mark((resource, (change.record.key[0], text(owner, "name"))))

    def _reconcile(self, place: Place) -> None:
        resource, key = place
        found = self._store.get(resource, *key)
        space = self._store.get(NAMESPACES, "", key[0])
        if found is None or found.deleting or space is None or space.deleting:
            return
        if resource is DEPLOYMENTS:
            self._deployment(found)
        elif resource is REPLICA_SETS:
            self._replica_set(found)
        else:
            self._stateful_set(found)

    # -- each of them -------------------------------------------------------------------------------------------------

    def _deployment(self, deployment: Record) -> None:
        """The set of its template gets all replicas, older ones none. Old pods do not wait for new ones.

        A set is known by its template, not by its name (`EqualIgnoreHash` of the deployment controller).
        """
        namespace = deployment.key[0]
        sets = [r for r in self._store.owned_by(uid_of(deployment.doc)) if r.resource is REPLICA_SETS]
        template = part(deployment.doc, "spec", "template")
        alike = [r for r in sets if put(part(r.doc, "spec", "template"), None, "metadata", "labels", _HASH) == template]
        if not alike:
            alike = [self._registry.create(REPLICA_SETS, namespace, replica_set_of(deployment.doc))]
            sets = [*sets, *alike]
        name = max(alike, key=lambda record: number(record.doc, "spec", "replicas")).key[1]
        for record in sets:
            replicas = number(deployment.doc, "spec", "replicas") if record.key[1] == name else 0
            if number(record.doc, "spec", "replicas") != replicas:
                doc = put(record.doc, replicas, "spec", "replicas")
                generation = number(doc, "metadata", "generation") + 1
                self._store.put(REPLICA_SETS, put(doc, generation, "metadata", "generation"))
        current = next(record.doc for record in sets if record.key[1] == name)
        ready = sum(number(record.doc, "status", "readyReplicas") for record in sets)
        total = sum(number(record.doc, "status", "replicas") for record in sets)
        self._status(deployment, total, ready, {"updatedReplicas": number(current, "status", "replicas")})

    def _replica_set(self, owner: Record) -> None:
        pods = self._active(owner)
        wanted = number(owner.doc, "spec", "replicas")
        for _ in range(wanted - len(pods)):
            self._registry.create(PODS, owner.key[0], pod_of(owner.doc, None))
        if len(pods) > wanted:
            for pod in sorted(pods, key=_first_to_go)[: len(pods) - wanted]:
                self._deletions.delete(PODS, pod.key, DeleteOptions())
        self._count(owner, pods if len(pods) == wanted else self._active(owner))

    def _stateful_set(self, owner: Record) -> None:
        """Names are fixed: a successor waits until its predecessor is gone, and until those before it are Ready."""
        namespace, name = owner.key
        wanted = number(owner.doc, "spec", "replicas")
        for ordinal in range(wanted):
            pod = self._store.get(PODS, namespace, f"{name}-{ordinal}")
            if pod is None:
                body = put(pod_of(owner.doc, f"{name}-{ordinal}"), f"{name}-{ordinal}", "spec", "hostname")
                self._registry.create(PODS, namespace, body)
            if pod is None or not pod.ready:
                break
        for pod in self._active(owner):
            if int(pod.key[1].rpartition("-")[2]) >= wanted:
                self._deletions.delete(PODS, pod.key, DeleteOptions())
        self._count(owner, self._active(owner))

    def _active(self, owner: Record) -> list[Record]:
        return [
            record
            for record in self._store.owned_by(uid_of(owner.doc))
            if record.resource is PODS and not record.deleting and text(record.doc, "status", "phase") not in _FINISHED
        ]

    def _count(self, owner: Record, pods: list[Record]) -> None:
        self._status(owner, len(pods), sum(pod.ready for pod in pods), {})

    def _status(self, owner: Record, total: int, ready: int, more: JsonObject) -> None:
        owner = self._store.get(owner.resource, *owner.key) or owner
        status: JsonObject = {
            **part(owner.doc, "status"),
            "observedGeneration": number(owner.doc, "metadata", "generation"),
            "replicas": total,
            "readyReplicas": ready,
            "availableReplicas": ready,
            **more,
        }
        self._store.put(owner.resource, {**owner.doc, "status": status})


def _only_status(change: Change) -> bool:
    return change.before is not None and change.before.doc.get("spec") is change.record.doc.get("spec")


def _first_to_go(pod: Record) -> tuple[bool, bool, str]:
    """Pods without a node first, then those that are not Ready."""
    return bool(text(pod.doc, "spec", "nodeName")), pod.ready, pod.key[1]
