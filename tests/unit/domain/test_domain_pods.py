"""kubectl's filter chain, row by row and in its order (facts: kubectl 1.36 `pkg/drain/filters.go`)."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from midwatch.domain.drain_policy import DrainPolicy
from midwatch.domain.pods import Controller, Moment, Orphans, PodVerdict, judge_pod
from tests.unit.domain.domain_kit import DAEMON_SET, NOW, REPLICA_SET, PodFields, pod

OURS = DrainPolicy()
STRICT = DrainPolicy(force=False, delete_empty_dir_data=False)
NO_FORCE = DrainPolicy(force=False)
KEEP_DATA = DrainPolicy(delete_empty_dir_data=False)
MIND_DAEMONS = DrainPolicy(ignore_daemon_sets=False)
IMPATIENT = DrainPolicy(skip_wait_for_delete_timeout=timedelta(seconds=30))
NONE_GONE = Orphans()
AGENT_GONE = Orphans(daemon_sets=frozenset({"shop/agent"}))
OTHER_API = Controller(api_version="apps.kruise.io/v1alpha1", kind="DaemonSet", name="agent")
AT_NOW = Moment(now=NOW)
EVICT, SKIP, ERROR = PodVerdict.EVICT, PodVerdict.SKIP, PodVerdict.ERROR

LONG_AGO, JUST_NOW, SOON = NOW - timedelta(seconds=31), NOW - timedelta(seconds=29), NOW + timedelta(seconds=20)

ROWS: list[tuple[str, PodFields, DrainPolicy, Orphans, PodVerdict, str]] = [
    ("a managed pod goes", {}, STRICT, NONE_GONE, EVICT, "managed"),
    ("a pending pod goes", {"phase": "Pending"}, STRICT, NONE_GONE, EVICT, "managed"),
    ("a terminating pod goes, which the API accepts", {"deleted": NOW}, STRICT, NONE_GONE, EVICT, "terminating"),
    ("a terminating DaemonSet pod stays", {"deleted": NOW, "controller": DAEMON_SET}, OURS, NONE_GONE, SKIP,
     "daemonset"),
    ("a DaemonSet pod stays", {"controller": DAEMON_SET}, OURS, NONE_GONE, SKIP, "daemonset"),
    ("a DaemonSet pod stays without force, too", {"controller": DAEMON_SET}, STRICT, NONE_GONE, SKIP, "daemonset"),
    ("a finished DaemonSet pod goes", {"controller": DAEMON_SET, "phase": "Failed"}, STRICT, NONE_GONE, EVICT,
     "finished"),
    ("a DaemonSet pod is an error unless DaemonSets are ignored", {"controller": DAEMON_SET}, MIND_DAEMONS, NONE_GONE,
     ERROR, "daemonset"),
    ("a finished DaemonSet pod goes though DaemonSets are not ignored", {"controller": DAEMON_SET, "phase": "Failed"},
     MIND_DAEMONS, NONE_GONE, EVICT, "finished"),
    ("a forced pod of a gone DaemonSet goes though DaemonSets are not ignored", {"controller": DAEMON_SET},
     MIND_DAEMONS, AGENT_GONE, EVICT, "daemonset-gone"),
    ("a pod that has been terminating for too long is left aside", {"deleted": LONG_AGO}, IMPATIENT, NONE_GONE, SKIP,
     "terminating-too-long"),
    ("one that has not is waited for", {"deleted": JUST_NOW}, IMPATIENT, NONE_GONE, EVICT, "terminating"),
    ("one within its grace is waited for", {"deleted": SOON}, IMPATIENT, NONE_GONE, EVICT, "terminating"),
    ("without a limit none is left aside", {"deleted": LONG_AGO}, OURS, NONE_GONE, EVICT, "terminating"),
    ("a limit of zero is none", {"deleted": LONG_AGO}, DrainPolicy(skip_wait_for_delete_timeout=timedelta(0)),
     NONE_GONE, EVICT, "terminating"),
    ("the filter of terminating pods comes first", {"deleted": LONG_AGO, "controller": None, "empty_dir": True},
     DrainPolicy(force=False, delete_empty_dir_data=False, skip_wait_for_delete_timeout=timedelta(seconds=1)),
     NONE_GONE, SKIP, "terminating-too-long"),
    ("a pod of a gone DaemonSet goes with force", {"controller": DAEMON_SET}, OURS, AGENT_GONE, EVICT,
     "daemonset-gone"),
    ("a pod of a gone DaemonSet is an error", {"controller": DAEMON_SET}, NO_FORCE, AGENT_GONE, ERROR,
     "daemonset-gone"),
    ("a finished pod of a gone DaemonSet goes", {"controller": DAEMON_SET, "phase": "Succeeded"}, STRICT, AGENT_GONE,
     EVICT, "finished"),
    ("the gone DaemonSet of another namespace is another", {"controller": DAEMON_SET, "namespace": "ops"}, NO_FORCE,
     AGENT_GONE, SKIP, "daemonset"),
    ("another API's DaemonSet is any controller", {"controller": OTHER_API}, STRICT, NONE_GONE, EVICT, "managed"),
    ("a mirror pod stays", {"mirror": True, "controller": None}, OURS, NONE_GONE, SKIP, "mirror"),
    ("a mirror pod with emptyDir and no controller is no error", {"mirror": True, "empty_dir": True,
     "controller": None}, STRICT, NONE_GONE, SKIP, "mirror"),
    ("a finished mirror pod stays", {"mirror": True, "phase": "Succeeded"}, OURS, NONE_GONE, SKIP, "mirror"),
    ("the DaemonSet filter comes before the mirror filter", {"mirror": True, "controller": DAEMON_SET}, OURS, NONE_GONE,
     SKIP, "daemonset"),
    ("a gone DaemonSet is an error before a mirror pod is kept", {"mirror": True, "controller": DAEMON_SET}, NO_FORCE,
     AGENT_GONE, ERROR, "daemonset-gone"),
    ("a forced pod of a gone DaemonSet still meets the mirror filter", {"mirror": True, "controller": DAEMON_SET}, OURS,
     AGENT_GONE, SKIP, "mirror"),
    ("emptyDir data goes when allowed", {"empty_dir": True}, OURS, NONE_GONE, EVICT, "empty-dir"),
    ("emptyDir data is an error otherwise", {"empty_dir": True}, KEEP_DATA, NONE_GONE, ERROR, "empty-dir"),
    ("a finished pod's emptyDir does no harm", {"empty_dir": True, "phase": "Succeeded"}, STRICT, NONE_GONE, EVICT,
     "finished"),
    ("a forced pod of a gone DaemonSet still meets the storage filter", {"empty_dir": True, "controller": DAEMON_SET},
     KEEP_DATA, AGENT_GONE, ERROR, "empty-dir"),
    ("a DaemonSet pod's emptyDir is not looked at", {"empty_dir": True, "controller": DAEMON_SET}, STRICT, NONE_GONE,
     SKIP, "daemonset"),
    ("an unmanaged pod goes with force", {"controller": None}, OURS, NONE_GONE, EVICT, "unmanaged"),
    ("an unmanaged pod is an error otherwise", {"controller": None}, NO_FORCE, NONE_GONE, ERROR, "unmanaged"),
    ("a finished unmanaged pod goes", {"controller": None, "phase": "Failed"}, STRICT, NONE_GONE, EVICT, "finished"),
    ("a terminating unmanaged pod is an error without force", {"controller": None, "deleted": NOW}, NO_FORCE, NONE_GONE,
     ERROR, "unmanaged"),
    ("the storage filter comes before the unmanaged filter", {"empty_dir": True, "controller": None}, STRICT, NONE_GONE,
     ERROR, "empty-dir"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "policy", "orphans", "verdict", "reason"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS]
)
def test_the_first_filter_that_keeps_a_pod_decides(
    fields: PodFields, policy: DrainPolicy, orphans: Orphans, verdict: PodVerdict, reason: str
) -> None:
    judged = judge_pod(pod(**fields), policy, orphans, AT_NOW)
    assert (judged.verdict, judged.reason) == (verdict, reason)


CONTROLLERS = (None, REPLICA_SET, DAEMON_SET, OTHER_API)
EVERY = list(
    itertools.product(
        CONTROLLERS,
        ("Pending", "Running", "Succeeded", "Failed"),
        (False, True),
        (False, True),
        (NONE_GONE, AGENT_GONE),
    )
)


def kubectl(fields: PodFields, policy: DrainPolicy, orphans: Orphans) -> PodVerdict:
    """The chain again, as kubectl has it: one function per filter, each says delete, skip or error."""
    controller, finished = fields["controller"], fields["phase"] in {"Succeeded", "Failed"}

    def daemon_set() -> PodVerdict:
        if controller != DAEMON_SET or finished:
            return EVICT
        if orphans.daemon_sets:
            return EVICT if policy.force else ERROR
        return SKIP

    def mirror() -> PodVerdict:
        return SKIP if fields["mirror"] else EVICT

    def local_storage() -> PodVerdict:
        return EVICT if finished or not fields["empty_dir"] or policy.delete_empty_dir_data else ERROR

    def unreplicated() -> PodVerdict:
        return EVICT if finished or controller is not None or policy.force else ERROR

    chain = (daemon_set(), mirror(), local_storage(), unreplicated())
    return next((verdict for verdict in chain if verdict is not EVICT), EVICT)


@pytest.mark.parametrize(
    "policy", [OURS, STRICT, NO_FORCE, KEEP_DATA], ids=["kured", "strict", "no-force", "keep-data"]
)
def test_every_combination_gets_kubectls_verdict(policy: DrainPolicy) -> None:
    for controller, phase, is_mirror, empty_dir, orphans in EVERY:
        fields: PodFields = {"controller": controller, "phase": phase, "mirror": is_mirror, "empty_dir": empty_dir}
        assert judge_pod(pod(**fields), policy, orphans, AT_NOW).verdict is kubectl(fields, policy, orphans), fields


def test_a_pods_labels_and_readiness_change_no_verdict() -> None:
    assert judge_pod(pod(ready=False, labels={"app": "cart"}), STRICT, NONE_GONE, AT_NOW).verdict is EVICT


def test_a_pods_full_name_is_told_with_its_namespace() -> None:
    assert pod(namespace="shop", name="cart-1").full_name == "shop/cart-1"
