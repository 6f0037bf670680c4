"""Two hosts that know nothing of each other start a run on the same cluster at the same moment."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import yaml

from midwatch.simulator import SimulatedFleet
from tests.kit.background import until
from tests.soak.cases import Case, ClusterPlan, NodePlan
from tests.soak.hosting import VirtualHost
from tests.soak.staging import Staged
from tests.soak.watching import Watcher

if TYPE_CHECKING:
    from pathlib import Path

_NODES = tuple(NodePlan(f"blue-{n}", "work", f"westeurope-{n % 3 + 1}", needs=True) for n in range(4))
_POLICY: dict[str, dict[str, object]] = {
    "nodes": {"maxUnavailable": 1, "countCordoned": False, "settle": "0s"},
    "drain": {"onTimeout": "fail"},
    "verify": {"stableFor": "0s"},
}


def test_of_two_runs_that_start_at_once_one_finds_the_cluster_busy(tmp_path: Path) -> None:
    case = Case(0, (ClusterPlan("blue", _NODES),), _POLICY)
    clusters = [{"kubeconfig": {"context": "blue"}}]
    (tmp_path / "policy.yaml").write_text(
        yaml.safe_dump({"apiVersion": "midwatch/v1", "clusters": clusters, **_POLICY})
    )
    with ExitStack() as stack:
        fleet = stack.enter_context(SimulatedFleet(scale=0, idle_watch_seconds=0.03))
        staged = Staged(fleet, case.clusters[0], tmp_path)
        kubeconfig = fleet.kubeconfig(tmp_path / "kubeconfig", "midwatch")
        settings = {"KUBECONFIG": str(kubeconfig), "MIDWATCH_POLICY": str(tmp_path / "policy.yaml")}
        hosts = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            hosts.append(VirtualHost(tmp_path / name, settings))
            stack.callback(hosts[-1].stop)
            hosts[-1].start()
        watcher = Watcher(staged, case, lambda _: None)
        runs = [str(host.ask("POST", "runs", {})[1]["id"]) for host in hosts]
        for host, run in zip(hosts, runs, strict=True):
            until(lambda host=host, run=run: _ended(host, run), f"the end of run {run}", seconds=60)  # type: ignore[misc]
        views = [view for host, run in zip(hosts, runs, strict=True) if (view := host.view(run)) is not None]
        assert watcher.violations == []
        assert sorted(str(view.clusters["blue"]["outcome"]) for view in views) == ["busy", "completed"]
        assert staged.cluster.boots == {node.name: 1 for node in _NODES}


def _ended(host: VirtualHost, run: str) -> bool:
    view = host.view(run)
    return view is not None and view.data["status"] == "ended"
