"""Prints deploy/bicep/workbook.json, made from the queries of docs/telemetry.md: `make reference` writes it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

_DOCS = Path(__file__).parents[1] / "docs" / "telemetry.md"
_QUERY = re.compile(r"(?P<title>[^\n]+):\n\n```kusto\n(?P<query>.*?)```", re.DOTALL)
_EXAMPLE = re.compile(r'^let run = "[^"]*";', re.MULTILINE)


def queries(text: str) -> list[tuple[str, str]]:
    """Title and text of each query of the page; the run is the workbook's parameter."""
    found = [(one["title"], one["query"].strip()) for one in _QUERY.finditer(text)]
    return [(title, _EXAMPLE.sub('let run = "{run}";', query)) for title, query in found]


def workbook(text: str) -> dict[str, object]:
    """The workbook: a field for the run's ID, then each query under its title."""
    field = {"name": "run", "label": "Run", "type": 1, "version": "KqlParameterItem/1.0", "isRequired": True}
    parameters = {"version": "KqlParameterItem/1.0", "parameters": [field], "style": "above"}
    items: list[dict[str, object]] = [{"type": 9, "name": "run", "content": parameters}]
    for number, (title, query) in enumerate(queries(text)):
        content = {
            "version": "KqlItem/1.0",
            "title": title,
            "query": query,
            "size": 0,
            "queryType": 0,
            "resourceType": "microsoft.insights/components",
            "timeContext": {"durationMs": 2_592_000_000},
        }
        items.append({"type": 3, "name": f"query-{number}", "content": content})
    return {"version": "Notebook/1.0", "items": items}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(workbook(_DOCS.read_text(encoding="utf-8")), indent=2) + "\n")
