"""What Application Insights gets of a run: the real exporter sends to a local endpoint, through a kill and a resume."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import yaml

from midwatch.simulator import Change, Fault, FaultKind, SimulatedFleet, Workload
from midwatch.telemetry import ids
from tests.e2e.midwatch import Run
from tests.kit.background import until
from tests.kit.ingestion import Envelope, Ingestion
from tests.soak.hosting import VirtualHost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_POLICY: dict[str, object] = {
    "apiVersion": "midwatch/v1",
    "nodes": {"settle": "0s"},
    "drain": {"timeout": "2m"},
    "reboot": {"timeout": "2m"},
    "verify": {"stableFor": "0s", "conditionClears": "1m"},
    "failure": {"maxFailedNodes": 5},
}
_PHASES = ["claim", "cordon", "drain", "recheck", "reboot", "wait", "verify", "release"]
_NOT_BACK = [*_PHASES[:6], "release"]


class Night:
    """A run over two clusters: `blue-1` is rebooted, `green-1` never comes back; a step is tried twice; the host is
    killed in the middle of a drain, and started again.
    """

    def __init__(self, fleet: SimulatedFleet, folder: Path, ingestion: Ingestion) -> None:
        self.ingestion = ingestion
        self.folder = folder
        blue, green = fleet.create("blue", "green", nodes=3)
        for cluster in (blue, green):
            cluster.create_namespace("midwatch")
            cluster.deploy(Workload("shop", replicas=6))
            cluster.require_reboot(f"{cluster.name}-1", "linux-image")
        green.behave("green-1", returns=False)
        fleet.quiesce()
        self._killed = threading.Event()
        self._evictions = 0
        blue.add_fault(
            Fault(FaultKind.ERROR, verbs=frozenset({"patch"}), resources=frozenset({"nodes"}), skip=1, times=1)
        )
        blue.observe(self._strike)
        policy = folder / "policy.yaml"
        clusters = [{"kubeconfig": {"context": name}} for name in fleet.clusters]
        policy.write_text(yaml.safe_dump({**_POLICY, "clusters": clusters}))
        self.host = VirtualHost(
            folder,
            {
                "KUBECONFIG": str(fleet.kubeconfig(folder / "kubeconfig", "midwatch")),
                "MIDWATCH_POLICY": str(policy),
                "MIDWATCH_TRACES_OUTBOX": str(folder / "outbox"),
                "APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string,
            },
        )

    def _strike(self, change: Change) -> None:
        """In the simulator's thread: the first pod that is evicted takes the host with it."""
        doomed = change.resource.plural == "pods" and "deletionTimestamp" in str(change.record.doc["metadata"])
        if doomed and not self._killed.is_set():
            self._killed.set()
            self.host.strike_dead()

    def play(self) -> Run:
        """The run, to its end."""
        self.host.start()
        code, answer = self.host.ask("POST", "runs", {})
        assert code == 202, answer
        run = str(answer["id"])
        until(self._killed.is_set, "an eviction", seconds=60)
        self.host.kill()
        self.host.start()
        ended: list[Run] = []

        def look() -> bool:
            view = self.host.view(run)
            if view is not None and view.data["status"] == "ended":
                ended.append(view)
            return bool(ended)

        until(look, "the run's end", seconds=120)
        return ended[0]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, list[Envelope]]]:
    """The run's report, and every span that came."""
    with Ingestion() as ingestion, SimulatedFleet(scale=0, idle_watch_seconds=0.03) as fleet:
        night = Night(fleet, tmp_path_factory.mktemp("night"), ingestion)
        try:
            run = night.play()
            until(lambda: any(span.name == "run" for span in ingestion.spans), "the run's span", seconds=60)
        finally:
            night.host.stop()
        yield run, ingestion.spans


def _where(span: Envelope) -> tuple[str, str]:
    return span.properties.get("k8s.cluster.name", ""), span.properties.get("k8s.node.name", "")


def _named(spans: list[Envelope], name: str) -> list[Envelope]:
    return [span for span in spans if span.name == name]


def _phases(spans: list[Envelope], node: str) -> list[Envelope]:
    return [span for span in spans if "midwatch.step" not in span.properties and "midwatch.phase" in span.properties
            and span.properties["k8s.node.name"] == node]  # fmt: skip


def _steps(spans: list[Envelope]) -> list[Envelope]:
    return [span for span in spans if "midwatch.step" in span.properties and "midwatch.verb" not in span.properties]


def _calls(spans: list[Envelope]) -> list[Envelope]:
    return [span for span in spans if "midwatch.verb" in span.properties]


def test_the_run_went_as_the_trace_must_tell(night: tuple[Run, list[Envelope]]) -> None:
    run, _ = night
    assert run.outcomes == {"blue-1": "rebooted", "green-1": "not-ready"}


def test_all_spans_of_a_run_have_one_operation_id_that_follows_from_its_id(night: tuple[Run, list[Envelope]]) -> None:
    run, spans = night
    assert {span.operation for span in spans} == {ids.trace_id(run.id)}
    assert {span.properties["midwatch.run.id"] for span in spans} == {run.id}


def test_no_span_comes_twice_and_each_has_its_parent(night: tuple[Run, list[Envelope]]) -> None:
    _, spans = night
    known = {span.id: span for span in spans}
    assert len(known) == len(spans)
    levels = {"run": None, "cluster": "run", "node": "cluster"}
    for span in spans:
        parent = known[span.parent] if span.parent is not None else None
        if span.name in levels:
            assert (parent.name if parent else None) == levels[span.name]
        else:
            assert parent is not None, span.name
    for phase in (span for node in ("blue-1", "green-1") for span in _phases(spans, node)):
        assert phase.parent is not None
        assert (known[phase.parent].name, _where(known[phase.parent])) == ("node", _where(phase))
    for step in _steps(spans):
        assert step.parent is not None
        above = known[step.parent]
        assert above.name == step.properties.get("midwatch.phase", "cluster")
        assert _where(above) == _where(step)
    for call in _calls(spans):
        assert call.parent is not None
        assert known[call.parent].name == call.properties["midwatch.step"]
        assert _where(known[call.parent])[0] == call.properties["k8s.cluster.name"]


def test_run_clusters_nodes_and_phases_come_once_each(night: tuple[Run, list[Envelope]]) -> None:
    _, spans = night
    assert len(_named(spans, "run")) == 1
    assert sorted(_where(span)[0] for span in _named(spans, "cluster")) == ["blue", "green"]
    assert sorted(_where(span) for span in _named(spans, "node")) == [("blue", "blue-1"), ("green", "green-1")]
    assert sorted(span.name for span in _phases(spans, "blue-1")) == sorted(_PHASES)
    assert sorted(span.name for span in _phases(spans, "green-1")) == sorted(_NOT_BACK)


def test_each_step_comes_once_and_one_that_was_tried_again_shows_both(night: tuple[Run, list[Envelope]]) -> None:
    _, spans = night
    counted = Counter((span.name, *_where(span)) for span in _steps(spans))
    for node in ("blue-1", "green-1"):
        cluster = node.split("-")[0]
        for step in ("claim_node", "recheck_node", "reboot_node", "release_node"):
            assert counted[step, cluster, node] == 1, step
    assert counted["cordon_node", "green", "green-1"] == 1
    cordons = [span for span in _named(spans, "cordon_node") if _where(span)[1] == "blue-1"]
    assert [span.base["success"] for span in cordons] == [False, True]
    assert cordons[0].properties["midwatch.outcome"] == "raised ServerError"


def test_what_failed_is_marked_and_says_why(night: tuple[Run, list[Envelope]]) -> None:
    _, spans = night
    nodes = {_where(span)[1]: span for span in _named(spans, "node")}
    assert (nodes["blue-1"].base["success"], nodes["green-1"].base["success"]) == (True, False)
    assert nodes["green-1"].properties["midwatch.outcome"] == "not-ready"
    assert {span.name for span in _phases(spans, "green-1") if span.base["success"] is False} == {"wait"}
    [root] = _named(spans, "run")
    assert (root.type, root.base["success"]) == ("RequestData", False)
    assert root.properties["midwatch.outcome"] == "completed-with-failures"


def test_a_call_says_method_status_and_server_and_no_query(night: tuple[Run, list[Envelope]]) -> None:
    _, spans = night
    calls = _calls(spans)
    assert {call.base["type"] for call in calls} == {"HTTP"}
    assert all("?" not in str(call.data) for call in calls)
    patches = [c for c in calls if c.name == "PATCH /api/v1/nodes/blue-1" and c.base["resultCode"] == "500"]
    assert len(patches) == 1
    assert patches[0].base["success"] is False
    evictions = [c for c in calls if c.properties["midwatch.resource"] == "pods" and c.name.endswith("/eviction")]
    assert evictions
    assert all(call.properties["k8s.pod.name"].startswith("shop-") for call in evictions)
    assert all(call.properties["k8s.namespace.name"] == "default" for call in evictions)
