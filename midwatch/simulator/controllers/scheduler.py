"""The scheduler: binds pods to nodes that take them, the emptier the better."""

from __future__ import annotations

from collections import Counter

from midwatch.simulator import pod_status
from midwatch.simulator.agenda import Dirty
from midwatch.simulator.documents import (
    JsonObject,
    controller_of,
    is_deleting,
    labels_of,
    name_of,
    objects,
    part,
    strings,
    text,
    value,
)
from midwatch.simulator.resources import NODES, PODS
from midwatch.simulator.store import Change, ChangeType, Key
from midwatch.simulator.world import World

_SAMPLE = 16
"""So many nodes are compared per pod; like kube-scheduler, a large cluster is not looked at as a whole."""
_MOST_PODS = 110
_BLOCKING = frozenset({"NoSchedule", "NoExecute"})


def tolerates(pod: JsonObject, taint: JsonObject) -> bool:
    """Whether a pod tolerates a taint."""
    for toleration in objects(pod, "spec", "tolerations"):
        same_key = toleration.get("key") in {None, "", taint.get("key")}
        same_effect = toleration.get("effect") in {None, "", taint.get("effect")}
        exists = toleration.get("operator") == "Exists"
        if same_key and same_effect and (exists or toleration.get("value", "") == taint.get("value", "")):
            return True
    return False


def takes(node: JsonObject, pod: JsonObject) -> bool:
    """Whether a node may take a pod, apart from its size."""
    wanted = strings(pod, "spec", "nodeSelector").items()
    taints = [t for t in objects(node, "spec", "taints") if t.get("effect") in _BLOCKING]
    if value(node, "spec", "unschedulable"):
        taints.append({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
    return wanted <= labels_of(node).items() and all(tolerates(pod, taint) for taint in taints)


class Scheduler:
    """Binds what has no node."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store
        self._open: list[str] = []
        """Nodes without obstacles; a list, to draw a sample of it."""
        self._places: dict[str, int] = {}
        self._waiting: set[Key] = set()
        self._dirty: Dirty[Key] = Dirty(world.agenda, world.timings.controller, self._bind)
        self._store.observe(self._take)

    def _take(self, change: Change) -> None:
        if change.resource is NODES:
            self._take_node(change)
        elif change.resource is PODS:
            if change.type is ChangeType.DELETED:
                self._waiting.discard(change.record.key)
                self._retry()
            elif change.before is None and not text(change.record.doc, "spec", "nodeName"):
                self._dirty.mark(change.record.key)

    def _take_node(self, change: Change) -> None:
        node = change.record.doc
        name, gone = name_of(node), change.type is ChangeType.DELETED
        is_open = not gone and change.record.ready and takes(node, {})
        if is_open and name not in self._places:
            self._places[name] = len(self._open)
            self._open.append(name)
        elif not is_open and name in self._places:
            place, last = self._places.pop(name), self._open.pop()
            if last != name:
                self._open[place] = last
                self._places[last] = place
        if not gone:
            self._retry()

    def _retry(self) -> None:
        for key in sorted(self._waiting):
            self._dirty.mark(key)

    def _bind(self, key: Key) -> None:
        pod = self._store.get(PODS, *key)
        if pod is None or is_deleting(pod.doc) or text(pod.doc, "spec", "nodeName"):
            self._waiting.discard(key)
            return
        node = self._choose(pod.doc)
        now = self._world.now()
        if node is None:
            self._waiting.add(key)
            message = f"0/{self._store.count(NODES)} nodes are available."
            self._store.put(PODS, pod_status.unschedulable(pod.doc, message, now))
            return
        self._waiting.discard(key)
        self._store.put(PODS, pod_status.scheduled(pod.doc, node, now))

    def _choose(self, pod: JsonObject) -> str | None:
        """The node with the fewest pods of the same controller, then with the fewest pods."""
        size = min(_SAMPLE, len(self._open))
        found = [name for name in self._world.dice.sample(self._open, size) if self._fits(name, pod)]
        if not found:
            found = [name_of(node.doc) for node in self._store.list(NODES) if self._fits(name_of(node.doc), pod)]
        if not found:
            return None
        owner = text(controller_of(pod), "uid")
        siblings = Counter(text(r.doc, "spec", "nodeName") for r in self._store.owned_by(owner)) if owner else Counter()
        return min(found, key=lambda name: (siblings[name], self._store.pod_count_on(name), name))

    def _fits(self, name: str, pod: JsonObject) -> bool:
        node = self._store.get(NODES, "", name)
        if node is None or not node.ready or node.deleting or self._store.pod_count_on(name) >= _MOST_PODS:
            return False
        if name in self._places and not part(pod, "spec").get("nodeSelector"):
            return True
        return takes(node.doc, pod)
