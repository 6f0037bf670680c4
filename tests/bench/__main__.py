"""Runs the benchmarks, or those that are named. The last line of each is its ratio, or its figure."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.bench import drain, footprint, simulated, spine
from tests.kit.fleet import ControlPlanes, Fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.figures import Figure

    type Benchmark = Callable[[Fleet], Iterator[Figure]]

_BENCHMARKS: dict[str, Benchmark] = {
    "spine": spine.measure,
    "drain": drain.measure,
    "fleet": simulated.measure,
    "import": footprint.imports,
    "memory": footprint.memory,
}


def main(names: list[str]) -> None:
    """Run them one after the other, each on a fleet of its own."""
    unknown = [name for name in names if name not in _BENCHMARKS]
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}: there are {', '.join(_BENCHMARKS)}")
    planes = ControlPlanes()
    try:
        for name in names or list(_BENCHMARKS):
            print(f"{name}: {' '.join((_BENCHMARKS[name].__doc__ or '').split())}", flush=True)
            fleet = Fleet(planes)
            try:
                for figure in _BENCHMARKS[name](fleet):
                    print(figure, flush=True)
            finally:
                fleet.close()
    finally:
        planes.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
