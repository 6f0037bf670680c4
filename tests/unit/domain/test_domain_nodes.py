"""Which node is a candidate, and why another is not."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from midwatch.domain.nodes import STALE_AFTER, Claim, Condition, Needed, Verdict, judge, need_of
from midwatch.domain.phases import NodePhase
from midwatch.domain.policy import Need, NeedStatus, NodePolicy
from tests.unit.domain.domain_kit import NEEDED, NOW, READY, NodeFields, changed, condition, node

POLICY = NodePolicy()
REBOOT, KERNEL = Need(), Need(condition="KernelDeadlock")
PATIENT = Need.model_validate({"for": "10m"})
CALM = Need(condition="Healthy", status=NeedStatus.FALSE)
DEAD, DEAD_OVER_HUMAN = (
    Claim(run="dead", boot_id="boot-1", was_unschedulable=was, phase=NodePhase.DRAIN) for was in (False, True)
)
DEAD_AT_ITS_CLAIM = Claim(run="dead", boot_id="boot-1", was_unschedulable=False, phase=NodePhase.CLAIM)
NOT_READY = condition("Ready", "Unknown")
STALE = STALE_AFTER.total_seconds()

NEEDS: list[tuple[str, tuple[Condition, ...], tuple[Need, ...], Needed, str | None]] = [
    ("True needs it", (condition(),), (REBOOT,), Needed.TRUE, None),
    ("False does not", (condition(status="False"),), (REBOOT,), Needed.FALSE, None),
    ("no condition is unknown", (), (REBOOT,), Needed.UNKNOWN, "no-condition"),
    ("another condition is no answer", (condition("Other"),), (REBOOT,), Needed.UNKNOWN, "no-condition"),
    ("status Unknown is unknown", (condition(status="Unknown"),), (REBOOT,), Needed.UNKNOWN, "unknown"),
    ("an empty status is unknown", (condition(status=""),), (REBOOT,), Needed.UNKNOWN, "unknown"),
    ("at the limit a heartbeat still counts", (condition(age=STALE),), (REBOOT,), Needed.TRUE, None),
    ("a second later it is stale", (condition(age=STALE + 1),), (REBOOT,), Needed.UNKNOWN, "stale"),
    ("a stale False is unknown", (condition(status="False", age=STALE + 1),), (REBOOT,), Needed.UNKNOWN, "stale"),
    ("a heartbeat of a clock ahead of ours counts", (condition(age=-90),), (REBOOT,), Needed.TRUE, None),
    ("a condition that has no heartbeat is unknown", (Condition(type="RebootRequired", status="True"),), (REBOOT,),
     Needed.UNKNOWN,
     "no-heartbeat"),
    ("a need may be a False", (condition("Healthy", "False"),), (CALM,), Needed.TRUE, None),
    ("then a True is none", (condition("Healthy"),), (CALM,), Needed.FALSE, None),
    ("any one need is enough", (condition(status="False"), condition("KernelDeadlock")), (REBOOT, KERNEL), Needed.TRUE,
     None),
    ("an unknown one does not hide it", (condition("KernelDeadlock"),), (REBOOT, KERNEL), Needed.TRUE, None),
    ("an unknown one beats a False", (condition(status="False"),), (REBOOT, KERNEL), Needed.UNKNOWN, "no-condition"),
    ("all False is no need", (condition(status="False"), condition("KernelDeadlock", "False")), (REBOOT, KERNEL),
     Needed.FALSE, None),
]  # fmt: skip


@pytest.mark.parametrize(("conditions", "needs", "needed", "word"), [r[1:] for r in NEEDS], ids=[r[0] for r in NEEDS])
def test_a_node_needs_a_reboot_when_a_fresh_condition_says_so(
    conditions: tuple[Condition, ...], needs: tuple[Need, ...], needed: Needed, word: str | None
) -> None:
    view = need_of(node(conditions=conditions), needs, NOW)
    assert view.needed is needed
    assert (view.unknown or "").split(":")[0] == (word or "")


CORDONED: NodeFields = {"unschedulable": True}
VERDICTS: list[tuple[str, NodeFields, NodePolicy, Verdict, str | None]] = [
    ("a node in need is a candidate", {}, POLICY, Verdict.CANDIDATE, None),
    ("a node without need is not needed", {"conditions": (READY, condition(status="False"))}, POLICY,
     Verdict.NOT_NEEDED,
     None),
    ("Windows is skipped", {"os": "windows", "labels": {"kubernetes.io/os": "windows"}}, POLICY, Verdict.SKIPPED,
     "windows"),
    ("Windows is skipped whatever the policy selects", {"os": "windows"}, NodePolicy(select={}), Verdict.SKIPPED,
     "windows"),
    ("a missing label skips", {"labels": {}}, POLICY, Verdict.SKIPPED, "not-selected"),
    ("another label value skips", {"labels": {"kubernetes.io/os": "linux", "team": "b"}},
     NodePolicy(select={"team": "a"}), Verdict.SKIPPED, "not-selected"),
    ("an empty selection takes all", {"labels": {}}, NodePolicy(select={}), Verdict.CANDIDATE, None),
    ("an unknown need skips", {"conditions": (READY,)}, POLICY, Verdict.SKIPPED, "no-condition"),
    ("a young need skips", {"conditions": (READY, condition(held=599))}, NodePolicy(needs=(PATIENT,)), Verdict.SKIPPED,
     "too-recent"),
    ("a need that has held exactly long enough does not", {"conditions": (READY, condition(held=600))},
     NodePolicy(needs=(PATIENT,)), Verdict.CANDIDATE, None),
    ("a need since an unknown time is too young", {"conditions": (READY, changed(condition(), since=None))},
     NodePolicy(needs=(PATIENT,)), Verdict.SKIPPED, "too-recent"),
    ("a node that does not say which boot it is", {"boot_id": ""}, POLICY, Verdict.SKIPPED, "no-boot-id"),
    ("a node that somebody cordoned right after a dead run's claim", {**CORDONED, "claim": DEAD_AT_ITS_CLAIM}, POLICY,
     Verdict.SKIPPED, "cordoned"),
    ("another need that asks for no time is enough", {"conditions": (READY, condition(held=1),
     condition("KernelDeadlock"))},
     NodePolicy(needs=(PATIENT, KERNEL)), Verdict.CANDIDATE, None),
    ("a cordoned node is skipped", CORDONED, POLICY, Verdict.SKIPPED, "cordoned"),
    ("a node that a dead run cordoned is a candidate", {**CORDONED, "claim": DEAD}, POLICY, Verdict.CANDIDATE, None),
    ("a node that a human had cordoned before a dead run stays skipped", {**CORDONED, "claim": DEAD_OVER_HUMAN}, POLICY,
     Verdict.SKIPPED, "cordoned"),
    ("a claimed node that needs nothing is not needed", {"claim": DEAD, "conditions": (READY,
     condition(status="False"))},
     POLICY, Verdict.NOT_NEEDED, None),
    ("a claimed node that is not cordoned is a candidate", {"claim": DEAD}, POLICY, Verdict.CANDIDATE, None),
    ("Ready Unknown skips", {"conditions": (NOT_READY, NEEDED)}, POLICY, Verdict.SKIPPED, "not-ready"),
    ("Ready False skips", {"conditions": (condition("Ready", "False"), NEEDED)}, POLICY, Verdict.SKIPPED, "not-ready"),
    ("no Ready skips", {"conditions": (NEEDED,)}, POLICY, Verdict.SKIPPED, "not-ready"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "policy", "verdict", "word"), [r[1:] for r in VERDICTS], ids=[r[0] for r in VERDICTS]
)
def test_every_rule_gives_its_verdict_and_its_word(
    fields: NodeFields, policy: NodePolicy, verdict: Verdict, word: str | None
) -> None:
    judged = judge(node(**fields), policy, NOW, {})
    assert judged.verdict is verdict
    assert (judged.reason or "").split(":")[0] == (word or "")


def test_a_node_of_a_pool_that_azure_changes_is_skipped() -> None:
    judged = judge(node(), POLICY, NOW, {"pool1": "its provisioning state is Upgrading"})
    assert judged.reason == "pool: node pool pool1: its provisioning state is Upgrading"
    assert judge(node(), POLICY, NOW, {"other": "it is stopped"}).reason is None


def test_the_rules_are_told_in_the_order_that_an_operator_wants() -> None:
    """A node that breaks all rules is mended step by step; each time the next rule speaks."""
    policy = NodePolicy(select={"team": "a"}, needs=(PATIENT,))
    young = condition(held=1)
    broken = node(os="windows", labels={}, conditions=(), unschedulable=True)
    steps = [broken, broken := changed(broken, os="linux"), broken := changed(broken, labels={"team": "a"})]
    steps += [
        broken := changed(broken, conditions=(condition(age=STALE + 1),)),
        broken := changed(broken, conditions=(young,)),
    ]
    steps += [broken := changed(broken, conditions=(NEEDED,)), broken := changed(broken, unschedulable=False)]
    steps += [changed(broken, conditions=(NEEDED, READY))]
    words = [(judge(one, policy, NOW, {}).reason or "candidate").split(":")[0] for one in steps]
    assert words == [
        "windows",
        "not-selected",
        "no-condition",
        "stale",
        "too-recent",
        "cordoned",
        "not-ready",
        "candidate",
    ]
    assert all(a != b for a, b in pairwise(words))


def test_a_node_that_is_not_selected_is_told_so_though_it_needs_nothing() -> None:
    judged = judge(node(labels={}, conditions=(READY, condition(status="False"))), POLICY, NOW, {})
    assert judged.verdict is Verdict.SKIPPED
    assert judged.need.needed is Needed.FALSE


def test_the_wait_for_a_young_need_is_told() -> None:
    judged = judge(node(conditions=(READY, condition(held=60))), NodePolicy(needs=(PATIENT,)), NOW, {})
    assert judged.reason == "too-recent: the policy waits another 9m"


def test_the_shortest_of_several_waits_is_told() -> None:
    slow = Need.model_validate({"condition": "KernelDeadlock", "for": "1h"})
    both = node(conditions=(READY, condition(held=60), condition("KernelDeadlock", held=60)))
    judged = judge(both, NodePolicy(needs=(slow, PATIENT)), NOW, {})
    assert judged.reason == "too-recent: the policy waits another 9m"


def test_a_nodes_newest_word_is_the_latest_heartbeat_of_all() -> None:
    assert node(conditions=(condition(age=60), READY)).newest_heartbeat == NOW - timedelta(seconds=10)
    assert node(conditions=(Condition(type="Ready", status="True"),)).newest_heartbeat is None


TAKEN: list[tuple[str, NodeFields, bool, NodePhase]] = [
    ("a free node", {}, False, NodePhase.CLAIM),
    ("one that a human cordoned", {"unschedulable": True}, True, NodePhase.CLAIM),
    ("one that a dead run cordoned", {"unschedulable": True, "claim": DEAD}, False, NodePhase.DRAIN),
    ("one that a dead run found cordoned", {"unschedulable": True, "claim": DEAD_OVER_HUMAN}, True, NodePhase.CLAIM),
    ("one that was cordoned after a dead run's claim", {"unschedulable": True, "claim": DEAD_AT_ITS_CLAIM}, True,
     NodePhase.CLAIM),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "was", "phase"), [r[1:] for r in TAKEN], ids=[r[0] for r in TAKEN])
def test_a_claim_says_whose_the_cordon_is(fields: NodeFields, was: bool, phase: NodePhase) -> None:
    claim = node(**fields).claimed_by("new")
    assert (claim.run, claim.was_unschedulable, claim.phase) == ("new", was, phase)
    assert changed(node(**fields), claim=claim).cordoned_by_others is was
