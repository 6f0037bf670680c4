"""Server-side tables, as `kubectl get` asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from midwatch.simulator.documents import JsonObject, JsonValue
from midwatch.simulator.resources import Resource
from midwatch.simulator.store import Record

TABLE: JsonObject = {"kind": "Table", "apiVersion": "meta.k8s.io/v1"}


def table(
    resource: Resource, records: Sequence[Record], metadata: JsonObject, now: datetime, *, include: str = ""
) -> JsonObject:
    """A table of objects.

    Args:
        resource: whose columns.
        records: a row each.
        metadata: of the list.
        now: for the ages.
        include: what each row carries of its object: `Metadata` (also when nothing is said), `Object` or `None`.
    """
    rows: list[JsonValue] = []
    for record in records:
        row: JsonObject = {"cells": [column.cell(record.doc, now) for column in resource.columns]}
        if include == "Object":
            row["object"] = record.doc
        elif include != "None":
            metadata_only: JsonObject = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
            row["object"] = {**metadata_only, "metadata": record.doc["metadata"]}
        rows.append(row)
    definitions: list[JsonValue] = [column.definition for column in resource.columns]
    return {**TABLE, "metadata": metadata, "columnDefinitions": definitions, "rows": rows}
