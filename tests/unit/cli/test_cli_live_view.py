"""The tables as they are drawn in narrow and in wide terminals."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console, RenderableType

from midwatch.cli.summary import summary_tables, totals
from midwatch.cli.tables import live_table
from midwatch.domain.eviction import Waiting
from midwatch.domain.outcomes import ClusterOutcome, NodeOutcome, RunOutcome
from midwatch.domain.phases import NodePhase
from midwatch.domain.runs import ClusterInRun, NodeInRun, RunStatus, RunView, Trigger
from midwatch.domain.steps import Failure

_NOW = datetime(2026, 11, 25, 4, tzinfo=UTC)
_REASON = "misconfigured-timeout: 1 left at the deadline: Pod payments/ledger-60ca4d61aa-qw5x4"
_PACKAGES = ("linux-image-5.15.0-1065-azure", "linux-modules-5.15.0-1065-azure")


def _node(name: str, phase: NodePhase, outcome: NodeOutcome | None, reason: str | None = None) -> NodeInRun:
    touched = outcome is not NodeOutcome.SKIPPED
    ended = phase is NodePhase.ENDED and touched
    return NodeInRun(
        name=name, pool="apps", zone="westeurope-1", phase=phase, outcome=outcome, reason=reason, waiting_for=(),
        started_at=_NOW if touched else None, ended_at=_NOW + timedelta(seconds=8) if ended else None,
        packages=_PACKAGES if touched else (), kernel_before="5.15.0-1064-azure" if touched else None,
        kernel_after="5.15.0-1065-azure" if outcome is NodeOutcome.REBOOTED else None,
        boot_id_before=None, boot_id_after=None,
    )  # fmt: skip


_NODES = (
    _node("staging-apps-0", NodePhase.ENDED, NodeOutcome.REBOOTED),
    _node("staging-apps-1", NodePhase.ENDED, NodeOutcome.DRAIN_FAILED, _REASON),
    _node("staging-apps-2", NodePhase.WAIT, None),
    _node("staging-apps-3", NodePhase.ENDED, NodeOutcome.SKIPPED, "cordoned: somebody else cordoned the node"),
)
_RUN = RunView(
    id="20261125-040000-abcdef", status=RunStatus.ENDED, outcome=RunOutcome.COMPLETED_WITH_FAILURES,
    trigger=Trigger.CLI, requested_by=None, reason="midwatch demo", dry_run=False, started_at=_NOW,
    ended_at=_NOW + timedelta(seconds=24),
    clusters=(
        ClusterInRun(
            name="staging", status=RunStatus.ENDED, outcome=ClusterOutcome.COMPLETED_WITH_FAILURES, error=None,
            nodes=_NODES,
        ),
    ),
)  # fmt: skip


def _drawn(columns: int, *tables: RenderableType) -> list[str]:
    console = Console(width=columns, file=io.StringIO(), force_terminal=True, color_system=None)
    for table in tables:
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("columns", [80, 200])
def test_the_live_view_has_a_bar_for_each_cluster_and_node_and_one_line_for_each(columns: int) -> None:
    lines = _drawn(columns, live_table(_RUN, _NOW + timedelta(seconds=9)))
    assert max(len(line) for line in lines) <= columns
    assert len(lines) == 2 + 1 + len(_NODES)  # title and header, the cluster, its nodes
    bars = {line.split()[0]: line.count("█") for line in lines if "█" in line or "░" in line}
    assert bars == {
        "staging": 6, "staging-apps-0": 8, "staging-apps-1": 8, "staging-apps-2": 5, "staging-apps-3": 0,
    }  # fmt: skip


def test_the_live_view_shows_what_delays_a_drain_for_long_and_why_a_cluster_cannot_be_reached_in_full() -> None:
    because = "budget: PodDisruptionBudget payments/ledger allows no disruption now"
    ledger = Waiting(kind="Pod", namespace="payments", name="ledger-0", because=because, since=_NOW)
    node = _NODES[2].model_copy(update={"phase": NodePhase.DRAIN, "waiting_for": (ledger,)})
    error = Failure(code="unreachable", message="cannot connect to https://127.0.0.1:1 within thirty seconds")
    clusters = [_RUN.clusters[0].model_copy(update={"nodes": (node,), "error": error})]
    lines = _drawn(80, live_table(_RUN.model_copy(update={"clusters": clusters}), _NOW + timedelta(minutes=2)))
    text = "".join("".join(line.split()) for line in lines)
    assert "…" not in text
    assert "allowsnodisruptionnowfor2m0s" in text
    assert "withinthirtyseconds" in text


@pytest.mark.parametrize("columns", [80, 200])
def test_the_summary_names_kernels_packages_and_reasons_whole(columns: int) -> None:
    lines = _drawn(columns, *summary_tables(_RUN, columns))
    assert max(len(line) for line in lines) <= columns
    assert lines[0] == "staging: completed-with-failures"
    text = " ".join(" ".join(lines).split())
    words = [
        "5.15.0-1064-azure -> 5.15.0-1065-azure",
        "5.15.0-1064-azure stays",
        *_PACKAGES,
        "payments/ledger-60ca4d61aa",
    ]
    assert [word for word in (*words, "drain-failed", "8s", "somebody else") if word not in text] == []


def test_the_totals_count_each_outcome_and_the_nodes_that_needed_nothing() -> None:
    ended = _RUN.clusters[0].model_copy(update={"nodes": (*_NODES[:2], _NODES[3])})
    run = _RUN.model_copy(update={"clusters": (ended,)})
    counted = "1 rebooted, 1 drain-failed, 1 skipped, 3 needed no reboot"
    assert totals(run, 6) == f"1 cluster, 6 nodes: {counted}; 24s in all."
