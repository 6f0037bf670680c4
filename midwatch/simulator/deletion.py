"""Deletion: preconditions, the grace of pods, finalizers, namespaces, and what hangs on an owner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from midwatch.simulator.agenda import Dirty
from midwatch.simulator.documents import (
    JsonObject,
    JsonValue,
    is_deleting,
    number,
    objects,
    part,
    put,
    stamp,
    text,
    texts,
    uid_of,
    value,
)
from midwatch.simulator.refusals import conflict
from midwatch.simulator.registry import Registry
from midwatch.simulator.resources import NAMESPACES, PODS, RESOURCES, Resource
from midwatch.simulator.store import Change, ChangeType, Record

_FINISHED = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True)
class DeleteOptions:
    """What a deletion may ask for. `grace_seconds` None: the object's own."""

    grace_seconds: int | None = None
    uid: str = ""
    resource_version: str = ""
    orphan: bool = False
    dry_run: bool = False


def read_options(body: JsonObject, *, dry_run: bool = False) -> DeleteOptions:
    """The DeleteOptions of a request."""
    asked = value(body, "gracePeriodSeconds")
    return DeleteOptions(
        grace_seconds=asked if isinstance(asked, int) else None,
        uid=text(body, "preconditions", "uid"),
        resource_version=text(body, "preconditions", "resourceVersion"),
        orphan=text(body, "propagationPolicy") == "Orphan",
        dry_run=dry_run or "All" in texts(body, "dryRun"),
    )


class Deletions:
    """Deletes objects as the API server would, and what hangs on them as its controllers do."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._world = registry.world
        self._store = registry.store
        self._emptying: Dirty[str] = Dirty(self._world.agenda, self._world.timings.controller, self._empty)
        self._orphaned: Dirty[str] = Dirty(self._world.agenda, self._world.timings.controller, self._collect)
        self._store.observe(self._take)

    def delete(self, resource: Resource, key: tuple[str, str], options: DeleteOptions) -> JsonObject:
        """Delete an object, or begin to; the answer's body: the object where it has a grace, else a Status.

        Raises:
            Refusal: 404, or 409 for another UID or version.
        """
        record = self._registry.find(resource, *key)
        _check(record, options)
        if options.orphan and not options.dry_run:
            self._release_dependents(uid_of(record.doc))
        doc = self._marked(record, options)
        if doc is None:
            last = record if options.dry_run else self._store.remove(record)
            return last.doc if resource is PODS else _success(record)
        return doc if options.dry_run else self._store.put(resource, doc).doc

    def _marked(self, record: Record, options: DeleteOptions) -> JsonObject | None:
        """The object as one that is about to go; None where it goes at once."""
        doc = record.doc
        grace = _grace_of(doc, options) if record.resource is PODS else 0
        waits = texts(doc, "metadata", "finalizers") or record.resource is NAMESPACES
        if grace == 0 and not waits:
            return None
        if is_deleting(doc) and number(doc, "metadata", "deletionGracePeriodSeconds") <= grace:
            return doc
        if record.resource is NAMESPACES:
            doc = put(doc, "Terminating", "status", "phase")
        when = stamp(self._world.now() + timedelta(seconds=grace))
        doc = put(put(doc, when, "metadata", "deletionTimestamp"), grace, "metadata", "deletionGracePeriodSeconds")
        generation = number(doc, "metadata", "generation")
        return put(doc, generation + 1, "metadata", "generation") if record.resource.generation else doc

    def _release_dependents(self, uid: str) -> None:
        for record in self._store.owned_by(uid):
            left: list[JsonValue] = [o for o in objects(record.doc, "metadata", "ownerReferences") if o["uid"] != uid]
            self._store.put(record.resource, put(record.doc, left, "metadata", "ownerReferences"))

    # -- what follows -------------------------------------------------------------------------------------------------

    def _take(self, change: Change) -> None:
        if change.type is ChangeType.DELETED:
            self._orphaned.mark(uid_of(change.record.doc))
        namespace, name = change.record.key
        space = name if change.resource is NAMESPACES else namespace if change.type is ChangeType.DELETED else ""
        found = self._store.get(NAMESPACES, "", space) if space else None
        if found is not None and found.deleting:
            self._emptying.mark(space)

    def _empty(self, namespace: str) -> None:
        """The namespace controller: delete all in it, then the namespace itself."""
        space = self._store.get(NAMESPACES, "", namespace)
        if space is None:
            return
        left = [
            record for resource in RESOURCES if resource.namespaced for record in self._store.list(resource, namespace)
        ]
        for record in left:
            if not record.deleting:
                self.delete(record.resource, record.key, DeleteOptions())
        if not left:
            self._store.remove(space)

    def _collect(self, uid: str) -> None:
        """The garbage collector: what was owned by an object that is gone goes, too."""
        for record in self._store.owned_by(uid):
            if not record.deleting:
                self.delete(record.resource, record.key, DeleteOptions())


def _check(record: Record, options: DeleteOptions) -> None:
    uid, (_, name) = uid_of(record.doc), record.key
    if options.uid and options.uid != uid:
        why = f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid})."
        raise conflict(record.resource, name, why)
    if options.resource_version and options.resource_version != str(record.revision):
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match ({record.revision})."
        )
        raise conflict(record.resource, name, why)


def _grace_of(doc: JsonObject, options: DeleteOptions) -> int:
    """A pod that runs nowhere, or no longer, has no grace."""
    if not text(doc, "spec", "nodeName") or text(doc, "status", "phase") in _FINISHED:
        return 0
    asked = options.grace_seconds
    return max(asked, 0) if asked is not None else number(doc, "spec", "terminationGracePeriodSeconds")


def _success(record: Record) -> JsonObject:
    details: JsonObject = {"name": record.key[1], "kind": record.resource.plural, "uid": uid_of(record.doc)}
    if record.resource.group:
        details["group"] = record.resource.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def owner_reference(owner: JsonObject) -> JsonObject:
    """A reference to the controller of an object."""
    metadata = part(owner, "metadata")
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
