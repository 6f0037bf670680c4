"""What the function app costs an instance of Azure Functions: processor time at its start, and memory."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.bench.figures import Figure
from tests.bench.simulated import patch_fleet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kit.fleet import Fleet

_ROOT = Path(__file__).resolve().parents[2]
_ROUNDS = 7
_FLOOR = "import azure.functions, azure.durable_functions"
_APP = "import function_app"
_IMPORT_GOAL = 4.0
_CLUSTERS, _NODES = 100, 2
_MEMORY_GOAL = 1024.0
"""Half of what an instance of Flex Consumption has; the Functions host itself lives there, too."""


def imports(_: Fleet) -> Iterator[Figure]:
    """Import `function_app`, paired with the two libraries without which there is no durable function app in Python.

    Processor time of whole processes, the median of several; compiled files are there, as in a deployed package.
    """
    for code in (_FLOOR, _APP):
        _seconds(code)
    pairs = [(_seconds(_FLOOR), _seconds(_APP)) for _ in range(_ROUNDS)]
    floor, app = median(floor for floor, _ in pairs), median(app for _, app in pairs)
    print(f"  {_FLOOR}: {floor:.2f} s; {_APP}: {app:.2f} s", flush=True)
    yield Figure("import", median(app / floor for floor, app in pairs), _IMPORT_GOAL)


def memory(_: Fleet) -> Iterator[Figure]:
    """Patch 200 nodes in 100 clusters, and look at the most memory that the host's process has had."""
    cost = patch_fleet(_CLUSTERS, _NODES)
    print(cost, flush=True)
    yield Figure("memory", round(cost.host_mib), _MEMORY_GOAL, "MiB")


def _seconds(code: str) -> float:
    before = _children()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", code], cwd=_ROOT, env=environment, check=True)
    return _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
