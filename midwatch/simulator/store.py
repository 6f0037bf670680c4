"""The objects of a cluster, with the indexes that keep a large one cheap, and word of every change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from midwatch.simulator.documents import (
    JsonObject,
    is_deleting,
    is_true,
    labels_of,
    name_of,
    namespace_of,
    objects,
    text,
)
from midwatch.simulator.resources import PODS, Resource

type Key = tuple[str, str]
"""Namespace (empty for what has none) and name."""

_FIRST_REVISION = 1000


def serialise(doc: JsonObject) -> bytes:
    """A document as it goes over the wire."""
    return json.dumps(doc, separators=(",", ":"), ensure_ascii=False).encode()


class Record:
    """One version of an object. Neither it nor its document is changed once it is here."""

    __slots__ = ("_labels", "_raw", "_ready", "deleting", "doc", "key", "resource", "revision")

    def __init__(self, resource: Resource, doc: JsonObject, revision: int) -> None:
        self.resource = resource
        self.doc = doc
        self.key: Key = (namespace_of(doc), name_of(doc))
        self.revision = revision
        self.deleting = is_deleting(doc)
        self._raw: bytes | None = None
        self._ready: bool | None = None
        self._labels: dict[str, str] | None = None

    @property
    def labels(self) -> dict[str, str]:
        """Its labels; not to be changed."""
        if self._labels is None:
            self._labels = labels_of(self.doc)
        return self._labels

    @property
    def ready(self) -> bool:
        """Whether it has the condition Ready; looked up once."""
        if self._ready is None:
            self._ready = is_true(self.doc, "Ready")
        return self._ready

    @property
    def raw(self) -> bytes:
        """Its JSON, written once."""
        if self._raw is None:
            self._raw = serialise(self.doc)
        return self._raw


class ChangeType(StrEnum):
    """What happened to an object, in the words of a watch."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Change:
    """One committed change. After a deletion `record` is the object's last state, with the deletion's revision."""

    type: ChangeType
    record: Record
    before: Record | None

    @property
    def resource(self) -> Resource:
        """Of the object."""
        return self.record.resource


type Observer = Callable[[Change], None]


class Store:
    """All objects of a cluster. Observers hear of a change at once, in the order in which they came."""

    def __init__(self) -> None:
        self.revision = _FIRST_REVISION
        self._objects: dict[Resource, dict[str, dict[str, Record]]] = {}
        self._pods_by_node: dict[str, dict[Key, Record]] = {}
        self._pods_by_label: dict[tuple[str, str, str], dict[Key, Record]] = {}
        self._by_owner: dict[str, dict[tuple[Resource, Key], Record]] = {}
        self._observers: list[Observer] = []

    def observe(self, observer: Observer) -> None:
        """Have a function called with every change, before anything else happens. It must not write."""
        self._observers.append(observer)

    # -- reading ------------------------------------------------------------------------------------------------------

    def get(self, resource: Resource, namespace: str, name: str) -> Record | None:
        """An object as it is now."""
        return self._objects.get(resource, {}).get(namespace, {}).get(name)

    def list(self, resource: Resource, namespace: str = "") -> Iterator[Record]:
        """The objects of a resource, of one namespace or of all, by namespace and name."""
        spaces = self._objects.get(resource, {})
        for space in [namespace] if namespace else sorted(spaces):
            found = spaces.get(space, {})
            for name in sorted(found):
                yield found[name]

    def count(self, resource: Resource) -> int:
        """How many objects of a resource there are."""
        return sum(len(space) for space in self._objects.get(resource, {}).values())

    def pods_on(self, node: str) -> Iterable[Record]:
        """The pods that are bound to a node."""
        return tuple(self._pods_by_node.get(node, {}).values())

    def pod_count_on(self, node: str) -> int:
        """How many pods are bound to a node."""
        return len(self._pods_by_node.get(node, {}))

    def pods_labelled(self, namespace: str, key: str, label: str) -> Iterable[Record]:
        """The pods of a namespace with a label."""
        return tuple(self._pods_by_label.get((namespace, key, label), {}).values())

    def owned_by(self, uid: str) -> Iterable[Record]:
        """What has an owner reference to an object."""
        return tuple(self._by_owner.get(uid, {}).values())

    # -- writing ------------------------------------------------------------------------------------------------------

    def put(self, resource: Resource, doc: JsonObject) -> Record:
        """Create or replace an object. What is equal to what is there is no change, as in etcd."""
        namespace, name = namespace_of(doc), name_of(doc)
        before = self.get(resource, namespace, name)
        if before is not None and before.doc == doc:
            return before
        record = Record(resource, self._next(doc), self.revision)
        if before is not None:
            self._unindex(before)
        self._objects.setdefault(resource, {}).setdefault(namespace, {})[name] = record
        self._index(record)
        self._tell(Change(ChangeType.MODIFIED if before else ChangeType.ADDED, record, before))
        return record

    def remove(self, record: Record) -> Record:
        """Remove an object; its last state."""
        namespace, name = record.key
        before = self._objects[record.resource][namespace].pop(name)
        self._unindex(before)
        last = Record(before.resource, self._next(before.doc), self.revision)
        self._tell(Change(ChangeType.DELETED, last, before))
        return last

    def _next(self, doc: JsonObject) -> JsonObject:
        """The document under the next revision."""
        self.revision += 1
        metadata = doc["metadata"]
        assert isinstance(metadata, dict)
        return {**doc, "metadata": {**metadata, "resourceVersion": str(self.revision)}}

    def _tell(self, change: Change) -> None:
        for observer in self._observers:
            observer(change)

    # -- indexes ------------------------------------------------------------------------------------------------------

    def _index(self, record: Record) -> None:
        for uid in _owners(record):
            self._by_owner.setdefault(uid, {})[record.resource, record.key] = record
        if record.resource is PODS:
            if node := text(record.doc, "spec", "nodeName"):
                self._pods_by_node.setdefault(node, {})[record.key] = record
            for label in _labels(record):
                self._pods_by_label.setdefault(label, {})[record.key] = record

    def _unindex(self, record: Record) -> None:
        for uid in _owners(record):
            _drop(self._by_owner, uid, (record.resource, record.key))
        if record.resource is PODS:
            if node := text(record.doc, "spec", "nodeName"):
                _drop(self._pods_by_node, node, record.key)
            for label in _labels(record):
                _drop(self._pods_by_label, label, record.key)


def _owners(record: Record) -> list[str]:
    return [text(owner, "uid") for owner in objects(record.doc, "metadata", "ownerReferences")]


def _labels(record: Record) -> list[tuple[str, str, str]]:
    namespace, _ = record.key
    return [(namespace, key, value) for key, value in record.labels.items()]


def _drop[A, B](index: dict[A, dict[B, Record]], outer: A, inner: B) -> None:
    found = index[outer]
    del found[inner]
    if not found:
        del index[outer]
