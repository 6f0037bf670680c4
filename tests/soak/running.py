"""One case from its beginning to its verdict."""

from __future__ import annotations

import queue
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import yaml

from midwatch.simulator import SimulatedFleet
from tests.e2e.midwatch import Run
from tests.soak.cases import Act, Case, Strike
from tests.soak.drawing import draw
from tests.soak.hosting import VirtualHost
from tests.soak.staging import Staged
from tests.soak.verdict import judge
from tests.soak.watching import Watcher

if TYPE_CHECKING:
    from pathlib import Path

AGAIN = "make soak N=1 SEED={seed}"
"""Runs one case again."""
_LONGEST_SECONDS = 120.0
_IDLE_WATCH_SECONDS = 0.03
_POLL_SECONDS = 0.05


@dataclass
class Result:
    """What came of a case: what is wrong, and the run's report."""

    case: Case
    problems: list[str]
    seconds: float
    report: Run | None = None
    kills: int = 0


class Rig:
    """A host, used for one case after the other; a case that goes wrong ends it.

    Args:
        folder: for its state, and for what a case needs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = 0
        self._host: VirtualHost | None = None

    def run(self, seed: int) -> Result:
        """Draw the case of a seed, and run it."""
        began = time.monotonic()
        case = draw(seed)
        with SimulatedFleet(seed=seed, scale=0, idle_watch_seconds=_IDLE_WATCH_SECONDS) as fleet:
            staged = [Staged(fleet, plan, self.folder) for plan in case.clusters]
            fleet.kubeconfig(self.folder / "kubeconfig", "midwatch")
            self._write_policy(case)
            round_ = _Round(case, staged, self._ready_host())
            report = round_.play()
            with suppress(TimeoutError):
                fleet.quiesce(5)
            problems = round_.problems
            if report is not None:
                problems += judge(case, staged, round_.watchers, report)
            with suppress(ExceptionGroup):
                fleet.check()
        if problems:
            self.close()
        return Result(case, problems, time.monotonic() - began, report, round_.kills)

    def close(self) -> None:
        """End the host."""
        if self._host is not None:
            self._host.stop()
            self._host = None

    def _ready_host(self) -> VirtualHost:
        if self._host is None or not self._host.lives:
            self._number += 1
            folder = self.folder / f"host{self._number}"
            folder.mkdir()
            settings = {
                "KUBECONFIG": str(self.folder / "kubeconfig"),
                "MIDWATCH_POLICY": str(self.folder / "policy.yaml"),
            }
            self._host = VirtualHost(folder, settings)
            self._host.start()
        return self._host

    def _write_policy(self, case: Case) -> None:
        clusters = [{"kubeconfig": {"context": plan.name}} for plan in case.clusters]
        whole = {"apiVersion": "midwatch/v1", "clusters": clusters, **case.policy}
        (self.folder / "policy.yaml").write_text(yaml.safe_dump(whole))


@dataclass
class _Round:
    """The time from the run's start to its end."""

    case: Case
    staged: list[Staged]
    host: VirtualHost
    problems: list[str] = field(default_factory=list)
    kills: int = 0

    def __post_init__(self) -> None:
        self._due: queue.Queue[tuple[Staged, Strike]] = queue.Queue()
        self.watchers = [Watcher(one, self.case, partial(self._changed, one)) for one in self.staged]

    def _changed(self, staged: Staged, changes: int) -> None:
        """In the simulator's thread. A kill strikes between the change and its answer."""
        for strike in staged.plan.strikes:
            if strike.after == changes:
                if strike.act is Act.KILL:
                    self.host.strike_dead()
                self._due.put((staged, strike))

    def play(self) -> Run | None:
        """Start a run, let happen what is to happen, and wait for its end; its report."""
        run = self._start()
        if run is None:
            return None
        for watcher in self.watchers:
            watcher.run = run
        until = time.monotonic() + _LONGEST_SECONDS
        while time.monotonic() < until:
            with suppress(queue.Empty):
                self._strike(run, *self._due.get(timeout=_POLL_SECONDS))
            if self.host.lives and (view := self.host.view(run)) is not None and view.data["status"] == "ended":
                self._say_violations()
                return view
        self.problems.append(f"run {run} did not end within {_LONGEST_SECONDS:.0f}s")
        self._say_violations()
        return None

    def _start(self) -> str | None:
        """The ID of a new run. A cluster whose faults are in the way now is asked again."""
        for _ in range(5):
            code, answer = self.host.ask("POST", "runs", {})
            if code == 202:
                return str(answer["id"])
        if any(plan.faults for plan in self.case.clusters):
            return None
        self.problems.append(f"no run was started: {answer}")
        return None

    def _strike(self, run: str, staged: Staged, strike: Strike) -> None:
        if strike.act is Act.KILL:
            self.kills += 1
            self.host.kill()
            self.host.start()
        elif strike.act is Act.CANCEL:
            with suppress(OSError):
                self.host.ask("POST", f"runs/{run}/cancel", {})
        else:
            staged.strike(strike)

    def _say_violations(self) -> None:
        for watcher in self.watchers:
            self.problems += watcher.violations
