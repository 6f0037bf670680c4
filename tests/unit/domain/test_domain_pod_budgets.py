"""Budgets: which would let a pod go, which never can, and how many evictions are worth asking for."""

from __future__ import annotations

import pytest

from midwatch.domain.pod_budgets import BudgetView, Ledger, covering, ignores_budgets
from tests.unit.domain.domain_kit import NOW, PodFields, changed, pod

WHOLE = BudgetView(
    namespace="shop", name="cart", match_labels={}, match_expressions=(), disruptions_allowed=0, current=True,
    current_healthy=3, desired_healthy=3, expected_pods=3,
)  # fmt: skip
NEVER: list[tuple[str, dict[str, object], bool]] = [
    ("it wants every pod, and has them", {}, True),
    ("it allows one", {"disruptions_allowed": 1}, False),
    ("a pod is missing, which may come back", {"current_healthy": 2}, False),
    ("an eviction is under way", {"disrupted_pods": 1}, False),
    ("its status is older than its specification", {"current": False}, False),
    ("it has no pods", {"current_healthy": 0, "expected_pods": 0}, False),
]


@pytest.mark.parametrize(("fields", "never"), [r[1:] for r in NEVER], ids=[r[0] for r in NEVER])
def test_a_budget_never_allows_when_all_is_well_and_it_still_allows_none(
    fields: dict[str, object], never: bool
) -> None:
    assert changed(WHOLE, **fields).never_allows is never


PAST: list[tuple[PodFields, bool]] = [
    ({}, False), ({"phase": "Pending"}, True), ({"phase": "Succeeded"}, True), ({"phase": "Failed"}, True),
    ({"deleted": NOW}, True), ({"phase": "Unknown"}, False),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "past"), PAST, ids=str)
def test_the_api_asks_no_budget_about_pods_that_do_not_run(fields: PodFields, past: bool) -> None:
    assert ignores_budgets(pod(**fields)) is past


def ledger(*budgets: BudgetView) -> Ledger:
    made = Ledger()
    made.learn("shop", budgets)
    return made


def test_a_namespace_that_was_not_read_is_asked() -> None:
    assert Ledger().admits(pod())
    assert not Ledger().knows("shop")


def test_a_budget_admits_as_many_as_it_allows_and_no_more_until_it_changes() -> None:
    book = ledger(changed(WHOLE, disruptions_allowed=2))
    asked = []
    for n in range(4):
        one = pod(name=f"cart-{n}", uid=f"u{n}")
        if book.admits(one):
            book.spend(one)
            asked.append(n)
    assert asked == [0, 1]
    book.update(changed(WHOLE, disruptions_allowed=1))
    assert book.admits(pod())


def test_a_refusal_closes_the_budget_until_it_changes() -> None:
    book = ledger(changed(WHOLE, disruptions_allowed=5))
    book.refused(pod())
    assert not book.admits(pod())
    book.update(changed(WHOLE, disruptions_allowed=5))
    assert book.admits(pod())


def test_two_budgets_on_one_pod_admit_none() -> None:
    open_one = changed(WHOLE, disruptions_allowed=5)
    book = ledger(open_one, changed(open_one, name="other"))
    assert not book.admits(pod())
    assert [budget.name for budget in book.covering(pod())] == ["cart", "other"]
    book.forget(changed(open_one, name="other"))
    assert book.admits(pod())


def test_a_budget_whose_status_is_behind_admits_none() -> None:
    assert not ledger(changed(WHOLE, disruptions_allowed=5, current=False)).admits(pod())


UNREADY: list[tuple[str, dict[str, object], bool]] = [
    ("when the others are enough", {"current_healthy": 3, "desired_healthy": 3}, True),
    ("not when they are not", {"current_healthy": 2, "desired_healthy": 3}, False),
    ("not when none is wanted, as the API has it", {"current_healthy": 0, "desired_healthy": 0}, False),
    ("always, where the budget says so", {"current_healthy": 0, "always_allow_unhealthy": True}, True),
]


@pytest.mark.parametrize(("fields", "admits"), [r[1:] for r in UNREADY], ids=[r[0] for r in UNREADY])
def test_a_pod_that_is_not_ready_may_go(fields: dict[str, object], admits: bool) -> None:
    assert ledger(changed(WHOLE, **fields)).admits(pod(ready=False)) is admits


def test_pods_that_no_budget_covers_are_always_asked_for() -> None:
    book = ledger(changed(WHOLE, match_labels={"app": "other"}))
    assert book.admits(pod(labels={"app": "cart"}))
    assert covering([WHOLE], pod(namespace="ops")) == ()


def test_a_changed_selector_or_a_deleted_budget_counts_at_once() -> None:
    shut = changed(WHOLE, match_labels={"app": "cart"})
    book, cart = ledger(shut), pod(labels={"app": "cart"})
    assert book.covering(cart) == (shut,)
    book.update(changed(shut, match_labels={"app": "else"}))
    assert book.covering(cart) == ()
    book.update(shut)
    assert not book.admits(cart)
    book.forget(shut)
    assert book.admits(cart)
    book.learn("shop", [])
    assert book.covering(cart) == ()
