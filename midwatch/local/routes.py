"""Route templates of the Functions host, as aiohttp's router wants them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from midwatch.local.errors import AppLoadError

_PARAMETER = re.compile(r"\{(?P<catch_all>\*{0,2})(?P<name>\w+)(?::(?P<constraint>\w+))?(?P<optional>\?)?\}")
_CONSTRAINTS = {
    None: r"[^/]+",
    "int": r"-?\d+",
    "long": r"-?\d+",
    "bool": r"true|false",
    "alpha": r"[A-Za-z]+",
    "guid": r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
}


@dataclass(frozen=True)
class Route:
    """One path to match.

    Attributes:
        path: in aiohttp's syntax, with a leading slash.
        precedence: lower is tried first: literal segments before parameters, before a catch-all.
    """

    path: str
    precedence: tuple[int, int]


def routes_of(prefix: str, template: str) -> list[Route]:
    """The paths of a route template under the app's route prefix; several when a parameter is optional.

    Raises:
        AppLoadError: `route`, a constraint that this host does not know.
    """
    full = "/" + "/".join(part for part in (prefix.strip("/"), template.strip("/")) if part)
    parameters = list(_PARAMETER.finditer(full))
    unknown = [match["constraint"] for match in parameters if match["constraint"] not in _CONSTRAINTS]
    if unknown:
        raise AppLoadError("route", f"route '{template}': the constraint '{unknown[0]}' is not supported")
    catch_all = any(match["catch_all"] for match in parameters)
    route = Route(_PARAMETER.sub(_to_aiohttp, full), (int(catch_all), len(parameters)))
    last = parameters[-1] if parameters else None
    may_be_absent = last is not None and bool(last["optional"] or last["catch_all"]) and last.end() == len(full)
    if last is None or not may_be_absent:
        return [route]
    shorter = _PARAMETER.sub(_to_aiohttp, full[: last.start()].rstrip("/")) or "/"
    return [route, Route(shorter, route.precedence)]


def _to_aiohttp(match: re.Match[str]) -> str:
    pattern = r".*" if match["catch_all"] else _CONSTRAINTS[match["constraint"]]
    return f"{{{match['name']}:{pattern}}}"
