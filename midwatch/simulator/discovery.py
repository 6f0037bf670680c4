"""What the API server says of itself: versions, groups and resources, in the form that every client understands."""

from __future__ import annotations

from collections.abc import Mapping

from midwatch.simulator.documents import JsonObject, JsonValue
from midwatch.simulator.resources import Resource, groups

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
VERSION: JsonObject = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.3",
    "gitCommit": "simulated",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "go1.26",
    "compiler": "gc",
    "platform": "linux/amd64",
}
_VERBS: list[JsonValue] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_SUBRESOURCE_VERBS: Mapping[str, list[JsonValue]] = {"status": ["get", "patch", "update"], "eviction": ["create"]}
_REVIEWS: Mapping[str, str] = {
    "authorization.k8s.io/v1": "SelfSubjectAccessReview",
    "authentication.k8s.io/v1": "SelfSubjectReview",
}
"""Kinds that are answered and never stored, by their group version."""


def documents() -> dict[str, JsonObject]:
    """Every answer, by its path."""
    found: dict[str, JsonObject] = {"/version": VERSION, "/api": {"kind": "APIVersions", "versions": ["v1"]}}
    listed: list[JsonValue] = []
    for group_version, resources in groups().items():
        group, _, version = group_version.rpartition("/")
        rows: list[JsonValue] = [row for resource in resources for row in _rows(resource)]
        found[f"/apis/{group_version}" if group else "/api/v1"] = _resource_list(group_version, rows)
        if group:
            listed.append(_group(group, version))
            found[f"/apis/{group}"] = {"kind": "APIGroup", "apiVersion": "v1", **_group(group, version)}
    for group_version, kind in _REVIEWS.items():
        group, _, version = group_version.rpartition("/")
        found[f"/apis/{group_version}"] = _resource_list(group_version, [_review(kind)])
        listed.append(_group(group, version))
    found["/apis"] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    return found


def _review(kind: str) -> JsonObject:
    name = kind.lower()
    return {"name": f"{name}s", "singularName": name, "namespaced": False, "kind": kind, "verbs": ["create"]}


def _resource_list(group_version: str, rows: list[JsonValue]) -> JsonObject:
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": rows}


def _group(group: str, version: str) -> JsonObject:
    named: JsonObject = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [named], "preferredVersion": named}


def _rows(resource: Resource) -> list[JsonObject]:
    base: JsonObject = {"namespaced": resource.namespaced, "kind": resource.kind}
    names: list[JsonValue] = [*resource.short_names]
    rows: list[JsonObject] = [
        {
            **base,
            "name": resource.plural,
            "singularName": resource.kind.lower(),
            "verbs": _VERBS,
            **({"shortNames": names} if names else {}),
        }
    ]
    for name, kind in resource.subresources.items():
        row: JsonObject = {**base, "name": f"{resource.plural}/{name}", "singularName": "", "kind": kind}
        row["verbs"] = _SUBRESOURCE_VERBS[name]
        if kind == "Eviction":
            row |= {"group": "policy", "version": "v1"}
        rows.append(row)
    return rows
