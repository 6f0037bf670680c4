"""What delays a drain is in the table, each thing with its reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rich.console import Console

from midwatch.cli.tables import drain_table, run_table
from midwatch.domain.by_hand import DrainedPod, DrainView, PodResult
from midwatch.domain.eviction import Waiting
from midwatch.domain.phases import NodePhase
from midwatch.domain.pods import PodVerdict
from midwatch.domain.runs import ClusterInRun, NodeInRun, RunStatus, RunView, Trigger

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


def waiting(name: str, seconds: float) -> Waiting:
    since = NOW - timedelta(seconds=seconds)
    return Waiting(kind="Pod", namespace="shop", name=name, because=f"budget: of {name}", since=since)


def run(*waits: Waiting) -> RunView:
    node = NodeInRun(
        name="n1", pool=None, zone=None, phase=NodePhase.DRAIN, outcome=None, reason=None, waiting_for=waits,
        started_at=NOW, ended_at=None, packages=(), kernel_before=None, kernel_after=None, boot_id_before=None,
        boot_id_after=None,
    )  # fmt: skip
    cluster = ClusterInRun(name="dev", status=RunStatus.RUNNING, outcome=None, error=None, nodes=(node,))
    return RunView(
        id="r", status=RunStatus.RUNNING, outcome=None, trigger=Trigger.CLI, requested_by=None, reason=None,
        dry_run=False, started_at=NOW, ended_at=None, clusters=(cluster,),
    )  # fmt: skip


def printed(table: object) -> str:
    console = Console(width=200)
    with console.capture() as shown:
        console.print(table)
    return shown.get()


def test_each_pod_that_delays_the_drain_for_a_minute_is_shown_with_its_reason_and_the_rest_is_counted() -> None:
    text = printed(run_table(run(waiting("a", 61), waiting("b", 300), waiting("c", 5)), NOW))
    assert "Pod shop/a: budget: of a for 1m 1s" in text
    assert "Pod shop/b: budget: of b for 5m 0s" in text
    assert "and 1 more" in text
    assert "shop/c" not in text


def test_before_that_the_first_is_shown() -> None:
    text = printed(run_table(run(waiting("a", 3), waiting("b", 2)), NOW))
    assert "Pod shop/a: budget: of a for 3s and 1 more" in text


def test_the_table_of_a_drain_has_what_keeps_each_pod() -> None:
    pod = DrainedPod(
        namespace="shop", name="a", verdict=PodVerdict.EVICT, reason="managed", result=PodResult.LEFT,
        because="budget: of a",
    )  # fmt: skip
    text = printed(drain_table(DrainView(cluster="dev", node="n1", outcome=None, dry_run=False, pods=(pod,)), "x"))
    assert [word for word in ("shop", "evict", "managed", "left", "budget: of a") if word not in text] == []
