"""Run random fleets: `python -m tests.soak [--number N] [--seed SEED] [--verbose]`; each fleet has the next seed."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from pprint import pprint

from tests.soak.running import AGAIN, Result, Rig


def main() -> int:
    """0 when no invariant was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--number", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true", help="print the case and the report")
    asked = parser.parse_args()
    began, failed, kills, nodes = time.monotonic(), [], 0, 0
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        rig = Rig(Path(folder))
        try:
            for done, seed in enumerate(range(asked.seed, asked.seed + asked.number), start=1):
                result = rig.run(seed)
                kills += result.kills
                nodes += sum(len(plan.nodes) for plan in result.case.clusters)
                if result.problems:
                    failed.append(seed)
                _say(result, verbose=asked.verbose)
                spent = time.monotonic() - began
                print(
                    f"\r{done} of {asked.number} fleets, {nodes} nodes, {kills} kills, "
                    f"{len(failed)} failed, {spent:.0f}s (seed {seed}: {result.seconds:.1f}s)   ",
                    end="",
                    file=sys.stderr,
                )
        finally:
            rig.close()
    print(file=sys.stderr)
    print(f"{asked.number} fleets from seed {asked.seed}: {len(failed)} failed {failed or ''}")
    return 1 if failed else 0


def _say(result: Result, *, verbose: bool) -> None:
    if verbose:
        pprint(result.case, width=140)
        pprint(result.report.data if result.report is not None else None, width=140)
    if result.problems:
        print(f"\nseed {result.case.seed} failed; again: {AGAIN.format(seed=result.case.seed)}")
        for problem in result.problems:
            print(f"  {problem}")


if __name__ == "__main__":
    sys.exit(main())
