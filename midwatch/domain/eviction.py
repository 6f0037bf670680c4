"""What the API server's answer to an eviction means: by status and cause, never by message.

Source: the eviction handler of kube-apiserver 1.36, and what was measured on one: a PDB's 429 has no Retry-After; two
PDBs on one pod answer 500 without a reason; a UID that does not match answers 409 and still spends the PDB for a time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from midwatch.domain.base import Message


class Answer(Message):
    """The API server's answer to one eviction."""

    status: int
    causes: frozenset[str] = frozenset()
    message: str = ""
    retry_after: timedelta | None = None
    """How long the server asks to wait; None when it does not say. A budget's refusal has none."""


class EvictionResult(StrEnum):
    """What came of one eviction."""

    LEAVING = "leaving"
    """Accepted: the pod is terminating, wait until it is gone."""
    GONE = "gone"
    """The pod is not there any more."""
    REPLACED = "replaced"
    """Another pod has its name by now, so ours is gone. Asking has cost that one's budget: list again, not at once."""
    BUDGET = "budget"
    """A PodDisruptionBudget refuses for now: try again, slowly, until the deadline."""
    THROTTLED = "throttled"
    """The API server or its gateway asks for patience, or cannot answer just now (5xx)."""
    TWO_BUDGETS = "two-budgets"
    """More than one PodDisruptionBudget covers the pod: the API can never evict it until that is mended."""
    NAMESPACE_ENDS = "namespace-ends"
    """The namespace is terminating, and takes the pod along."""
    REFUSED = "refused"
    """Anything else: fatal for this pod, the others go on."""


def read_answer(answer: Answer, budgets_covering: int) -> EvictionResult:  # noqa: PLR0911 - a table, one row each
    """Classify the answer.

    Args:
        answer: status and causes of the answer; 201 for success.
        budgets_covering: how many PodDisruptionBudgets cover the pod; it tells the 500 of two budgets from any other,
            since that one carries neither reason nor cause.
    """
    match answer.status:
        case 200 | 201:
            return EvictionResult.LEAVING
        case 404:
            return EvictionResult.GONE
        case 409:
            return EvictionResult.REPLACED
        case 429 if "DisruptionBudget" in answer.causes:
            return EvictionResult.BUDGET
        case 429:
            return EvictionResult.THROTTLED
        case 500 if budgets_covering > 1:
            return EvictionResult.TWO_BUDGETS
        case status if status >= 500:
            return EvictionResult.THROTTLED
        case 403 if "NamespaceTerminating" in answer.causes:
            return EvictionResult.NAMESPACE_ENDS
        case _:
            return EvictionResult.REFUSED


CONDITION = "Condition"
"""The kind of a need that is still open, or does not say."""
DAEMON_SET = "DaemonSet"
"""The kind of a DaemonSet whose pod on the node is not Ready."""


class Waiting(Message):
    """What a node is waited for: `waitingFor` in the run's JSON. `since` is filled by the orchestration."""

    kind: str
    namespace: str | None
    name: str
    because: str
    since: datetime | None = None

    @classmethod
    def on_cluster(cls, name: str, because: str, since: datetime | None = None) -> Self:
        """What is waited for while the API server of this cluster refuses, or does not answer."""
        return cls(kind="Cluster", namespace=None, name=name, because=because, since=since)

    @property
    def key(self) -> tuple[str, str | None, str]:
        """What makes it the same thing in the next pass."""
        return self.kind, self.namespace, self.name


def keep_since(before: tuple[Waiting, ...], now_waiting: tuple[Waiting, ...], now: datetime) -> tuple[Waiting, ...]:
    """Carry over since when each thing has been waited for; what is new is waited for since `now`."""
    known = {waiting.key: waiting.since for waiting in before}
    return tuple(w.model_copy(update={"since": known.get(w.key) or now}) for w in now_waiting)
