"""The rules of the doctor: each finding has its verdict, and what is not well has a remedy."""

from __future__ import annotations

from datetime import timedelta

import pytest

from midwatch.domain.doctor.checks import Check, CheckId, Health, Unread, checked, some, summed_up, worst
from midwatch.domain.doctor.network import NetworkProbe, Stage, clock_check, network_checks
from midwatch.domain.doctor.rights import Answered, WhoAmI, identity_check, permission_checks
from midwatch.domain.doctor.settings import context_check, credentials_check, policy_check, schedule_check
from midwatch.domain.permissions import PERMISSIONS, needed_by
from midwatch.domain.policy import Policy
from tests.unit.domain.domain_kit import NOW

_REFUSED = Unread(code="forbidden", message="no")
_SERVER = "https://api.example:443"
_PRIVATE = "https://c.privatelink.westeurope.azmk8s.io:443"


def _policy(**sections: dict[str, object]) -> Policy:
    return Policy.model_validate({"apiVersion": "midwatch/v1", **sections})


def _probe(**fields: object) -> NetworkProbe:
    whole = {
        "server": _SERVER, "host": "api.example", "port": 443, "asked": NOW, "answered": NOW,
        "addresses": ("203.0.113.7",), "status": 200, "server_time": NOW,
    }  # fmt: skip
    return NetworkProbe.model_validate({**whole, **fields})


def _verdicts(checks: tuple[Check, ...]) -> list[str]:
    return [check.verdict.value for check in checks]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((), Health.OK),
        ((Health.OK, Health.WARNING), Health.WARNING),
        ((Health.UNKNOWN, Health.WARNING), Health.UNKNOWN),
        ((Health.UNKNOWN, Health.FAILED, Health.OK), Health.FAILED),
    ],
)
def test_the_worst_verdict_counts(verdicts: tuple[Health, ...], expected: Health) -> None:
    assert worst(verdicts) is expected


def test_one_bad_cluster_is_the_verdict_of_all() -> None:
    bad = checked("blue", None, [context_check("blue", _REFUSED)])
    view = summed_up([policy_check(None, Policy.default())], [checked("green", _SERVER, []), bad])
    assert (view.verdict, [c.verdict for c in view.clusters]) == (Health.FAILED, [Health.OK, Health.FAILED])
    wire = view.to_wire()
    assert set(wire) == {"verdict", "checks", "clusters"}


@pytest.mark.parametrize(("stage", "passed"), [(s, n) for n, s in enumerate(Stage)])
def test_each_stage_of_the_way_is_told_apart(stage: Stage, passed: int) -> None:
    checks = network_checks(_probe(stopped_at=stage, error="why"))
    assert [check.id.value for check in checks] == [s.value for s in Stage]
    assert _verdicts(checks) == ["ok"] * passed + ["failed"] + ["unknown"] * (3 - passed)
    assert (checks[passed].detail, bool(checks[passed].remedy)) == ("why", True)
    assert stage.value in checks[-1].detail or passed == 3


@pytest.mark.parametrize(
    ("fields", "stage", "private"),
    [
        pytest.param({"server": _PRIVATE, "addresses": ()}, Stage.DNS, True, id="by name"),
        pytest.param({"addresses": ("10.224.0.4",)}, Stage.TCP, True, id="by address"),
        pytest.param({"addresses": ("fd00::4",)}, Stage.TCP, True, id="by address, IPv6"),
        pytest.param({"addresses": ("8.8.8.8",)}, Stage.TCP, False, id="public"),
        pytest.param({"addresses": ("127.0.0.1",)}, Stage.TCP, False, id="this machine"),
    ],
)  # fmt: skip
def test_a_private_cluster_is_explained(fields: dict[str, object], stage: Stage, private: bool) -> None:
    [found] = [c for c in network_checks(_probe(stopped_at=stage, error="why", **fields)) if c.verdict == "failed"]
    assert ("private cluster" in str(found.remedy)) is private


def test_an_unchecked_certificate_is_a_warning() -> None:
    checks = network_checks(_probe(authority="nobody"))
    assert _verdicts(checks) == ["ok", "ok", "warning", "ok"]


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [(0, "ok"), (60, "ok"), (-60, "ok"), (70, "warning"), (-70, "warning"), (400, "failed"), (-400, "failed")],
)
def test_clocks_may_differ_by_a_minute(ahead: int, expected: str) -> None:
    found = clock_check(_probe(server_time=NOW + timedelta(seconds=ahead)))
    assert found.verdict == expected
    if expected != "ok":
        assert ("behind" if ahead > 0 else "ahead of") in found.detail
        assert found.remedy


def test_a_slow_answer_is_no_clock_skew() -> None:
    asked = NOW - timedelta(minutes=9)
    assert clock_check(_probe(asked=asked, server_time=NOW - timedelta(minutes=4))).verdict == "ok"
    assert clock_check(_probe(server_time=None)).verdict == "unknown"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (WhoAmI(username="u", groups=("system:authenticated", "ops")), "ok"),
        (Unread(code="unauthorized", message="no"), "failed"),
        (_REFUSED, "unknown"),
    ],
)
def test_refused_credentials_fail(found: WhoAmI | Unread, expected: str) -> None:
    check = identity_check(found, "the token file x")
    assert (check.verdict, check.subject, bool(check.remedy)) == (expected, "the token file x", expected == "failed")


def test_a_permission_that_is_denied_names_what_it_is_for_and_the_role() -> None:
    wanted = PERMISSIONS[0]
    answers = [
        Answered(permission=wanted, allowed=True),
        Answered(permission=wanted, allowed=False, reason="no such role"),
        Answered(permission=wanted, allowed=_REFUSED),
    ]
    checks = permission_checks(answers, "User x")
    assert _verdicts(checks) == ["ok", "failed", "unknown"]
    assert (wanted.why in checks[1].detail, "no such role" in checks[1].detail) == (True, True)
    assert (wanted.role in str(checks[1].remedy), "User x" in str(checks[1].remedy)) == (True, True)


@pytest.mark.parametrize(
    ("drain", "missing"),
    [
        ({}, {"delete pods"}),
        ({"onTimeout": "delete"}, set()),
        ({"onTimeout": "reboot-anyway"}, {"delete pods"}),
        (
            {"onTimeout": "delete", "detachTimeout": "0s"},
            {"list volumeattachments.storage.k8s.io", "get persistentvolumeclaims"},
        ),
    ],
)
def test_optional_permissions_are_asked_for_as_the_policy_needs_them(
    drain: dict[str, object], missing: set[str]
) -> None:
    needed = {permission.text for permission in needed_by(_policy(drain=drain))}
    assert {permission.text for permission in PERMISSIONS} - needed == missing


def test_every_permission_reads_differently() -> None:
    assert len({permission.text for permission in PERMISSIONS}) == len(PERMISSIONS)


@pytest.mark.parametrize(
    ("expression", "problem", "clusters", "expected"),
    [
        ("", None, False, "ok"),
        ("0 0 22 * * 6", None, True, "ok"),
        ("0 0 22 * * 6", None, False, "failed"),
        ("often", "no NCRONTAB expression", True, "failed"),
    ],
)
def test_a_schedule_must_be_one_and_have_clusters(
    expression: str, problem: str | None, clusters: bool, expected: str
) -> None:
    listed = [{"kubeconfig": {"context": "blue"}}] if clusters else []
    policy = Policy.model_validate({"apiVersion": "midwatch/v1", "clusters": listed})
    check = schedule_check(expression, problem, policy)
    assert (check.verdict, bool(check.remedy)) == (expected, expected == "failed")


def test_credentials_that_cannot_be_had_fail() -> None:
    assert credentials_check("the token file x", None).verdict == "ok"
    broken = credentials_check(
        "the exec plugin kubelogin", Unread(code="exec-missing", message="there is no kubelogin")
    )
    assert (broken.id, broken.verdict, broken.detail) == (CheckId.CREDENTIALS, "failed", "there is no kubelogin")
    assert "kubelogin" in str(broken.remedy)


def test_long_lists_are_cut_and_counted() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some([str(n) for n in range(8)]) == "0, 1, 2, 3, 4 and 3 more"
