"""What the API server does with a create, an update and a patch: metadata, versions, subresources, validation."""

from __future__ import annotations

import re

from midwatch.simulator.defaults import fill_in
from midwatch.simulator.documents import (
    JsonObject,
    JsonValue,
    is_deleting,
    name_of,
    objects,
    part,
    put,
    stamp,
    text,
    texts,
)
from midwatch.simulator.refusals import (
    Cause,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    modified,
    not_found,
)
from midwatch.simulator.resources import EVENTS, NAMESPACES, PODS, Resource
from midwatch.simulator.store import Record
from midwatch.simulator.world import World

_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")
_SYSTEM = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "namespace")
"""Metadata that a client cannot change."""
_MUTABLE_POD_FIELDS = {"containers", "initContainers", "activeDeadlineSeconds", "tolerations"}


class Registry:
    """Writes objects as the API server would. A dry run gives the same answers and changes nothing."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = world.store

    def find(self, resource: Resource, namespace: str, name: str) -> Record:
        """An object.

        Raises:
            Refusal: 404.
        """
        found = self.store.get(resource, namespace, name)
        if found is None:
            raise not_found(resource, name)
        return found

    # -- create -------------------------------------------------------------------------------------------------------

    def create(self, resource: Resource, namespace: str, body: JsonObject, *, dry_run: bool = False) -> Record:
        """Create an object.

        Raises:
            Refusal: 409 when it is there, 404 or 403 for its namespace, 400 or 422 when it is not valid.
        """
        self._check_kind(resource, body)
        doc = self.prepare(resource, namespace, body)
        name = name_of(doc)
        self._check_namespace(resource, namespace, name)
        if self.store.get(resource, namespace, name) is not None:
            raise already_exists(resource, name)
        if dry_run:
            return Record(resource, doc, self.store.revision)
        return self.store.put(resource, doc)

    def _check_kind(self, resource: Resource, body: JsonObject) -> None:
        given = (body.get("apiVersion", resource.api_version), body.get("kind", resource.kind))
        if given != (resource.api_version, resource.kind):
            text_ = f"{given[1]} in version {given[0]} cannot be handled as a {resource.kind}"
            raise bad_request(text_)

    def prepare(self, resource: Resource, namespace: str, body: JsonObject) -> JsonObject:
        """The object as it is stored when it is created: named, with its metadata and defaults.

        Raises:
            Refusal: 400 or 422, when it is not valid.
        """
        metadata = dict(part(body, "metadata"))
        if metadata.get("namespace", namespace) not in {namespace, ""}:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        name, prefix = text(body, "metadata", "name"), text(body, "metadata", "generateName")
        metadata["name"] = name or (prefix + self.world.suffix() if prefix else "")
        self._check_name(resource, str(metadata["name"]))
        for field in (*_SYSTEM, "resourceVersion", "managedFields", "selfLink"):
            metadata.pop(field, None)
        if resource is EVENTS and (text(body, "involvedObject", "namespace") or "default") != namespace:
            why = "does not match involvedObject.namespace"
            raise invalid(resource, name, Cause("FieldValueInvalid", why, "involvedObject.namespace"))
        if resource.namespaced:
            metadata["namespace"] = namespace
        metadata["uid"] = self.world.new_uid()
        metadata["creationTimestamp"] = stamp(self.world.now())
        if resource.generation:
            metadata["generation"] = 1
        kept = {
            k: v
            for k, v in body.items()
            if k != "status" or resource.keeps_status or "status" not in resource.subresources
        }
        head: JsonObject = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        return fill_in(resource, {**head, **{k: v for k, v in kept.items() if k not in head}})

    def _check_name(self, resource: Resource, name: str) -> None:
        if not name:
            raise invalid(
                resource, name, Cause("FieldValueRequired", "name or generateName is required", "metadata.name")
            )
        if not _NAME.match(name):
            why = f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case alphanumerics'
            raise invalid(resource, name, Cause("FieldValueInvalid", why, "metadata.name"))

    def _check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        if not resource.namespaced:
            return
        if is_deleting(self.find(NAMESPACES, "", namespace).doc):
            raise namespace_ends(resource, namespace, name)

    # -- update and patch ---------------------------------------------------------------------------------------------

    def update(
        self,
        resource: Resource,
        key: tuple[str, str],
        body: JsonObject,
        subresource: str = "",
        *,
        dry_run: bool = False,
    ) -> Record:
        """Replace an object, or the part of it that a subresource is; the object as it is then.

        Raises:
            Refusal: 409 for another version or UID, 404, 400 or 422.
        """
        old = self.find(resource, *key)
        self._check_kind(resource, body)
        self._check_same(resource, old, body)
        doc = _combine(resource, old.doc, body, subresource)
        _check_pod(resource, old.doc, doc)
        if dry_run:
            return Record(resource, doc, old.revision)
        if is_deleting(doc) and not texts(doc, "metadata", "finalizers") and texts(old.doc, "metadata", "finalizers"):
            return self.store.remove(self.store.put(resource, doc))
        return self.store.put(resource, doc)

    def _check_same(self, resource: Resource, old: Record, body: JsonObject) -> None:
        _, name = old.key
        if (given := name_of(body)) not in {"", name}:
            raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
        if (uid := text(body, "metadata", "uid")) and uid != text(old.doc, "metadata", "uid"):
            raise conflict(resource, name, f"Precondition failed: UID in precondition: {uid}")
        version = text(body, "metadata", "resourceVersion")
        if not version and not resource.unconditional:
            why = "must be specified for an update"
            raise invalid(resource, name, Cause("FieldValueInvalid", why, "metadata.resourceVersion"))
        if version and version != str(old.revision):
            raise modified(resource, name)


def namespace_ends(resource: Resource, namespace: str, name: str) -> Exception:
    """The 403 of a create in a namespace that is about to go."""
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    cause = Cause("NamespaceTerminating", f"namespace {namespace} is being terminated", "metadata.namespace")
    return forbidden(resource, name, why, cause)


def _combine(resource: Resource, old: JsonObject, body: JsonObject, subresource: str) -> JsonObject:
    """What a client may change of the old object, taken from the body."""
    metadata = dict(part(body, "metadata"))
    before = part(old, "metadata")
    for field in (*_SYSTEM, "name", "resourceVersion"):
        if field in before:
            metadata[field] = before[field]
        else:
            metadata.pop(field, None)
    doc: JsonObject = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    doc |= {key: new for key, new in body.items() if key not in doc}
    if subresource == "status":
        return _keep(doc, old, "spec")
    if "status" in resource.subresources:
        doc = _keep(doc, old, "status")
    if resource.generation and doc.get("spec") != old.get("spec"):
        generation = before.get("generation")
        doc = put(doc, (generation if isinstance(generation, int) else 0) + 1, "metadata", "generation")
    return doc


def _keep(doc: JsonObject, old: JsonObject, field: str) -> JsonObject:
    return put(doc, old.get(field), field)


def _check_pod(resource: Resource, old: JsonObject, new: JsonObject) -> None:
    """Most of a pod's specification cannot be changed."""
    if resource is not PODS:
        return
    before, after = _fixed(old), _fixed(new)
    if before != after or len(objects(old, "spec", "containers")) != len(objects(new, "spec", "containers")):
        why = "Forbidden: pod updates may not change fields other than a container's image, and tolerations"
        raise invalid(resource, name_of(old), Cause("FieldValueForbidden", why, "spec"))


def _fixed(doc: JsonObject) -> dict[str, JsonValue]:
    return {key: kept for key, kept in part(doc, "spec").items() if key not in _MUTABLE_POD_FIELDS}
