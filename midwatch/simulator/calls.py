"""What a request asks for: verb, resource, name, and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from midwatch.simulator.refusals import bad_request, method_not_allowed, no_such_path
from midwatch.simulator.resources import NAMESPACES, Resource, at

_NAMED = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_UNNAMED = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}


@dataclass(frozen=True)
class Call:
    """One request for a resource. Empty strings stand for what is not said; `user` is who asks."""

    user: str
    verb: str
    resource: Resource
    namespace: str
    name: str
    subresource: str
    query: Mapping[str, str]
    accept: str

    @property
    def key(self) -> tuple[str, str]:
        """Of the object."""
        return self.namespace, self.name

    @property
    def what(self) -> str:
        """The resource as RBAC names it: `pods`, or `pods/eviction`."""
        return f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural

    @property
    def dry_run(self) -> bool:
        """Whether nothing may be changed."""
        return self.query.get("dryRun") == "All"

    @property
    def wants_table(self) -> bool:
        """Whether the answer is to be a Table, as `kubectl get` wants it."""
        return "as=Table" in self.accept

    def whole(self, parameter: str) -> int:
        """A parameter that is a whole number; 0 when it is not given.

        Raises:
            Refusal: 400, when it is none.
        """
        said = self.query.get(parameter, "")
        if said and not said.isdecimal():
            raise bad_request(f"strconv.ParseUint: parsing {said!r} ({parameter}): invalid syntax")
        return int(said or 0)


def parse_call(user: str, method: str, path: str, query: Mapping[str, str], accept: str) -> Call:
    """Understand a request under `/api/v1` or `/apis`.

    Raises:
        Refusal: 404 for a path that leads nowhere, 405 for a method that is not served there.
    """
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"]:
        parts = ["apis", "", *parts[1:]]
    if len(parts) < 4:
        raise no_such_path()
    _, group, version, *rest = parts
    namespace, plural, name, subresource = _places(rest)
    resource = at(group, version, plural)
    if resource is None or (namespace and not resource.namespaced and resource is not NAMESPACES):
        raise no_such_path()
    if subresource and subresource not in resource.subresources:
        raise no_such_path()
    verb = _verb(method, query, named=bool(name), subresource=subresource)
    if resource.namespaced and not namespace and (name or verb == "create"):
        raise method_not_allowed() if verb == "create" else no_such_path()
    return Call(user, verb, resource, namespace, name, subresource, query, accept)


def _places(rest: list[str]) -> tuple[str, str, str, str]:
    """Namespace, plural, name and subresource; a namespace itself is the object of `/namespaces/NAME[/status]`."""
    padded = [*rest, "", "", "", "", ""][:5]
    if padded[0] == "namespaces" and padded[2] not in {"", *NAMESPACES.subresources}:
        _, namespace, plural, name, subresource = padded
        return namespace, plural, name, subresource
    plural, name, subresource, *_ = padded
    return "", plural, name, subresource


def _verb(method: str, query: Mapping[str, str], *, named: bool, subresource: str) -> str:
    if subresource == "eviction":
        verb = "create" if method == "POST" else None
    else:
        verb = (_NAMED if named else _UNNAMED).get(method)
    if verb is None or (subresource == "status" and verb == "delete"):
        raise method_not_allowed()
    if verb == "list" and query.get("watch", "") in {"1", "true", "True"}:
        return "watch"
    return verb
