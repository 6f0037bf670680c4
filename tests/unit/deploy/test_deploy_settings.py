"""The table of settings names every environment variable that the code names, and no others of Midwatch's."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[3]
_CODE = ("midwatch", "orchestrators", "activities", "function_app.py")
_NAME = re.compile(
    r"(?:MIDWATCH|APPLICATIONINSIGHTS|OTEL|WEBSITE|AZURE|IDENTITY|MSI|XDG|FUNCTIONS|PYTHON)_[A-Z_]+"
    r"|KUBECONFIG|REGION_NAME|AzureWebJobs[\w.]+"
)


def _documented() -> set[str]:
    text = (_ROOT / "docs" / "settings.md").read_text()
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row) if _NAME.fullmatch(name)}


def _files() -> Iterator[Path]:
    for name in _CODE:
        path = _ROOT / name
        yield from path.rglob("*.py") if path.is_dir() else [path]


def _named() -> set[str]:
    """The strings of the code that are such a name, docstrings aside."""
    found = set()
    for path in _files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _NAME.fullmatch(node.value):
                found.add(node.value)
    return found


def test_every_variable_that_the_code_names_is_documented() -> None:
    named = _named()
    assert {"MIDWATCH_POLICY", "MIDWATCH_SCHEDULE", "KUBECONFIG", "REGION_NAME"} <= named
    assert named - _documented() == set()


def test_every_documented_variable_of_ours_is_in_the_code() -> None:
    ours = {name for name in _documented() if name.startswith("MIDWATCH_")}
    assert ours
    assert ours - _named() == set()


def test_host_json_says_what_the_guides_rely_on() -> None:
    host = json.loads((_ROOT / "host.json").read_text())
    durable = host["extensions"]["durableTask"]
    assert host["telemetryMode"] == "OpenTelemetry"
    assert durable["tracing"] == {"distributedTracingEnabled": True, "version": "V2", "traceInputsAndOutputs": False}
    assert host["extensions"]["http"]["routePrefix"] == ""
