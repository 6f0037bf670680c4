"""What an eviction's answer means, and which PodDisruptionBudgets cover a pod."""

from __future__ import annotations

from datetime import timedelta

import pytest

from midwatch.domain.eviction import Answer, EvictionResult, Waiting, keep_since, read_answer
from midwatch.domain.pod_budgets import BudgetView, covering
from midwatch.domain.selectors import Requirement
from tests.unit.domain.domain_kit import NOW, pod

R = EvictionResult
ANSWERS: list[tuple[str, Answer, int, EvictionResult]] = [
    ("201 means that the pod leaves", Answer(status=201), 0, R.LEAVING),
    ("200 as well", Answer(status=200), 1, R.LEAVING),
    ("404 means gone", Answer(status=404), 1, R.GONE),
    ("409 means that another pod has the name", Answer(status=409), 1, R.REPLACED),
    ("429 with the cause is the budget", Answer(status=429, causes=frozenset({"DisruptionBudget"})), 1, R.BUDGET),
    ("429 with the cause is the budget also where we see none", Answer(status=429,
     causes=frozenset({"DisruptionBudget"})),
     0, R.BUDGET),
    ("429 without a cause is throttling", Answer(status=429), 1, R.THROTTLED),
    ("a message that speaks of a budget decides nothing", Answer(status=429,
     message="violates the pod's disruption budget"),
     1, R.THROTTLED),
    ("500 under two budgets is a misconfiguration", Answer(status=500), 2, R.TWO_BUDGETS),
    ("500 under one budget is an outage", Answer(status=500), 1, R.THROTTLED),
    ("500 whose message speaks of two budgets is an outage where one covers the pod",
     Answer(status=500, message="This pod has more than one PodDisruptionBudget"), 1, R.THROTTLED),
    ("503 under two budgets is an outage", Answer(status=503), 2, R.THROTTLED),
    ("502 is an outage", Answer(status=502), 0, R.THROTTLED),
    ("504 is an outage", Answer(status=504), 0, R.THROTTLED),
    ("403 with the cause is an ending namespace", Answer(status=403, causes=frozenset({"NamespaceTerminating"})), 0,
     R.NAMESPACE_ENDS),
    ("403 without it is refused", Answer(status=403), 0, R.REFUSED),
    ("403 with the cause of another status is refused", Answer(status=403, causes=frozenset({"DisruptionBudget"})), 1,
     R.REFUSED),
    ("400 is refused", Answer(status=400), 0, R.REFUSED),
    ("401 is refused", Answer(status=401), 0, R.REFUSED),
    ("422 is refused", Answer(status=422), 0, R.REFUSED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "covering_budgets", "result"), [r[1:] for r in ANSWERS], ids=[r[0] for r in ANSWERS]
)
def test_status_and_cause_decide(answer: Answer, covering_budgets: int, result: EvictionResult) -> None:
    assert read_answer(answer, covering_budgets) is result


def test_what_is_still_waited_for_keeps_its_time_and_what_is_new_gets_now() -> None:
    early = NOW - timedelta(minutes=5)
    old = Waiting(kind="Pod", namespace="shop", name="cart", because="budget", since=early)
    left = Waiting(kind="Pod", namespace="shop", name="gone", because="budget", since=early)
    same = Waiting(kind="Pod", namespace="shop", name="cart", because="terminating")
    new = Waiting(kind="Pod", namespace="ops", name="cart", because="budget")
    kept = keep_since((old, left), (same, new), NOW)
    assert [(w.namespace, w.because, w.since) for w in kept] == [("shop", "terminating", early), ("ops", "budget", NOW)]


def requirement(operator: str, *values: str) -> Requirement:
    return Requirement(key="tier", operator=operator, values=values)


REQUIREMENTS: list[tuple[str, Requirement, dict[str, str], bool]] = [
    ("In holds for a listed value", requirement("In", "a", "b"), {"tier": "b"}, True),
    ("In fails for another value", requirement("In", "a", "b"), {"tier": "c"}, False),
    ("In fails without the label", requirement("In", "a"), {}, False),
    ("NotIn fails for a listed value", requirement("NotIn", "a"), {"tier": "a"}, False),
    ("NotIn holds for another value", requirement("NotIn", "a"), {"tier": "b"}, True),
    ("NotIn holds without the label", requirement("NotIn", "a"), {}, True),
    ("Exists holds for an empty value", requirement("Exists"), {"tier": ""}, True),
    ("Exists fails without the label", requirement("Exists"), {"other": "x"}, False),
    ("DoesNotExist holds without the label", requirement("DoesNotExist"), {}, True),
    ("DoesNotExist fails with it", requirement("DoesNotExist"), {"tier": ""}, False),
    ("an operator that nobody knows holds for nothing", requirement("Gt", "1"), {"tier": "2"}, False),
]


@pytest.mark.parametrize(("one", "labels", "holds"), [r[1:] for r in REQUIREMENTS], ids=[r[0] for r in REQUIREMENTS])
def test_a_requirement_matches_as_in_the_api_server(one: Requirement, labels: dict[str, str], holds: bool) -> None:
    assert one.matches(labels) is holds


def budget(name: str, labels: dict[str, str] | None, *expressions: Requirement, namespace: str = "shop") -> BudgetView:
    return BudgetView(
        namespace=namespace, name=name, match_labels=labels, match_expressions=expressions, disruptions_allowed=0
    )


LABELS = {"app": "cart", "tier": "a"}
BUDGETS: list[tuple[str, BudgetView, bool]] = [
    ("all its labels are there", budget("b", LABELS), True),
    ("one of its labels is missing", budget("b", {**LABELS, "zone": "1"}), False),
    ("one of its labels differs", budget("b", {"app": "shop"}), False),
    ("an empty selector covers every pod of the namespace", budget("b", {}), True),
    ("no selector covers nothing", budget("b", None), False),
    ("labels and expressions must both hold", budget("b", {"app": "cart"}, requirement("NotIn", "a")), False),
    ("expressions alone may cover it", budget("b", {}, requirement("In", "a"), requirement("Exists")), True),
    ("another namespace's budget covers nothing here", budget("b", {}, namespace="ops"), False),
]


@pytest.mark.parametrize(("one", "covers"), [r[1:] for r in BUDGETS], ids=[r[0] for r in BUDGETS])
def test_a_budget_covers_the_pods_that_its_selector_matches(one: BudgetView, covers: bool) -> None:
    assert covering([one], pod(labels=LABELS)) == ((one,) if covers else ())


def test_all_covering_budgets_are_named_in_order() -> None:
    three = [budget("z", {}), budget("no", None), budget("a", {"app": "cart"})]
    assert [b.name for b in covering(three, pod(labels=LABELS))] == ["a", "z"]
