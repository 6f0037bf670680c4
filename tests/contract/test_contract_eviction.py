"""Every answer of the eviction API, and what it does to the pod and to the budget."""

from __future__ import annotations

import pytest

from tests.contract.backend import Backend
from tests.kit.api import JsonObject
from tests.kit.background import until


def test_a_pod_without_a_budget_goes(backend: Backend, space: str) -> None:
    pod = backend.run_pod(space, "one", stop_seconds="3")
    answer = backend.evict(space, "one", uid=pod.metadata.uid)
    assert (answer.code, answer.body["kind"], answer.body["status"]) == (201, "Status", "Success")
    assert backend.pod(space, "one").metadata.deletion_grace_period_seconds == 20
    until(lambda: not backend.exists(f"/api/v1/namespaces/{space}/pods/one"), "the pod gone")


def test_a_grace_may_be_asked_for(backend: Backend, space: str) -> None:
    backend.run_pod(space, "one", stop_seconds="15")
    assert backend.evict(space, "one", grace=7).code == 201
    assert backend.pod(space, "one").metadata.deletion_grace_period_seconds == 7


def test_a_pod_that_is_not_there_is_not_found(backend: Backend, space: str) -> None:
    answer = backend.evict(space, "none")
    assert (answer.code, answer.reason, answer.details) == (404, "NotFound", {"name": "none", "kind": "pods"})


def test_another_uid_is_a_conflict_that_still_spends_the_budget(backend: Backend, space: str) -> None:
    for name in ("a", "b"):
        backend.run_pod(space, name)
    backend.protect(space, "pdb", healthy=2, minAvailable=1)
    answer = backend.evict(space, "a", uid="another")
    assert (answer.code, answer.reason) == (409, "Conflict")
    assert backend.pod(space, "a").metadata.deletion_timestamp is None
    refused = backend.evict(space, "b")
    assert (refused.code, refused.causes) == (429, ["DisruptionBudget"])


def test_a_budget_refuses_without_saying_when_to_come_back(backend: Backend, space: str) -> None:
    backend.run_pod(space, "one")
    backend.protect(space, "pdb", healthy=1, minAvailable=1)
    answer = backend.evict(space, "one")
    assert (answer.code, answer.reason, answer.causes) == (429, "TooManyRequests", ["DisruptionBudget"])
    assert answer.retry_after is None
    assert "retryAfterSeconds" not in answer.details
    assert backend.pod(space, "one").metadata.deletion_timestamp is None


def test_two_budgets_are_an_error_of_the_server(backend: Backend, space: str) -> None:
    backend.run_pod(space, "one")
    for name in ("p", "q"):
        backend.protect(space, name, healthy=1, minAvailable=0)
    answer = backend.evict(space, "one")
    assert (answer.code, answer.reason, answer.details) == (500, "", {})
    assert backend.pod(space, "one").metadata.deletion_timestamp is None


def test_a_budget_lets_go_as_many_as_it_says(backend: Backend, space: str) -> None:
    for name in ("a", "b", "c"):
        backend.run_pod(space, name, stop_seconds="15")
    backend.protect(space, "pdb", healthy=3, minAvailable=1)
    assert backend.budget(space, "pdb").status.disruptions_allowed == 2
    assert [backend.evict(space, name).code for name in ("a", "b", "c")] == [201, 201, 429]
    until(lambda: backend.budget(space, "pdb").status.current_healthy == 1, "one healthy pod")
    assert backend.budget(space, "pdb").status.disruptions_allowed == 0


@pytest.mark.parametrize(
    ("limit", "allowed"),
    [
        ({"maxUnavailable": 1}, 1),
        ({"maxUnavailable": "50%"}, 2),
        ({"minAvailable": "50%"}, 2),
        ({"minAvailable": "90%"}, 0),
        ({"minAvailable": 4}, 0),
    ],
    ids=str,
)
def test_budgets_count_what_their_controllers_want(
    backend: Backend, space: str, limit: dict[str, int | str], allowed: int
) -> None:
    """Percentages and `maxUnavailable` are of the replicas, rounded up."""
    backend.deploy(space, 4)
    backend.protect(space, "pdb", healthy=4, **limit)
    assert backend.budget(space, "pdb").status.disruptions_allowed == allowed


def test_an_evicted_pod_comes_back_elsewhere_and_frees_the_budget(backend: Backend, space: str) -> None:
    backend.deploy(space, 2)
    backend.protect(space, "pdb", healthy=2, maxUnavailable=1)
    first, second = (pod.metadata.name for pod in backend.pods(space))
    assert backend.evict(space, first).code == 201
    until(lambda: backend.budget(space, "pdb").status.disruptions_allowed == 1, "the budget's recovery")
    assert backend.evict(space, second).code == 201
    until(lambda: not {first, second} & {p.metadata.name for p in backend.pods(space)}, "successors")
    until(lambda: sum(p.ready for p in backend.pods(space)) == 2, "two pods")


def test_a_dry_run_spends_nothing(backend: Backend, space: str) -> None:
    for name in ("a", "b"):
        backend.run_pod(space, name)
    backend.protect(space, "pdb", healthy=2, minAvailable=1)
    assert [backend.evict(space, name, dry_run=True).code for name in ("a", "b", "a")] == [201, 201, 201]
    assert backend.budget(space, "pdb").status.disruptions_allowed == 1
    assert backend.evict(space, "a").code == 201
    assert backend.evict(space, "b", dry_run=True).code == 429


def test_a_terminating_pod_may_be_evicted_again(backend: Backend, space: str) -> None:
    backend.run_pod(space, "one", stop_seconds="15")
    backend.protect(space, "pdb", healthy=1, minAvailable=1)
    backend.api.delete(f"/api/v1/namespaces/{space}/pods/one")
    assert [backend.evict(space, "one").code for _ in range(2)] == [201, 201]


def test_finished_and_pending_pods_need_no_budget(backend: Backend, space: str) -> None:
    backend.run_pod(space, "ready")
    backend.run_pod(space, "done", phase="Succeeded", run_seconds="0.1")
    backend.run_pod(space, "stuck", phase="Pending", bad_image="1")
    backend.protect(space, "pdb", healthy=1, minAvailable=3)
    assert {name: backend.evict(space, name).code for name in ("ready", "done", "stuck")} == {
        "ready": 429,
        "done": 201,
        "stuck": 201,
    }


def test_an_unready_pod_goes_while_enough_are_healthy(backend: Backend, space: str) -> None:
    backend.run_pod(space, "ready")
    backend.run_pod(space, "sick", never_ready="1", stop_seconds="15")
    backend.protect(space, "pdb", healthy=1, minAvailable=1)
    assert backend.evict(space, "ready").code == 429
    assert backend.evict(space, "sick").code == 201


def test_an_unready_pod_stays_while_too_few_are_healthy(backend: Backend, space: str) -> None:
    backend.run_pod(space, "sick", never_ready="1")
    backend.protect(space, "pdb", healthy=0, minAvailable=1)
    answer = backend.evict(space, "sick")
    assert (answer.code, answer.causes) == (429, ["DisruptionBudget"])


def test_an_unready_pod_goes_where_the_policy_always_allows_it(backend: Backend, space: str) -> None:
    backend.run_pod(space, "sick", never_ready="1")
    backend.protect(space, "pdb", healthy=0, minAvailable=1, unhealthyPodEvictionPolicy="AlwaysAllow")
    assert backend.evict(space, "sick").code == 201


def test_in_a_namespace_that_ends_nothing_is_evicted(backend: Backend, space: str) -> None:
    backend.run_pod(space, "one", stop_seconds="3")
    backend.api.delete(f"/api/v1/namespaces/{space}")
    answer = backend.evict(space, "one")
    assert (answer.code, answer.reason, answer.causes) == (403, "Forbidden", ["NamespaceTerminating"])


def test_a_budget_of_another_namespace_or_another_app_does_not_count(backend: Backend, space: str) -> None:
    backend.run_pod(space, "one", app="other")
    backend.run_pod(space, "two")
    backend.protect(backend.new_space(), "pdb", healthy=0, minAvailable=1)
    backend.protect(space, "pdb", healthy=1, minAvailable=1)
    assert [backend.evict(space, name).code for name in ("one", "two")] == [201, 429]


def test_the_name_in_the_body_has_to_fit(backend: Backend, space: str) -> None:
    backend.run_pod(space, "one")
    path = f"/api/v1/namespaces/{space}/pods/one/eviction"
    body: JsonObject = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "two"}}
    answer = backend.api.ask("POST", path, body)
    assert (answer.code, answer.reason) == (400, "BadRequest")
