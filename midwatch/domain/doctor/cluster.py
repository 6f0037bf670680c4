"""The cluster itself: its version, the namespace, the reboot pod, the lease, and what earlier runs left."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from midwatch.domain.base import Message
from midwatch.domain.doctor.checks import Check, CheckId, Unread, doubtful, failed, fine, some, unknown
from midwatch.domain.lease import NAME, NAMESPACE, LeaseView
from midwatch.domain.nodes import NodeView
from midwatch.domain.policy import RebootMethod

OLDEST = (1, 30)
"""The first version with `securityContext.appArmorProfile`, without which Ubuntu nodes refuse the reboot signal."""
ENFORCE = "pod-security.kubernetes.io/enforce"
_PRIVILEGED = "privileged"
_VERSION = re.compile(r"v(\d+)\.(\d+)")
_PREPARE = "prepare the cluster: kubectl apply -k deploy/rbac"
_LABEL = f"kubectl label namespace {NAMESPACE} {ENFORCE}={_PRIVILEGED} --overwrite"


class NamespaceState(Message):
    """Our namespace. `level` is the Pod Security level that it enforces by its label, null without one."""

    exists: bool
    level: str | None = None


class Admission(Message):
    """What the API server says to a dry run of the reboot pod: HTTP status and, where it refuses, its words."""

    status: int
    message: str = ""


def version_check(found: str | Unread | None, method: RebootMethod) -> Check:
    """Whether the API server is new enough."""
    subject, oldest = "API server", ".".join(map(str, OLDEST))
    if isinstance(found, Unread):
        return unknown(CheckId.VERSION, subject, found)
    match = _VERSION.match(found or "")
    if found is None or match is None:
        why = Unread(code="no-version", message=f"the API server calls its version {found!r}")
        return unknown(CheckId.VERSION, subject, why)
    if (int(match[1]), int(match[2])) >= OLDEST:
        return fine(CheckId.VERSION, subject, found)
    detail = f"{found} is older than v{oldest}"
    if method is RebootMethod.COMMAND:
        return doubtful(
            CheckId.VERSION, subject, f"{detail}, the oldest that Midwatch is made for", "upgrade the cluster"
        )
    remedy = "upgrade the cluster, or use reboot.method: command"
    return failed(CheckId.VERSION, subject, f"{detail}, where AppArmor stops the reboot signal", remedy)


def namespace_check(found: NamespaceState | Unread, admission: Admission | Unread, *, allowed: bool) -> Check:
    """Whether our namespace is there, and lets the reboot pod in by its own label.

    To read a namespace is no right of a run. Without it the dry run of the pod says whether there is one, if we may
    create pods there at all (`allowed`): the API server asks for that first.
    """
    subject = f"Namespace {NAMESPACE}"
    missing = failed(CheckId.NAMESPACE, subject, "there is none", _PREPARE)
    if isinstance(found, NamespaceState):
        return _level_check(subject, found.level) if found.exists else missing
    if isinstance(admission, Unread) or not allowed:
        return unknown(CheckId.NAMESPACE, subject, found, None if allowed else _PREPARE)
    if admission.status == 404:
        return missing
    return fine(CheckId.NAMESPACE, subject, "there; its labels are not ours to read, see reboot-pod")


def _level_check(subject: str, level: str | None) -> Check:
    if level == _PRIVILEGED:
        return fine(CheckId.NAMESPACE, subject, f"there, and enforces the level {_PRIVILEGED}")
    if level is None:
        detail = f"it has no label {ENFORCE}: what the cluster enforces by default counts, now and later"
        return doubtful(CheckId.NAMESPACE, subject, detail, _LABEL)
    return failed(CheckId.NAMESPACE, subject, f"it enforces the level {level}, which refuses hostPID", _LABEL)


def reboot_pod_check(admission: Admission | Unread, method: RebootMethod, *, allowed: bool) -> Check:
    """Whether the API server would take the reboot pod.

    Args:
        admission: its answer to a server-side dry run.
        method: of the policy, which makes the pod.
        allowed: whether we may create pods there. A 403 is an admission controller's then.
    """
    subject = f"Pod for reboot.method: {method.value}"
    if isinstance(admission, Unread):
        return unknown(CheckId.REBOOT_POD, subject, admission)
    said = admission.message
    match admission.status:
        case 200 | 201:
            return fine(CheckId.REBOOT_POD, subject, "would be taken (server-side dry run)")
        case 400:  # a webhook that has side effects refuses every dry run, and says nothing of the pod
            why = Unread(code="no-dry-run", message=said)
            return unknown(CheckId.REBOOT_POD, subject, why, "make the webhook declare sideEffects: None")
        case 403 if allowed:
            said = f"an admission controller says no: {said}"
            remedy = (
                f"if it is Pod Security: {_LABEL}; if it is a policy of the cluster's: exempt namespace {NAMESPACE}"
            )
        case 403:
            remedy = "see the permission to create pods"
        case 404:
            remedy = _PREPARE
        case _:
            remedy = "read the answer: the cluster refuses such a pod as it is"
    return failed(CheckId.REBOOT_POD, subject, said, remedy)


def lease_check(lease: LeaseView | Unread | None, now: datetime) -> Check:
    """Who works on the cluster."""
    subject = f"Lease {NAMESPACE}/{NAME}"
    if isinstance(lease, Unread):
        return unknown(CheckId.LEASE, subject, lease)
    if lease is None or not lease.holder:
        return fine(CheckId.LEASE, subject, "free")
    if lease.renewed is None:
        remedy = "the next run takes it over; nothing to do"
        return doubtful(CheckId.LEASE, subject, f"{lease.holder} has it, and never renewed it", remedy)
    ends = lease.renewed + lease.duration
    if _is_held(lease, now):
        return fine(CheckId.LEASE, subject, f"{lease.holder} works here, its lease holds until {ends:%H:%M:%S}Z")
    remedy = "its host died: start it again (midwatch status --resume), or let the next run take the lease over"
    return doubtful(CheckId.LEASE, subject, f"{lease.holder} let it run out at {ends:%Y-%m-%d %H:%M:%S}Z", remedy)


def leftovers_check(
    nodes: Sequence[NodeView] | Unread, pods: Sequence[str] | Unread, lease: LeaseView | Unread | None, now: datetime
) -> Check:
    """What runs that are over have left: claims on nodes, reboot pods.

    Args:
        nodes: all nodes.
        pods: names of the reboot pods that there are.
        lease: whoever holds it is not over.
        now: aware.
    """
    subject = "nodes and reboot pods"
    for part in (nodes, pods, lease):
        if isinstance(part, Unread):
            return unknown(CheckId.LEFTOVERS, subject, part)
    assert not isinstance(nodes, Unread)
    assert not isinstance(pods, Unread)
    assert not isinstance(lease, Unread)
    working = lease.holder if lease is not None and _is_held(lease, now) else ""
    claims = [(node, node.claim) for node in nodes if node.claim is not None]
    left = [
        f"{node.name} ({'cordoned, ' if node.unschedulable else ''}run {claim.run})"
        for node, claim in claims
        if not claim.by_hand and not working.startswith(f"{claim.run}:")
    ]
    by_hand = [node.name for node, claim in claims if claim.by_hand]
    said = [f"left claimed: {some(left)}"] if left else []
    said += [f"reboot pods: {some(pods)}"] if pods and not working else []
    if said:
        remedy = "the next run puts them back; by hand: docs/operations.md, `A node was left`"
        return doubtful(CheckId.LEFTOVERS, subject, "; ".join(said), remedy)
    drained = f"; drained by hand, until midwatch uncordon: {some(by_hand)}" if by_hand else ""
    return fine(CheckId.LEFTOVERS, subject, f"none{' of runs that are over' if working else ''}{drained}")


def _is_held(lease: LeaseView, now: datetime) -> bool:
    return bool(lease.holder) and lease.renewed is not None and now <= lease.renewed + lease.duration
