"""Midwatch's own settings, and the kubeconfig's part of a cluster."""

from __future__ import annotations

from midwatch.domain.doctor.checks import Check, CheckId, Unread, failed, fine
from midwatch.domain.policy import Policy


def policy_check(source: str | None, policy: Policy) -> Check:
    """A policy that could be read. `source` is its file; None: the defaults hold."""
    count = len(policy.clusters)
    lists = f"lists {count} cluster{'' if count == 1 else 's'}" if count else "lists no clusters"
    return fine(CheckId.POLICY, source or "no policy file", lists if source else "the defaults hold")


def schedule_check(expression: str, problem: str | None, policy: Policy) -> Check:
    """The timer's schedule.

    Args:
        expression: of the setting; empty: it is not set.
        problem: what is wrong with it, None when nothing is.
        policy: a scheduled run takes its clusters from there.
    """
    if not expression:
        return fine(CheckId.SCHEDULE, "MIDWATCH_SCHEDULE", "not set: no run starts by itself")
    if problem is not None:
        remedy = "write six fields, seconds first, in UTC, such as `0 0 22 * * 6`"
        return failed(CheckId.SCHEDULE, "MIDWATCH_SCHEDULE", problem, remedy)
    if not policy.clusters:
        text = "it is set, but the policy lists no clusters to run over"
        return failed(CheckId.SCHEDULE, "MIDWATCH_SCHEDULE", text, "list the clusters in the policy file")
    return fine(CheckId.SCHEDULE, "MIDWATCH_SCHEDULE", f"{expression} (UTC)")


def context_check(context: str, found: str | Unread, *, in_azure: bool = False) -> Check:
    """The kubeconfig's context, or `in_azure` the AKS ID. `found` is the server that it leads to."""
    if isinstance(found, Unread):
        remedy = "see docs/azure.md for the permissions" if in_azure else "mend the kubeconfig (az aks get-credentials)"
        return failed(CheckId.CONTEXT, context, found.message, remedy)
    return fine(CheckId.CONTEXT, context, f"leads to {found}")


def credentials_check(source: str, problem: Unread | None) -> Check:
    """Whether there are credentials to show at all. Whether the server takes them is another check."""
    if problem is None:
        return fine(CheckId.CREDENTIALS, source, "usable")
    remedy = "install or mend what gives the credentials; for AKS: kubelogin, and az login"
    return failed(CheckId.CREDENTIALS, source, problem.message, remedy)
