"""What a path of the Kubernetes API is about. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiPath:
    """Attributes: `template`, the path with `{namespace}` and `{name}` for the names; `resource`, its plural."""

    template: str
    resource: str | None = None
    namespace: str | None = None
    name: str | None = None


def read_path(path: str) -> ApiPath:
    """Take a path apart; one that is no resource's (`/version`) is its own template."""
    parts = path.strip("/").split("/")
    start = {"api": 2, "apis": 3}.get(parts[0])
    if start is None or len(parts) <= start:
        return ApiPath(path)
    rest = parts[start:]
    namespace = rest[1] if rest[0] == "namespaces" and len(rest) > 2 else None
    kept = parts[:start] + (["namespaces", "{namespace}"] if namespace else [])
    resource, *named = rest[2:] if namespace else rest
    name = named[0] if named else None
    template = [*kept, resource, *(["{name}"] if name else []), *named[1:]]
    return ApiPath("/" + "/".join(template), resource, namespace, name)
