"""What the spans of steps and calls say, and how they hang together."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from durabletask.internal import tracing

from midwatch.domain.budget import Availability, Candidate
from midwatch.domain.calls import Call
from midwatch.domain.clusters import ClusterRef
from midwatch.domain.draining import Drained
from midwatch.domain.eviction import Waiting
from midwatch.domain.outcomes import ClusterOutcome, NodeOutcome, RunOutcome
from midwatch.domain.phases import NodePhase
from midwatch.domain.policy import Policy
from midwatch.domain.runs import ClusterEnd, RunEnded, Trigger
from midwatch.domain.steps import NodeStep, Passed, Released, ReleaseStep, Surveyed, SurveyStep
from midwatch.telemetry import Telemetry, ids, in_host_span
from midwatch.telemetry.api_paths import ApiPath, read_path
from midwatch.telemetry.spans import Kind, Span
from tests.unit.telemetry.telemetry_kit import START

RUN = "20261124-030000-abc123"
BLUE = ClusterRef(name="blue", context="blue")
HOST = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_DOCS = Path(__file__).resolve().parents[3] / "docs" / "telemetry.md"


class _Kept(list[Span]):
    def __call__(self, spans: object) -> None:
        assert isinstance(spans, list)
        self.extend(spans)


def _step(node: str = "blue-1") -> NodeStep:
    return NodeStep(run=RUN, cluster=BLUE, node=node, policy=Policy.default())


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("/api/v1/nodes", ApiPath("/api/v1/nodes", "nodes")),
        ("/api/v1/nodes/n1", ApiPath("/api/v1/nodes/{name}", "nodes", None, "n1")),
        ("/api/v1/namespaces/midwatch", ApiPath("/api/v1/namespaces/{name}", "namespaces", None, "midwatch")),
        (
            "/api/v1/namespaces/shop/pods/cart-0/eviction",
            ApiPath("/api/v1/namespaces/{namespace}/pods/{name}/eviction", "pods", "shop", "cart-0"),
        ),
        (
            "/apis/policy/v1/namespaces/shop/poddisruptionbudgets",
            ApiPath("/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets", "poddisruptionbudgets", "shop"),
        ),
        ("/version", ApiPath("/version")),
        ("/api/v1", ApiPath("/api/v1")),
    ],
)
def test_a_path_is_taken_apart(path: str, read: ApiPath) -> None:
    assert read_path(path) == read


def test_the_trace_id_follows_from_the_run_as_the_docs_say() -> None:
    assert ids.trace_id(RUN) == hashlib.sha256(RUN.encode()).hexdigest()[:32]
    assert "sha256sum | cut -c 1-32" in _DOCS.read_text()


def test_a_call_has_neither_user_nor_password_nor_query_of_its_server() -> None:
    kept = _Kept()
    attempt = Telemetry(kept).attempt("claim_node", _step())
    assert attempt.observer is not None
    server = "https://user:hunter2@api.example:6443/k8s/c1"
    attempt.observer(
        Call("get", "GET", server, "/api/v1/nodes/blue-1", datetime.now(UTC), timedelta(seconds=1), 200, None)
    )
    attempt.end("ok")
    _, call = kept
    assert call.kind is Kind.CLIENT
    assert call.attributes["url.full"] == "https://api.example:6443/k8s/c1/api/v1/nodes/blue-1"
    assert "hunter2" not in call.model_dump_json()
    assert call.parent_id == kept[0].span_id


def test_a_step_is_linked_to_the_hosts_span() -> None:
    kept = _Kept()
    with in_host_span(HOST):
        Telemetry(kept).attempt("cordon_node", _step()).end("ok")
    [link] = kept[0].links
    assert (link.trace_id, link.span_id) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert kept[0].trace_id == ids.trace_id(RUN)


@pytest.mark.parametrize("given", ["", "nonsense", f"00-{0:032x}-{0:016x}-01"])
def test_a_host_that_says_no_span_is_not_linked(given: str) -> None:
    kept = _Kept()
    with in_host_span(given):
        Telemetry(kept).attempt("cordon_node", _step()).end("ok")
    assert kept[0].links == ()


def test_a_run_is_started_under_its_own_trace_where_there_are_traces() -> None:
    with Telemetry(_Kept()).starting(RUN):
        handed = tracing.get_current_trace_context()
    assert handed is not None
    assert handed.traceParent == f"00-{ids.trace_id(RUN)}-{ids.run_span(RUN)}-01"
    with Telemetry(None).starting(RUN):
        assert tracing.get_current_trace_context() is None


def _release(**fields: object) -> ReleaseStep:
    phases = (NodePhase.CLAIM, NodePhase.CORDON, NodePhase.DRAIN, NodePhase.RELEASE)
    passed = tuple(Passed(phase=p, entered_at=START + timedelta(minutes=n)) for n, p in enumerate(phases))
    return ReleaseStep.model_validate({**dict(_step()), "claimed_by": RUN, "passed": passed, **fields})


def test_a_node_that_failed_is_marked_and_so_is_the_phase_before_its_release() -> None:
    kept = _Kept()
    step = _release(outcome=NodeOutcome.DRAIN_FAILED, reason="timeout: cart-0")
    Telemetry(kept).attempt("release_node", step).end("ok", result=Released(left=("cordoned",)))
    node, *phases = [span for span in kept if "midwatch.step" not in span.attributes]
    assert (node.name, node.error) == ("node", "left: cordoned")
    assert node.attributes["midwatch.left"] == ("cordoned",)
    assert [(p.name, p.error is not None) for p in phases] == [
        ("claim", False), ("cordon", False), ("drain", True), ("release", False),
    ]  # fmt: skip
    assert phases[2].ended_at - phases[2].started_at == timedelta(minutes=1)


def test_a_node_that_another_run_left_is_released_under_the_cluster() -> None:
    kept = _Kept()
    Telemetry(kept).attempt("release_node", _release(claimed_by="other", passed=())).end("ok", result=Released())
    [step] = kept
    assert step.parent_id == ids.cluster_span(RUN, "blue")


def test_a_run_recorded_twice_draws_the_same_spans() -> None:
    end = ClusterEnd(name="blue", outcome=ClusterOutcome.COMPLETED, started_at=START, ended_at=START)
    never = ClusterEnd(name="red", outcome=ClusterOutcome.CANCELLED)
    ended = RunEnded(
        run=RUN, trigger=Trigger.TIMER, dry_run=False, outcome=RunOutcome.COMPLETED, started_at=START, ended_at=START,
        clusters=(end, never),
    )  # fmt: skip
    first, again = _Kept(), _Kept()
    Telemetry(first).run_ended(ended)
    Telemetry(again).run_ended(ended)
    assert list(first) == list(again)
    assert [span.name for span in first] == ["run", "cluster"]


def _records(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [json.loads(record.getMessage()) for record in caplog.records if record.name == "midwatch.steps"]


def _only(entries: object) -> dict[str, object]:
    assert isinstance(entries, list)
    [entry] = entries
    assert isinstance(entry, dict)
    return entry


def test_the_records_have_what_the_queries_name(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "midwatch.steps")
    off = Telemetry(None)
    waiting = Waiting(kind="Pod", namespace="shop", name="cart-0", because="budget: none")
    off.attempt("drain_pass", _step()).end("ok", result=Drained(left=(waiting,)))
    candidate = Candidate(name="blue-1", pool=None, zone=None, since=START)
    surveyed = Surveyed(
        candidates=(candidate,), skipped=(), availability=Availability(total=1, not_ready=(), cordoned=())
    )
    survey = SurveyStep(run=RUN, cluster=BLUE, policy=Policy.default())
    off.attempt("survey_cluster", survey).end("ok", result=surveyed)
    off.attempt("release_node", _release(outcome=NodeOutcome.REBOOTED)).end("ok", result=Released())
    records = _records(caplog)
    assert [record["step"] for record in records] == ["drain_pass", "survey_cluster", "release_node", "node"]
    queries = "".join(re.findall(r"```kusto\n(.*?)```", _DOCS.read_text(), re.DOTALL))
    named = set(re.findall(r"record\.(\w+)", queries))
    assert named
    assert named <= {key for record in records for key in record}
    blocked = _only(records[0]["waiting_for"])
    assert set(re.findall(r"waiting\.(\w+)", queries)) <= set(blocked)
    pending = _only(records[1]["pending"])
    assert set(re.findall(r"pending\.(\w+)", queries)) <= set(pending)
    assert set(re.findall(r'record\.step == "(\w+)"', queries)) <= {"drain_pass", "survey_cluster", "node", "run"}
    assert all(json.dumps(record).startswith('{"run_id"') for record in records)
