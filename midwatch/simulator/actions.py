"""What each verb does, on the objects. The answers are bytes; HTTP is not known here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from midwatch.simulator.calls import Call
from midwatch.simulator.deletion import Deletions, read_options
from midwatch.simulator.documents import JsonObject, JsonValue, text
from midwatch.simulator.eviction import Evictions
from midwatch.simulator.pages import Page, Pages
from midwatch.simulator.patches import apply_patch, parse
from midwatch.simulator.refusals import Cause, bad_request, invalid, unsupported_media_type
from midwatch.simulator.registry import Registry
from midwatch.simulator.resources import PODS
from midwatch.simulator.selectors import Test, compile_test, parse_fields
from midwatch.simulator.store import Record, serialise
from midwatch.simulator.tables import table
from midwatch.simulator.watches import Watch, WatchHub

_JSON_KINDS = frozenset({"", "application/json"})


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of success."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request and its content type, without parameters."""

    data: bytes
    kind: str

    def document(self) -> JsonObject:
        """Its JSON object; an empty body is an empty object.

        Raises:
            Refusal: 400 or 415.
        """
        if not self.data.strip():
            return {}
        if self.kind not in _JSON_KINDS:
            raise unsupported_media_type(self.kind)
        parsed = parse(self.data)
        if not isinstance(parsed, dict):
            raise bad_request("the body of the request is no object")
        return parsed


class Actions:
    """The verbs."""

    def __init__(self, registry: Registry, deletions: Deletions, evictions: Evictions, hub: WatchHub) -> None:
        self._registry = registry
        self._store = registry.store
        self._deletions = deletions
        self._evictions = evictions
        self._hub = hub
        self.pages = Pages()
        self._verbs = {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }

    def act(self, call: Call, body: Body) -> Reply:
        """Do what a call asks for; a watch is not among it.

        Raises:
            Refusal: it is not done.
        """
        if call.query.get("dryRun", "All") != "All":
            why = f'Unsupported value: "{call.query["dryRun"]}": supported values: "All"'
            raise invalid(call.resource, call.name, Cause("FieldValueNotSupported", why, "dryRun"))
        return self._verbs[call.verb](call, body)

    def open_watch(self, call: Call) -> Watch:
        """Begin a watch.

        Raises:
            Refusal: 410 or 400.
        """
        test = self._test(call)
        return self._hub.open(call.resource, test, call.whole("resourceVersion"))

    def close_watch(self, watch: Watch) -> None:
        """End a watch."""
        self._hub.close(watch)

    @property
    def revision(self) -> int:
        """The cluster's newest resource version."""
        return self._store.revision

    def show(self, call: Call, record: Record) -> bytes:
        """One object as the caller wants it."""
        if not call.wants_table:
            return record.raw
        metadata: JsonObject = {"resourceVersion": str(record.revision)}
        return serialise(self._table(call, [record], metadata))

    # -- reading ------------------------------------------------------------------------------------------------------

    def _get(self, call: Call, _: Body) -> Reply:
        return Reply(200, self.show(call, self._registry.find(call.resource, *call.key)))

    def _list(self, call: Call, _: Body) -> Reply:
        page = self._page(call)
        metadata: JsonObject = {"resourceVersion": str(page.revision)}
        if page.token:
            metadata["continue"] = page.token
            if not call.query.get("labelSelector") and not call.query.get("fieldSelector"):
                metadata["remainingItemCount"] = page.remaining
        if call.wants_table:
            return Reply(200, serialise(self._table(call, page.records, metadata)))
        return Reply(200, _list_of(call, page, metadata))

    def _page(self, call: Call) -> Page:
        limit, token = call.whole("limit"), call.query.get("continue", "")
        if token:
            return self.pages.next(token, limit)
        return self.pages.first(self._selected(call), self._store.revision, limit)

    def _selected(self, call: Call) -> list[Record]:
        test = self._test(call)
        return [record for record in self._near(call) if test(record.doc)]

    def _near(self, call: Call) -> list[Record]:
        """The objects among which those are that a call selects; as few as the indexes allow, in order."""
        exact = {f: v for f, v, equal in parse_fields(call.resource, call.query.get("fieldSelector", "")) if equal}
        if call.resource is PODS and "spec.nodeName" in exact:
            return sorted(self._store.pods_on(exact["spec.nodeName"]), key=lambda record: record.key)
        if "metadata.name" in exact and (call.namespace or not call.resource.namespaced):
            found = self._store.get(call.resource, call.namespace, exact["metadata.name"])
            return [] if found is None else [found]
        return list(self._store.list(call.resource, call.namespace))

    def _test(self, call: Call) -> Test:
        labels, fields = call.query.get("labelSelector", ""), call.query.get("fieldSelector", "")
        return compile_test(call.resource, call.namespace, labels, fields)

    def _table(self, call: Call, records: list[Record], metadata: JsonObject) -> JsonObject:
        now = self._registry.world.now()
        return table(call.resource, records, metadata, now, include=call.query.get("includeObject", ""))

    # -- writing ------------------------------------------------------------------------------------------------------

    def _create(self, call: Call, body: Body) -> Reply:
        doc = body.document()
        if call.subresource == "eviction":
            status = self._evictions.evict(*call.key, doc, dry_run=call.dry_run)
            return Reply(201, serialise(status))
        record = self._registry.create(call.resource, call.namespace, doc, dry_run=call.dry_run)
        return Reply(201, self.show(call, record))

    def _update(self, call: Call, body: Body) -> Reply:
        doc = body.document()
        return self._write(call, doc)

    def _patch(self, call: Call, body: Body) -> Reply:
        patch = parse(body.data)
        old = self._registry.find(call.resource, *call.key)
        doc = apply_patch(old.doc, patch, body.kind, call.resource.merge_keys)
        if not text(doc, "metadata", "resourceVersion"):
            doc = {**doc, "metadata": {**_object(doc.get("metadata")), "resourceVersion": str(old.revision)}}
        return self._write(call, doc)

    def _write(self, call: Call, doc: JsonObject) -> Reply:
        record = self._registry.update(call.resource, call.key, doc, call.subresource, dry_run=call.dry_run)
        return Reply(200, self.show(call, record))

    def _delete(self, call: Call, body: Body) -> Reply:
        options = read_options({**_options(call.query), **body.document()}, dry_run=call.dry_run)
        return Reply(200, serialise(self._deletions.delete(call.resource, call.key, options)))

    def _delete_collection(self, call: Call, body: Body) -> Reply:
        options = read_options({**_options(call.query), **body.document()}, dry_run=call.dry_run)
        selected = self._selected(call)
        for record in selected:
            self._deletions.delete(call.resource, record.key, options)
        metadata: JsonObject = {"resourceVersion": str(self._store.revision)}
        return Reply(200, _list_of(call, Page(selected, self._store.revision), metadata))


def _options(query: Mapping[str, str]) -> JsonObject:
    """Deletion options in the query, which count where the body has none."""
    found: JsonObject = {}
    if query.get("gracePeriodSeconds", "").isdecimal():
        found["gracePeriodSeconds"] = int(query["gracePeriodSeconds"])
    if "propagationPolicy" in query:
        found["propagationPolicy"] = query["propagationPolicy"]
    return found


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _list_of(call: Call, page: Page, metadata: JsonObject) -> bytes:
    head = serialise({
        "kind": f"{call.resource.kind}List", "apiVersion": call.resource.api_version, "metadata": metadata,
    })  # fmt: skip
    return head[:-1] + b',"items":[' + b",".join(record.raw for record in page.records) + b"]}"
