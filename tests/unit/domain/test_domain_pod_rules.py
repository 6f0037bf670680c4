"""What is ours around kubectl's chain: the selector, labels, rules, unreachable nodes, and the order of the waves."""

from __future__ import annotations

from datetime import timedelta

import pytest

from midwatch.domain.drain_policy import DrainPolicy, DrainRule, PodAction
from midwatch.domain.pods import Moment, Orphans, PodVerdict, judge_pod, waves
from midwatch.domain.selectors import all_match, parse_selector
from tests.unit.domain.domain_kit import DAEMON_SET, NOW, PodFields, pod

EVICT, SKIP, WAIT, ERROR = PodVerdict.EVICT, PodVerdict.SKIP, PodVerdict.WAIT, PodVerdict.ERROR
OURS, CAPI = "midwatch.dev/drain", "cluster.x-k8s.io/drain"
KEEP_WEB = DrainPolicy(rules=(DrainRule(select={"app": "web"}, action=PodAction.SKIP),))
WAIT_JOBS = DrainPolicy(rules=(DrainRule(namespace="jobs", action=PodAction.WAIT),))
FIRST_WINS = DrainPolicy(rules=(DrainRule(select={"app": "web"}), DrainRule(action=PodAction.SKIP)))
ONLY_WEB = DrainPolicy(pod_selector="app=web", force=False)
STRICT = DrainPolicy(force=False, delete_empty_dir_data=False)

ROWS: list[tuple[str, PodFields, DrainPolicy, PodVerdict, str]] = [
    ("our label skips", {"labels": {OURS: "skip"}}, DrainPolicy(), SKIP, "opted-out"),
    ("our label waits", {"labels": {OURS: "wait"}}, DrainPolicy(), WAIT, "until-completed"),
    ("Cluster API's label skips", {"labels": {CAPI: "skip"}}, DrainPolicy(), SKIP, "opted-out"),
    ("Cluster API's label waits", {"labels": {CAPI: "wait-completed"}}, DrainPolicy(), WAIT, "until-completed"),
    ("another value says nothing", {"labels": {OURS: "never", CAPI: "wait"}}, DrainPolicy(), EVICT, "managed"),
    ("ours goes before Cluster API's", {"labels": {OURS: "wait", CAPI: "skip"}}, DrainPolicy(), WAIT,
     "until-completed"),
    ("what waits and has finished goes", {"labels": {OURS: "wait"}, "phase": "Succeeded"}, DrainPolicy(), EVICT,
     "finished"),
    ("a rule skips by label", {"labels": {"app": "web"}}, KEEP_WEB, SKIP, "opted-out"),
    ("a rule leaves others alone", {"labels": {"app": "db"}}, KEEP_WEB, EVICT, "managed"),
    ("a rule waits by namespace", {"namespace": "jobs"}, WAIT_JOBS, WAIT, "until-completed"),
    ("another namespace is none of its business", {}, WAIT_JOBS, EVICT, "managed"),
    ("the first rule that matches decides", {"labels": {"app": "web"}}, FIRST_WINS, EVICT, "managed"),
    ("else the next", {}, FIRST_WINS, SKIP, "opted-out"),
    ("the pod's label goes before all rules", {"labels": {"app": "web", OURS: "wait"}}, KEEP_WEB, WAIT,
     "until-completed"),
    ("a pod that is kept anyway is no error", {"controller": None, "empty_dir": True, "labels": {OURS: "skip"}}, STRICT,
     SKIP, "opted-out"),
    ("nor one that is waited for", {"controller": None, "labels": {CAPI: "wait-completed"}}, STRICT, WAIT,
     "until-completed"),
    ("a DaemonSet's pod stays one", {"controller": DAEMON_SET, "labels": {OURS: "wait"}}, DrainPolicy(), SKIP,
     "daemonset"),
    ("what the selector matches goes", {"labels": {"app": "web"}}, ONLY_WEB, EVICT, "managed"),
    ("what it does not match stays, before any error, as kubectl lists by it", {"controller": None}, ONLY_WEB, SKIP,
     "not-selected"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "policy", "verdict", "reason"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_labels_rules_and_the_selector_keep_pods_on_the_node(
    fields: PodFields, policy: DrainPolicy, verdict: PodVerdict, reason: str
) -> None:
    judged = judge_pod(pod(**fields), policy, Orphans(), Moment(now=NOW))
    assert (judged.verdict, judged.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("minutes", "unreachable", "verdict"), [(6, True, SKIP), (4, True, EVICT), (6, False, EVICT)], ids=str
)
def test_on_an_unreachable_node_a_pod_that_is_stuck_for_five_minutes_is_left_aside(
    minutes: int, unreachable: bool, verdict: PodVerdict
) -> None:
    moment = Moment(now=NOW, unreachable=unreachable)
    stuck = pod(deleted=NOW - timedelta(minutes=minutes))
    assert judge_pod(stuck, DrainPolicy(), Orphans(), moment).verdict is verdict


def test_waves_go_by_order_and_critical_pods_go_last_in_each() -> None:
    rules = (DrainRule(select={"app": "db"}, order=10), DrainRule(select={"app": "first"}, order=-1))
    pods = [
        pod(name="db", labels={"app": "db"}),
        pod(name="dns", priority_class="system-cluster-critical"),
        pod(name="web"),
        pod(name="db-critical", labels={"app": "db"}, priority_class="system-node-critical"),
        pod(name="first", labels={"app": "first"}),
        pod(name="important", priority_class="high"),
    ]
    names = [[one.name for one in wave] for wave in waves(pods, DrainPolicy(rules=rules))]
    assert names == [["first"], ["web", "important"], ["dns"], ["db"], ["db-critical"]]


LABELS = {"app": "web", "tier": "a", "example.com/x": ""}
SELECTORS: list[tuple[str, bool]] = [
    ("", True), ("app=web", True), ("app==web", True), ("app = web", True), ("app=db", False), ("app!=db", True),
    ("app!=web", False), ("none!=x", True), ("tier in (a,b)", True), ("tier in (b, c)", False),
    ("tier notin (b)", True), ("tier notin (a)", False), ("none notin (a)", True), ("tier", True),
    ("none", False), ("!none", True), ("! none", True), ("!tier", False), ("app=web,tier in (a,b),!none", True),
    ("app=web,tier in (b,c)", False), ("example.com/x", True), ("example.com/x=", True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "matches"), SELECTORS, ids=[f"{text!r}" for text, _ in SELECTORS])
def test_a_selector_matches_as_kubectls_does(text: str, matches: bool) -> None:
    assert all_match(parse_selector(text), LABELS) is matches


@pytest.mark.parametrize(
    "text", ["app in web", "=web", "app=web,", "app=we b", "a/b/c=d", "app in ()x", "-a=b", "app>3"]
)
def test_a_selector_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no label selector"):
        parse_selector(text)
