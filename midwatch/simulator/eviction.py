"""The eviction subresource. Source: kube-apiserver 1.36 `registry/core/pod/storage/eviction.go`."""

from __future__ import annotations

from midwatch.simulator.budgets import Budgets
from midwatch.simulator.deletion import DeleteOptions, Deletions, read_options
from midwatch.simulator.documents import (
    JsonObject,
    is_deleting,
    name_of,
    number,
    part,
    put,
    stamp,
    text,
    texts,
)
from midwatch.simulator.refusals import Refusal, bad_request, budget_refuses
from midwatch.simulator.registry import Registry, namespace_ends
from midwatch.simulator.resources import BUDGETS, NAMESPACES, PODS
from midwatch.simulator.store import Record

_UNPROTECTED = frozenset({"Succeeded", "Failed", "Pending"})
_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
_TWO_BUDGETS = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_PROCESSING_SECONDS = 10


class Evictions:
    """Decides on evictions."""

    def __init__(self, registry: Registry, deletions: Deletions, budgets: Budgets) -> None:
        self._registry = registry
        self._deletions = deletions
        self._budgets = budgets

    def evict(self, namespace: str, name: str, body: JsonObject, *, dry_run: bool = False) -> JsonObject:
        """Evict a pod; the Status of success.

        Raises:
            Refusal: 429 by a budget, 500 by two of them, 404, 409 for another UID (which still spends the budget).
        """
        if name_of(body) not in {"", name}:
            raise bad_request("name in URL does not match name in Eviction object")
        self._check_namespace(namespace, name)
        options = read_options(part(body, "deleteOptions"), dry_run=dry_run or "All" in texts(body, "dryRun"))
        pod = self._registry.find(PODS, namespace, name)
        if not _unprotected(pod.doc):
            self._ask_budget(pod, options)
        self._deletions.delete(PODS, pod.key, options)
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    def _check_namespace(self, namespace: str, name: str) -> None:
        space = self._registry.store.get(NAMESPACES, "", namespace)
        if space is not None and is_deleting(space.doc):
            raise namespace_ends(PODS, namespace, name)

    def _ask_budget(self, pod: Record, options: DeleteOptions) -> None:
        found = self._budgets.covering(pod)
        if len(found) > 1:
            raise Refusal(500, "", _TWO_BUDGETS)
        for budget in found:
            if pod.ready or not _lets_unready_go(budget.doc):
                self._spend(budget, pod, options)

    def _spend(self, budget: Record, pod: Record, options: DeleteOptions) -> None:
        doc = budget.doc
        name = name_of(doc)
        if number(doc, "status", "observedGeneration") < number(doc, "metadata", "generation"):
            why = f"The disruption budget {name} is still being processed by the server."
            raise budget_refuses(_REFUSED, why, retry_after=_PROCESSING_SECONDS)
        allowed = number(doc, "status", "disruptionsAllowed")
        if allowed <= 0:
            needs, has = number(doc, "status", "desiredHealthy"), number(doc, "status", "currentHealthy")
            raise budget_refuses(
                _REFUSED, f"The disruption budget {name} needs {needs} healthy pods and has {has} currently"
            )
        if options.dry_run:
            return
        now = stamp(self._registry.world.now())
        doc = put(doc, allowed - 1, "status", "disruptionsAllowed")
        self._registry.store.put(BUDGETS, put(doc, now, "status", "disruptedPods", name_of(pod.doc)))


def _unprotected(pod: JsonObject) -> bool:
    return is_deleting(pod) or text(pod, "status", "phase") in _UNPROTECTED


def _lets_unready_go(budget: JsonObject) -> bool:
    """Whether a pod that is not Ready may go without spending anything."""
    if text(budget, "spec", "unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    desired = number(budget, "status", "desiredHealthy")
    return number(budget, "status", "currentHealthy") >= desired > 0
