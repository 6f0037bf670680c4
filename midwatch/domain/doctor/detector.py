"""Whether every node says if it needs a reboot, and who says it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from midwatch.domain.base import Message
from midwatch.domain.doctor.checks import Check, CheckId, Health, Unread, doubtful, failed, fine, some, unknown
from midwatch.domain.durations import format_duration
from midwatch.domain.lease import NAMESPACE
from midwatch.domain.nodes import STALE_AFTER, NodeView
from midwatch.domain.policy import REBOOT_REQUIRED, Policy

DAEMON_SET = "midwatch-npd"
_INSTALL = "install the detector (kubectl apply -k deploy/npd, or the Helm values beside it)"
_LOOK = f"look at its pods there: kubectl -n {NAMESPACE} get pods -o wide -l app.kubernetes.io/name={DAEMON_SET}"


class DetectorState(Message):
    """The detector's pods. `daemon_set` says whose they are; empty: there is no such DaemonSet.

    `others` counts pods of another installation of node-problem-detector, such as the Helm chart's.
    """

    daemon_set: str = ""
    desired: int = 0
    ready: int = 0
    others: int = 0
    others_ready: int = 0


def condition_checks(nodes: Sequence[NodeView] | Unread, policy: Policy, now: datetime) -> tuple[Check, ...]:
    """A check for each condition that the policy goes by, over the nodes that it selects."""
    needs = dict.fromkeys(need.condition for need in policy.nodes.needs)
    if isinstance(nodes, Unread):
        return tuple(unknown(CheckId.CONDITION, kind, nodes) for kind in needs)
    chosen = [n for n in nodes if n.os != "windows" and policy.nodes.select.items() <= n.labels.items()]
    return tuple(_condition_check(kind, chosen, now) for kind in needs)


def _condition_check(kind: str, nodes: Sequence[NodeView], now: datetime) -> Check:
    """A node that is not Ready cannot confirm anything; it alone is no reason to fail."""
    if not nodes:
        return doubtful(CheckId.CONDITION, kind, "the policy selects no Linux node here", "look at nodes.select")
    found = {node.name: node.condition(kind) for node in nodes}
    missing = [name for name, condition in found.items() if condition is None]
    undated = [name for name, condition in found.items() if condition is not None and condition.heartbeat is None]
    stale = [
        n for n, c in found.items() if c is not None and c.heartbeat is not None and now - c.heartbeat > STALE_AFTER
    ]
    blind = [
        name
        for name, condition in found.items()
        if condition is not None and condition.status not in {"True", "False"} and name not in {*undated, *stale}
    ]
    if not (missing or undated or stale or blind):
        text = f"on {len(nodes)} of {len(nodes)} nodes, each confirmed within {format_duration(STALE_AFTER)}"
        return fine(CheckId.CONDITION, kind, text)
    parts = {
        "missing on": missing,
        f"not confirmed for {format_duration(STALE_AFTER)} on": stale,
        "without a heartbeat on": undated,
        "Unknown on": blind,
    }
    detail = "; ".join(f"{text} {len(names)} of {len(nodes)}: {some(names)}" for text, names in parts.items() if names)
    remedy = _INSTALL if len(missing) == len(nodes) else _LOOK
    if kind != REBOOT_REQUIRED:
        remedy = f"look at what sets {kind} on these nodes"
    up = {node.name for node in nodes if node.ready}
    verdict = failed if up & {*missing, *stale, *undated, *blind} else doubtful
    return verdict(CheckId.CONDITION, kind, f"{detail}; such nodes are skipped", remedy)


def detector_checks(state: DetectorState | Unread, conditions: Sequence[Check], policy: Policy) -> tuple[Check, ...]:
    """Whether the detector runs; nothing where the policy goes by other conditions than its.

    Args:
        state: its pods.
        conditions: what `condition_checks` says. Where all is well, it does not matter who reports.
        policy: the policy.
    """
    if REBOOT_REQUIRED not in {need.condition for need in policy.nodes.needs}:
        return ()
    subject = f"DaemonSet {NAMESPACE}/{DAEMON_SET}"
    if isinstance(state, Unread):
        return (unknown(CheckId.DETECTOR, subject, state),)
    [condition] = [check for check in conditions if check.subject == REBOOT_REQUIRED]
    if condition.verdict is Health.UNKNOWN and not state.daemon_set:
        why = Unread(code="no-daemonset", message="there is none, and whether something else reports is not known")
        return (unknown(CheckId.DETECTOR, subject, why),)
    return (_detector_check(state, subject, reported=condition.verdict is Health.OK),)


def _detector_check(state: DetectorState, subject: str, *, reported: bool) -> Check:
    if state.daemon_set:
        detail = f"{state.ready} of {state.desired} pods are ready"
        if state.ready >= state.desired > 0:
            return fine(CheckId.DETECTOR, subject, detail)
        remedy = f"kubectl -n {NAMESPACE} describe daemonset {DAEMON_SET}, and the events of its pods"
        return (doubtful if state.ready else failed)(CheckId.DETECTOR, subject, detail, remedy)
    if state.others:
        detail = f"none; another node-problem-detector has {state.others_ready} of {state.others} pods ready"
        if state.others_ready == state.others or reported:
            return fine(CheckId.DETECTOR, subject, detail)
        return doubtful(CheckId.DETECTOR, subject, detail, "look at its pods, and at deploy/npd/helm-values.yaml")
    if reported:
        return fine(CheckId.DETECTOR, subject, "none; something else reports the condition on every node")
    return failed(CheckId.DETECTOR, subject, "there is none", _INSTALL)
