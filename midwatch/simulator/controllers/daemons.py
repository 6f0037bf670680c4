"""DaemonSets: one pod on each node that takes it."""

from __future__ import annotations

from midwatch.simulator.agenda import Dirty
from midwatch.simulator.controllers.replicas import pod_of
from midwatch.simulator.controllers.scheduler import takes
from midwatch.simulator.defaults import pod_spec
from midwatch.simulator.documents import (
    JsonObject,
    JsonValue,
    controller_of,
    name_of,
    number,
    objects,
    part,
    put,
    text,
    uid_of,
)
from midwatch.simulator.registry import Registry
from midwatch.simulator.resources import DAEMON_SETS, NODES, PODS
from midwatch.simulator.store import Change, ChangeType, Key, Record

_TOLERATED = ("not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")


def daemon_pod(owner: JsonObject, node: str) -> JsonObject:
    """The pod of a DaemonSet for a node. It is bound at once, where the real one waits for the scheduler."""
    body = pod_of(owner, None)
    added: list[JsonObject] = [{"key": f"node.kubernetes.io/{name}", "operator": "Exists"} for name in _TOLERATED]
    tolerations: list[JsonValue] = [*objects(body, "spec", "tolerations"), *added]
    return put(put(body, tolerations, "spec", "tolerations"), node, "spec", "nodeName")


class Daemons:
    """The DaemonSet controller. A node is looked at when it, or a pod on it, has changed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store
        world = registry.world
        delay = world.timings.controller
        self._all: Dirty[Key] = Dirty(world.agenda, delay, self._everywhere)
        self._places: Dirty[tuple[Key, str]] = Dirty(world.agenda, delay, self._place)
        self._counts: Dirty[Key] = Dirty(world.agenda, delay, self._count)
        self._store.observe(self._take)

    def _take(self, change: Change) -> None:
        if change.resource is DAEMON_SETS:
            if change.before is None or change.before.doc.get("spec") != change.record.doc.get("spec"):
                self._all.mark(change.record.key)
        elif change.resource is NODES and (change.before is None or change.type is ChangeType.DELETED):
            for record in self._store.list(DAEMON_SETS):
                self._places.mark((record.key, name_of(change.record.doc)))
        elif change.resource is PODS:
            owner = controller_of(change.record.doc)
            if owner.get("kind") == "DaemonSet":
                key = change.record.key[0], text(owner, "name")
                self._counts.mark(key)
                if change.type is ChangeType.DELETED:
                    self._places.mark((key, text(change.record.doc, "spec", "nodeName")))

    def _everywhere(self, key: Key) -> None:
        for node in self._store.list(NODES):
            self._place((key, name_of(node.doc)))
        self._count(key)

    def _place(self, place: tuple[Key, str]) -> None:
        key, name = place
        owner, node = self._store.get(DAEMON_SETS, *key), self._store.get(NODES, "", name)
        if owner is None or node is None or owner.deleting:
            return
        body = daemon_pod(owner.doc, name)
        if takes(node.doc, put(body, pod_spec(part(body, "spec")), "spec")) and not self._pods(owner, name):
            self._registry.create(PODS, key[0], body)
        self._counts.mark(key)

    def _pods(self, owner: Record, node: str) -> list[Record]:
        uid = uid_of(owner.doc)
        return [pod for pod in self._store.pods_on(node) if text(controller_of(pod.doc), "uid") == uid]

    def _count(self, key: Key) -> None:
        owner = self._store.get(DAEMON_SETS, *key)
        if owner is None:
            return
        pods = [r for r in self._store.owned_by(uid_of(owner.doc)) if r.resource is PODS and not r.deleting]
        ready = sum(pod.ready for pod in pods)
        status: JsonObject = {
            "observedGeneration": number(owner.doc, "metadata", "generation"),
            "desiredNumberScheduled": len(pods),
            "currentNumberScheduled": len(pods),
            "updatedNumberScheduled": len(pods),
            "numberReady": ready,
            "numberAvailable": ready,
            "numberMisscheduled": 0,
        }
        self._store.put(DAEMON_SETS, {**owner.doc, "status": status})
