"""What `midwatch simulate` makes of a run, and how it is drawn."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from midwatch.cli.prediction import Assumptions, Prediction, Timeline, predict, prediction_lines, prediction_table
from midwatch.domain.eviction import Waiting
from midwatch.domain.outcomes import ClusterOutcome, NodeOutcome, RunOutcome
from midwatch.domain.phases import NodePhase
from midwatch.domain.runs import ClusterInRun, NodeInRun, RunStatus, RunView, Trigger

_BEGAN = datetime(2026, 11, 25, 4, tzinfo=UTC)
_ASSUMED = Assumptions(boot_seconds=120, pod_stop_seconds=10, pod_start_seconds=15, detector_seconds=30, speed=20)


def _view(phase: NodePhase, *waits: Waiting, outcome: NodeOutcome | None = None, seconds: float = 0) -> RunView:
    ended = _BEGAN + timedelta(seconds=seconds) if outcome is not None else None
    node = NodeInRun(
        name="aks-a-0", pool="a", zone=None, phase=phase, outcome=outcome, reason=None, waiting_for=waits,
        started_at=_BEGAN + timedelta(seconds=5), ended_at=ended, packages=(), kernel_before=None, kernel_after=None,
        boot_id_before=None, boot_id_after=None,
    )  # fmt: skip
    status = RunStatus.RUNNING if outcome is None else RunStatus.ENDED
    whole = ClusterOutcome.COMPLETED if outcome is not None else None
    cluster = ClusterInRun(name="copy", status=status, outcome=whole, error=None, nodes=(node,))
    return RunView(
        id="r", status=status, outcome=RunOutcome.COMPLETED if outcome else None, trigger=Trigger.CLI,
        requested_by=None, reason=None, dry_run=False, started_at=_BEGAN, ended_at=ended, clusters=(cluster,),
    )  # fmt: skip


def _waiting(name: str) -> Waiting:
    return Waiting(kind="Pod", namespace="pay", name=name, because="budget: no", since=_BEGAN + timedelta(seconds=10))


@pytest.fixture
def prediction() -> Prediction:
    """Of a node that drains from second 10 to 110, and ends at 300."""
    timeline = Timeline()
    for seconds, view in (
        (10, _view(NodePhase.DRAIN, _waiting("quick"), _waiting("slow"))),
        (40, _view(NodePhase.DRAIN, _waiting("quick"), _waiting("slow"))),
        (105, _view(NodePhase.DRAIN, _waiting("slow"))),
        (110, _view(NodePhase.WAIT)),
        (300, last := _view(NodePhase.ENDED, outcome=NodeOutcome.REBOOTED, seconds=300)),
    ):
        timeline.look(view, _BEGAN + timedelta(seconds=seconds))
    head = Prediction(
        cluster="prod", taken_at=_BEGAN, outcome=None, error=None, duration_seconds=0, nodes=(), blocking=(),
        assumptions=_ASSUMED, notes=("A note.",),
    )  # fmt: skip
    return predict(last, timeline, head)


def test_a_node_starts_and_lasts_as_the_run_says_and_its_phases_begin_when_they_were_seen(
    prediction: Prediction,
) -> None:
    [node] = prediction.nodes
    assert (node.start_seconds, node.duration_seconds, prediction.duration_seconds) == (5, 295, 300)
    assert [(p.phase, p.at_seconds) for p in node.phases] == [("drain", 10), ("wait", 110), ("ended", 300)]


def test_a_drain_that_failed_between_two_looks_is_still_said_to_block() -> None:
    view = _view(NodePhase.ENDED, outcome=NodeOutcome.DRAIN_FAILED, seconds=65)
    [blocking] = Timeline().blocking(view)
    assert (blocking.node, blocking.kind, blocking.seconds) == ("aks-a-0", "Node", 60)


def test_what_held_a_node_up_for_more_than_a_minute_is_said_to_block_it(prediction: Prediction) -> None:
    assert [(one.name, one.seconds) for one in prediction.blocking] == [("slow", 95)]


@pytest.mark.parametrize("columns", [80, 200])
def test_the_prediction_fits_and_names_what_it_rests_on(prediction: Prediction, columns: int) -> None:
    console = Console(width=columns, file=io.StringIO(), color_system=None)
    console.print(prediction_table(prediction))
    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue()
    assert max(len(line) for line in drawn.splitlines()) <= columns
    assert drawn.splitlines()[0].strip() == "prod simulated: completed, 5m 0s"
    assert "drain 1m 40s, wait 3m 10s" in drawn
    lines = " ".join(prediction_lines(prediction))
    flags = ("--boot-time", "--pod-stop-time", "--pod-start-time", "--detector-time", "pay/slow", "A note.")
    assert [word for word in flags if word not in lines] == []
