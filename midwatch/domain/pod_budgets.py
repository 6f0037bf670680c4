"""PodDisruptionBudgets: which cover a pod, which will let it go, and which never can."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from midwatch.domain.base import Message
from midwatch.domain.pods import PodView
from midwatch.domain.selectors import Requirement, all_match


class BudgetView(Message):
    """A PodDisruptionBudget. An empty selector matches every pod of its namespace (policy/v1); none matches nothing.

    `current` says whether its status has taken in its latest specification.
    """

    namespace: str
    name: str
    match_labels: dict[str, str] | None
    match_expressions: tuple[Requirement, ...]
    disruptions_allowed: int
    current: bool = True
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0
    disrupted_pods: int = 0
    always_allow_unhealthy: bool = False

    @property
    def full_name(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def selects(self) -> tuple[dict[str, str] | None, tuple[Requirement, ...]]:
        """What decides which pods it covers."""
        return self.match_labels, self.match_expressions

    def covers(self, labels: Mapping[str, str]) -> bool:
        """Whether it covers a pod with these labels in its namespace."""
        if self.match_labels is None:
            return False
        same = all(labels.get(k) == v for k, v in self.match_labels.items())
        return same and all_match(self.match_expressions, labels)

    @property
    def never_allows(self) -> bool:
        """Whether it cannot allow an eviction until somebody changes it, or its workload.

        All its pods are there and healthy, no eviction is under way, and still it allows none: it wants every one of
        them. The rule is that of Gardener's machine-controller-manager, for a budget that is misconfigured.
        """
        whole = self.expected_pods > 0 and self.current_healthy >= self.expected_pods
        return self.current and whole and self.disrupted_pods == 0 and self.disruptions_allowed == 0


def covering(budgets: Iterable[BudgetView], pod: PodView) -> tuple[BudgetView, ...]:
    """The budgets that cover the pod, by name."""
    found = [b for b in budgets if b.namespace == pod.namespace and b.covers(pod.labels)]
    return tuple(sorted(found, key=lambda b: b.name))


_PAST_BUDGETS = frozenset({"Pending", "Succeeded", "Failed"})
"""The Eviction API does not ask budgets about pods in these phases, nor about terminating ones."""


def ignores_budgets(pod: PodView) -> bool:
    """Whether the Eviction API lets the pod go whatever its budgets say."""
    return pod.phase in _PAST_BUDGETS or pod.deleted is not None


def lets_unready_go(budget: BudgetView, pod: PodView) -> bool:
    """Whether the Eviction API lets a running pod that is not Ready go without spending the budget."""
    healthy = budget.current_healthy >= budget.desired_healthy > 0
    return not pod.ready and (budget.always_allow_unhealthy or healthy)


class Ledger:
    """What the budgets that we have read would still allow, so that no eviction is asked for in vain.

    A namespace that was not read is unknown: there the API server is asked. Nothing here allows an eviction: the API
    server alone does.
    """

    def __init__(self) -> None:
        self._budgets: dict[str, dict[str, BudgetView]] = {}
        self._room: dict[tuple[str, str], int] = {}
        self._covering: dict[str, tuple[str, ...]] = {}
        """By the pod's UID: the names of the budgets that cover it, until a selector changes."""

    def knows(self, namespace: str) -> bool:
        """Whether the budgets of this namespace were read."""
        return namespace in self._budgets

    def learn(self, namespace: str, budgets: Sequence[BudgetView]) -> None:
        """Take in all budgets of a namespace, as just listed."""
        self._budgets[namespace] = {}
        self._covering.clear()
        for budget in budgets:
            self.update(budget)

    def update(self, budget: BudgetView) -> None:
        """Take in one budget, as just changed."""
        known = self._budgets.setdefault(budget.namespace, {})
        former = known.get(budget.name)
        if former is None or former.selects != budget.selects:
            self._covering.clear()
        known[budget.name] = budget
        self._room[budget.namespace, budget.name] = max(0, budget.disruptions_allowed) if budget.current else 0

    def forget(self, budget: BudgetView) -> None:
        """One budget was deleted."""
        self._budgets.get(budget.namespace, {}).pop(budget.name, None)
        self._covering.clear()

    def covering(self, pod: PodView) -> tuple[BudgetView, ...]:
        """The known budgets that cover the pod, by name."""
        known = self._budgets.get(pod.namespace, {})
        names = self._covering.get(pod.uid)
        if names is None:
            names = self._covering[pod.uid] = tuple(b.name for b in covering(known.values(), pod))
        return tuple(known[name] for name in names)

    def admits(self, pod: PodView) -> bool:
        """Whether an eviction is worth asking for."""
        found = self.covering(pod)
        if not found or ignores_budgets(pod):
            return True
        if len(found) > 1:
            return False
        return self._room[found[0].namespace, found[0].name] > 0 or lets_unready_go(found[0], pod)

    def spend(self, pod: PodView) -> None:
        """An eviction is being asked for: one less for the others under the same budget."""
        if ignores_budgets(pod):
            return
        for budget in self.covering(pod):
            self._room[budget.namespace, budget.name] -= 1

    def refused(self, pod: PodView) -> None:
        """A budget said no: it has no room until it changes."""
        for budget in self.covering(pod):
            self._room[budget.namespace, budget.name] = 0


def why_held(covering: tuple[BudgetView, ...]) -> str:
    """Why the budgets that cover a pod do not let it go; `budget`, `budget-never` or `two-budgets`, and in words.

    Args:
        covering: the pod's budgets; none: the one that refused is gone meanwhile.
    """
    names = ", ".join(budget.full_name for budget in covering) or "that is gone meanwhile"
    if len(covering) > 1:
        return f"two-budgets: the API evicts no pod that PodDisruptionBudgets {names} both cover"
    if covering and covering[0].never_allows:
        all_of = f"it wants all {covering[0].expected_pods} of its pods"
        return f"budget-never: PodDisruptionBudget {names} can never allow a disruption: {all_of}"
    return f"budget: PodDisruptionBudget {names} allows no disruption now"
