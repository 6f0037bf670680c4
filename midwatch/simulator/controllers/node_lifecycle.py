"""The node lifecycle controller, taint eviction and the collection of pods whose node is gone."""

from __future__ import annotations

from functools import partial

from midwatch.simulator import pod_status
from midwatch.simulator.agenda import Dirty, Timers
from midwatch.simulator.controllers.scheduler import tolerates
from midwatch.simulator.deletion import DeleteOptions, Deletions
from midwatch.simulator.documents import (
    JsonObject,
    JsonValue,
    condition,
    name_of,
    objects,
    part,
    put,
    stamp,
    text,
    value,
)
from midwatch.simulator.registry import Registry
from midwatch.simulator.resources import NODES, PODS
from midwatch.simulator.store import Change, ChangeType

_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_NOT_READY = "node.kubernetes.io/not-ready"
_UNREACHABLE = "node.kubernetes.io/unreachable"
_OURS = frozenset({_UNSCHEDULABLE, _NOT_READY, _UNREACHABLE})
_QUARANTINE_SECONDS = 40.0
"""How long pods outlive their node object (PodGC)."""


class NodeLifecycle:
    """Keeps taints, and what follows from them for pods."""

    def __init__(self, registry: Registry, deletions: Deletions) -> None:
        self._world = registry.world
        self._store = registry.store
        self._deletions = deletions
        self._dirty: Dirty[str] = Dirty(self._world.agenda, self._world.timings.controller, self._reconcile)
        self._evictions: Timers[tuple[str, str]] = Timers(self._world.agenda)
        self._store.observe(self._take)

    def _take(self, change: Change) -> None:
        if change.resource is not NODES:
            return
        name = name_of(change.record.doc)
        if change.type is ChangeType.DELETED:
            self._plan_evictions(name, {}, set())
            self._world.agenda.after(_QUARANTINE_SECONDS, lambda: self._collect(name))
        else:
            self._dirty.mark(name)

    def _reconcile(self, name: str) -> None:
        node = self._store.get(NODES, "", name)
        if node is None:
            return
        before = objects(node.doc, "spec", "taints")
        wanted = _taints(node.doc, stamp(self._world.now()))
        known: dict[tuple[JsonValue, JsonValue], JsonObject] = {(t.get("key"), t.get("effect")): t for t in before}
        kept = [t for t in before if t.get("key") not in _OURS]
        taints: list[JsonValue] = [*kept, *(known.get((t["key"], t["effect"]), t) for t in wanted)]
        self._store.put(NODES, put(node.doc, taints or None, "spec", "taints"))
        if not node.ready:
            self._mark_pods(name)
        self._plan_evictions(name, {str(t["key"]): t for t in wanted if t["effect"] == "NoExecute"}, set(known))

    def _mark_pods(self, name: str) -> None:
        for pod in self._store.pods_on(name):
            if pod.ready:
                self._store.put(PODS, pod_status.not_ready(pod.doc, self._world.now()))

    def _plan_evictions(
        self, name: str, taints: dict[str, JsonObject], known: set[tuple[JsonValue, JsonValue]]
    ) -> None:
        """After the default toleration the pods go; when the taint goes first, they stay."""
        for key in (_NOT_READY, _UNREACHABLE):
            taint = taints.get(key)
            if taint is None:
                self._evictions.cancel((name, key))
            elif (key, "NoExecute") not in known:
                self._evictions.set((name, key), self._world.timings.toleration, partial(self._evict, name, taint))

    def _evict(self, name: str, taint: JsonObject) -> None:
        """Taint eviction asks no PodDisruptionBudget. Who tolerates the taint without an end stays."""
        for pod in self._store.pods_on(name):
            lasting: list[JsonValue] = [
                t for t in objects(pod.doc, "spec", "tolerations") if "tolerationSeconds" not in t
            ]
            if not pod.deleting and not tolerates({"spec": {"tolerations": lasting}}, taint):
                self._deletions.delete(PODS, pod.key, DeleteOptions())

    def _collect(self, name: str) -> None:
        if self._store.get(NODES, "", name) is None:
            for pod in self._store.pods_on(name):
                self._store.remove(pod)


def _taints(node: JsonObject, now: str) -> list[JsonObject]:
    """The taints that a node's state asks for."""
    found: list[JsonObject] = []
    if value(node, "spec", "unschedulable"):
        found.append({"key": _UNSCHEDULABLE, "effect": "NoSchedule", "timeAdded": now})
    if not part(node, "status").get("conditions"):
        return found
    ready = text(condition(node, "Ready"), "status")
    if ready != "True":
        key = _NOT_READY if ready == "False" else _UNREACHABLE
        found += [{"key": key, "effect": effect, "timeAdded": now} for effect in ("NoSchedule", "NoExecute")]
    return found
