"""The rules of the doctor about the cluster itself: version, namespace, reboot pod, detector, lease, leftovers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from midwatch.domain.doctor.checks import Unread
from midwatch.domain.doctor.cluster import (
    Admission,
    NamespaceState,
    lease_check,
    leftovers_check,
    namespace_check,
    reboot_pod_check,
    version_check,
)
from midwatch.domain.doctor.detector import DetectorState, condition_checks, detector_checks
from midwatch.domain.lease import LeaseView
from midwatch.domain.nodes import Claim, Condition, NodeView
from midwatch.domain.phases import NodePhase
from midwatch.domain.policy import Policy, RebootMethod
from tests.unit.domain.domain_kit import NOW, READY, condition, node

_REFUSED = Unread(code="forbidden", message="no")
_RUN = "20261123-030000-dead00"
_DOWN = condition("Ready", "Unknown")
_TAKEN = Admission(status=201)


def _node(name: str, *conditions: Condition, os: str = "linux") -> NodeView:
    return node(name=name, conditions=conditions, os=os, labels={"kubernetes.io/os": os})


def _space(level: str) -> NamespaceState:
    return NamespaceState(exists=True, level=level)


def _lease(holder: str, *, age: float = 60) -> LeaseView:
    return LeaseView(holder=holder, renewed=NOW - timedelta(seconds=age), duration=timedelta(minutes=10))


def _claimed(*, by_hand: bool = False, cordoned: bool = True) -> NodeView:
    claim = Claim(run=_RUN, boot_id="b", was_unschedulable=False, phase=NodePhase.DRAIN, by_hand=by_hand)
    return node(name="n1", claim=claim, unschedulable=cordoned)


@pytest.mark.parametrize(
    ("found", "method", "expected"),
    [
        ("v1.30.0", RebootMethod.SIGNAL, "ok"),
        ("v1.36.3", RebootMethod.SIGNAL, "ok"),
        ("v2.0.0", RebootMethod.SIGNAL, "ok"),
        ("v1.29.9", RebootMethod.SIGNAL, "failed"),
        ("v1.29.9", RebootMethod.COMMAND, "warning"),
        ("huh", RebootMethod.SIGNAL, "unknown"),
        (None, RebootMethod.SIGNAL, "unknown"),
        (_REFUSED, RebootMethod.SIGNAL, "unknown"),
    ],
)
def test_an_api_server_must_be_new_enough(found: str | Unread | None, method: RebootMethod, expected: str) -> None:
    assert version_check(found, method).verdict == expected


@pytest.mark.parametrize(
    ("found", "admission", "allowed", "expected"),
    [
        pytest.param(_space("privileged"), _TAKEN, True, "ok", id="privileged"),
        pytest.param(NamespaceState(exists=True), _TAKEN, True, "warning", id="no label"),
        pytest.param(_space("baseline"), Admission(status=403), True, "failed", id="baseline"),
        pytest.param(_space("restricted"), _REFUSED, True, "failed", id="restricted"),
        pytest.param(NamespaceState(exists=False), Admission(status=404), True, "failed", id="missing"),
        pytest.param(_REFUSED, Admission(status=404), True, "failed", id="missing, by the dry run"),
        pytest.param(_REFUSED, _TAKEN, True, "ok", id="there, by the dry run"),
        pytest.param(_REFUSED, Admission(status=403), True, "ok", id="there, and refuses the pod"),
        pytest.param(_REFUSED, Admission(status=403), False, "unknown", id="neither may be asked"),
        pytest.param(_REFUSED, _REFUSED, True, "unknown", id="no answer"),
    ],
)  # fmt: skip
def test_the_namespace_must_let_the_reboot_pod_in(
    found: NamespaceState | Unread, admission: Admission | Unread, allowed: bool, expected: str
) -> None:
    check = namespace_check(found, admission, allowed=allowed)
    assert check.verdict == expected
    assert bool(check.remedy) is (expected in {"failed", "warning"} or not allowed)


@pytest.mark.parametrize(
    ("admission", "allowed", "expected", "remedy"),
    [
        pytest.param(_TAKEN, True, "ok", "", id="taken"),
        pytest.param(Admission(status=404, message="x"), True, "failed", "deploy/rbac", id="no namespace"),
        pytest.param(Admission(status=403, message="x"), True, "failed", "privileged", id="admission"),
        pytest.param(Admission(status=403, message="x"), False, "failed", "permission", id="rights"),
        pytest.param(Admission(status=422, message="x"), True, "failed", "refuses", id="invalid"),
        pytest.param(Admission(status=400, message="x"), True, "unknown", "sideEffects", id="a webhook with effects"),
        pytest.param(_REFUSED, True, "unknown", "", id="no answer"),
    ],
)
def test_a_refused_reboot_pod_is_told_by_who_refused_it(
    admission: Admission | Unread, allowed: bool, expected: str, remedy: str
) -> None:
    check = reboot_pod_check(admission, RebootMethod.SIGNAL, allowed=allowed)
    assert (check.verdict, remedy in (check.remedy or "")) == (expected, True)


@pytest.mark.parametrize(
    ("nodes", "expected", "text"),
    [
        pytest.param([_node("a", READY, condition())], "ok", "1 of 1", id="fresh"),
        pytest.param([_node("a", READY, condition(status="False"))], "ok", "1 of 1", id="asks for nothing"),
        pytest.param(
            [_node("a", READY, condition()), _node("b", READY)], "failed", "missing on 1 of 2: b", id="missing on one"
        ),
        pytest.param(
            [_node("a", READY, condition(age=700))], "failed", "not confirmed for 11m on 1 of 1: a", id="stale"
        ),
        pytest.param([_node("a", READY, condition(age=650))], "ok", "1 of 1", id="late, and not yet stale"),
        pytest.param(
            [_node("a", READY, Condition(type="RebootRequired", status="True"))], "failed", "heartbeat", id="undated"
        ),
        pytest.param([_node("a", READY, condition(status="Unknown"))], "failed", "Unknown on 1 of 1: a", id="blind"),
        pytest.param(
            [_node("a", READY, condition()), _node("b", _DOWN)], "warning", "b", id="missing where the node is down"
        ),
        pytest.param(
            [_node("a", READY, condition()), _node("w", READY, os="windows")], "ok", "1 of 1", id="Windows is left out"
        ),
        pytest.param([_node("w", READY, os="windows")], "warning", "no Linux node", id="no node"),
        pytest.param(_REFUSED, "unknown", "forbidden", id="no answer"),
    ],
)
def test_every_node_must_say_whether_it_needs_a_reboot(
    nodes: list[NodeView] | Unread, expected: str, text: str
) -> None:
    [check] = condition_checks(nodes, Policy.default(), NOW)
    assert (check.verdict, text in check.detail) == (expected, True)
    assert bool(check.remedy) is (expected in {"failed", "warning"})


def test_a_condition_of_somebody_elses_has_its_own_check_and_no_detector() -> None:
    needs = {"needs": [{"condition": "KernelOld"}]}
    policy = Policy.model_validate({"apiVersion": "midwatch/v1", "nodes": needs})
    checks = condition_checks([_node("a", READY, condition())], policy, NOW)
    assert [(check.subject, check.verdict.value) for check in checks] == [("KernelOld", "failed")]
    assert "KernelOld" in str(checks[0].remedy)
    assert detector_checks(DetectorState(), checks, policy) == ()


@pytest.mark.parametrize(
    ("state", "reported", "expected"),
    [
        pytest.param(DetectorState(daemon_set="x", desired=2, ready=2), True, "ok", id="all ready"),
        pytest.param(DetectorState(daemon_set="x", desired=2, ready=1), True, "warning", id="some ready"),
        pytest.param(DetectorState(daemon_set="x", desired=2), False, "failed", id="none ready"),
        pytest.param(DetectorState(daemon_set="x"), False, "failed", id="no node takes it"),
        pytest.param(DetectorState(others=2, others_ready=2), False, "ok", id="the Helm chart's"),
        pytest.param(DetectorState(others=2, others_ready=1), False, "warning", id="the Helm chart's, not all ready"),
        pytest.param(DetectorState(), True, "ok", id="something else"),
        pytest.param(DetectorState(), False, "failed", id="nothing"),
        pytest.param(_REFUSED, True, "unknown", id="no answer"),
    ],
)
def test_somebody_must_report_the_condition(state: DetectorState | Unread, reported: bool, expected: str) -> None:
    conditions = condition_checks([_node("a", READY, *([condition()] if reported else []))], Policy.default(), NOW)
    [check] = detector_checks(state, conditions, Policy.default())
    assert (check.verdict, bool(check.remedy)) == (expected, expected in {"failed", "warning"})


def test_a_missing_detector_is_no_failure_where_the_nodes_could_not_be_read() -> None:
    conditions = condition_checks(_REFUSED, Policy.default(), NOW)
    [check] = detector_checks(DetectorState(), conditions, Policy.default())
    assert check.verdict == "unknown"


@pytest.mark.parametrize(
    ("lease", "expected", "text"),
    [
        pytest.param(None, "ok", "free", id="none"),
        pytest.param(_lease(""), "ok", "free", id="given back"),
        pytest.param(_lease("a-run:blue"), "ok", "a-run:blue works here", id="held"),
        pytest.param(_lease("a-run:blue", age=601), "warning", "run out", id="expired"),
        pytest.param(
            LeaseView(holder="x", renewed=None, duration=timedelta(minutes=10)), "warning", "never", id="undated"
        ),
        pytest.param(_REFUSED, "unknown", "forbidden", id="no answer"),
    ],
)
def test_a_lease_that_ran_out_is_a_warning(lease: LeaseView | Unread | None, expected: str, text: str) -> None:
    check = lease_check(lease, NOW)
    assert (check.verdict, text in check.detail) == (expected, True)


@pytest.mark.parametrize(
    ("nodes", "pods", "lease", "expected", "text"),
    [
        pytest.param([node()], (), None, "ok", "none", id="clean"),
        pytest.param([_claimed()], (), None, "warning", f"n1 (cordoned, run {_RUN})", id="left cordoned"),
        pytest.param([_claimed(cordoned=False)], (), None, "warning", f"n1 (run {_RUN})", id="left claimed"),
        pytest.param([_claimed()], (), _lease(f"{_RUN}:blue"), "ok", "none", id="its run works"),
        pytest.param([_claimed()], (), _lease(f"{_RUN}:blue", age=900), "warning", "n1", id="its run died"),
        pytest.param([_claimed()], (), _lease("another:blue"), "warning", "n1", id="another run works"),
        pytest.param([_claimed()], (), _lease(f"{_RUN}1:blue"), "warning", "n1", id="a run whose name is longer works"),
        pytest.param([_claimed(by_hand=True)], (), None, "ok", "midwatch uncordon: n1", id="drained by hand"),
        pytest.param([node(unschedulable=True)], (), None, "ok", "none", id="a human's cordon"),
        pytest.param([node()], ("p",), None, "warning", "reboot pods: p", id="a reboot pod"),
        pytest.param([node()], ("p",), _lease("another:blue"), "ok", "none", id="the reboot pod of a run that works"),
        pytest.param(_REFUSED, (), None, "unknown", "forbidden", id="nodes unread"),
        pytest.param([node()], _REFUSED, None, "unknown", "forbidden", id="pods unread"),
        pytest.param([_claimed()], (), _REFUSED, "unknown", "forbidden", id="lease unread"),
    ],
)
def test_what_dead_runs_have_left_is_told(
    nodes: list[NodeView] | Unread, pods: tuple[str, ...] | Unread, lease: LeaseView | Unread | None, expected: str,
    text: str,
) -> None:  # fmt: skip
    check = leftovers_check(nodes, pods, lease, NOW)
    assert (check.verdict, text in check.detail) == (expected, True), check
