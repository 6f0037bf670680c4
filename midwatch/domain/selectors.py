"""Label selectors and PodDisruptionBudgets, as the API server matches them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from midwatch.domain.base import Message


class Requirement(Message):
    """One `matchExpressions` entry."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet it; an operator that we do not know meets nothing."""
        present = self.key in labels
        match self.operator:
            case "In":
                return present and labels[self.key] in self.values
            case "NotIn":
                return not present or labels[self.key] not in self.values
            case "Exists":
                return present
            case "DoesNotExist":
                return not present
            case _:
                return False


class BudgetView(Message):
    """A PodDisruptionBudget. An empty selector matches every pod of its namespace (policy/v1); none matches nothing."""

    namespace: str
    name: str
    match_labels: dict[str, str] | None
    match_expressions: tuple[Requirement, ...]
    disruptions_allowed: int

    def covers(self, labels: Mapping[str, str]) -> bool:
        """Whether it covers a pod with these labels in its namespace."""
        if self.match_labels is None:
            return False
        return all(labels.get(k) == v for k, v in self.match_labels.items()) and all(
            requirement.matches(labels) for requirement in self.match_expressions
        )


def covering(budgets: Iterable[BudgetView], namespace: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the budgets that cover the pod, sorted."""
    return tuple(sorted(b.name for b in budgets if b.namespace == namespace and b.covers(labels)))
