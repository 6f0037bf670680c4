"""The disruption controller: keeps the status of every PodDisruptionBudget, as Kubernetes 1.36 counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from midwatch.simulator.agenda import Dirty, Timers
from midwatch.simulator.documents import (
    JsonObject,
    JsonValue,
    controller_of,
    moment,
    number,
    part,
    put,
    stamp,
    strings,
    text,
    value,
    with_conditions,
)
from midwatch.simulator.resources import BUDGETS, PODS, of_kind
from midwatch.simulator.selectors import LabelTest, read_labels
from midwatch.simulator.store import Change, ChangeType, Key, Record
from midwatch.simulator.world import World

_FORGOTTEN_AFTER = timedelta(minutes=2)
"""An eviction that was allowed and did not happen counts against the budget for so long."""
_CONDITION = "DisruptionAllowed"


@dataclass(frozen=True, slots=True)
class _Selector:
    """What a budget's specification selects; `label` is one that all of it carry, None where there is none."""

    spec: JsonObject
    test: LabelTest
    label: tuple[str, str] | None


class Budgets:
    """All PodDisruptionBudgets of a cluster: which of them cover a pod, and how they stand."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store
        self._by_label: dict[tuple[str, str, str], set[Key]] = {}
        self._broad: dict[str, set[Key]] = {}
        self._dirty: Dirty[Key] = Dirty(world.agenda, world.timings.controller, self._reconcile)
        self._selectors: dict[Key, _Selector] = {}
        self._forgetting: Timers[Key] = Timers(world.agenda)
        self._store.observe(self._take)

    def covering(self, pod: Record) -> list[Record]:
        """The budgets that cover a pod, by name."""
        namespace, labels = pod.key[0], pod.labels
        keys = set(self._broad.get(namespace, ()))
        for label in labels.items():
            keys |= self._by_label.get((namespace, *label), set())
        found = [record for key in sorted(keys) if (record := self._store.get(BUDGETS, *key)) is not None]
        return [record for record in found if self._selector(record).test(labels)]

    # -- the controller -----------------------------------------------------------------------------------------------

    def _take(self, change: Change) -> None:
        if change.resource is BUDGETS:
            self._index(change)
        elif change.resource is PODS and _matters(change):
            for version in (change.before, change.record):
                for budget in self.covering(version) if version is not None else ():
                    self._dirty.mark(budget.key)

    def _index(self, change: Change) -> None:
        old = change.before if change.type is ChangeType.MODIFIED else None
        if old is not None and _asked(old.doc) == _asked(change.record.doc):
            return
        for version in (change.before, change.record):
            if version is not None:
                self._place(version).discard(version.key)
        if change.type is not ChangeType.DELETED:
            self._place(change.record).add(change.record.key)
            self._dirty.mark(change.record.key)

    def _place(self, budget: Record) -> set[Key]:
        """Where it is found: under one of the labels that it asks for, or among those that ask for none."""
        namespace, _ = budget.key
        label = self._selector(budget).label
        if label is not None:
            return self._by_label.setdefault((namespace, *label), set())
        return self._broad.setdefault(namespace, set())

    def _pods(self, budget: Record) -> list[Record]:
        namespace, _ = budget.key
        selector = self._selector(budget)
        label = selector.label
        near = self._store.pods_labelled(namespace, *label) if label else self._store.list(PODS, namespace)
        return [record for record in near if selector.test(record.labels)]

    def _selector(self, budget: Record) -> _Selector:
        """What a budget selects, read once per specification."""
        spec = part(budget.doc, "spec")
        known = self._selectors.get(budget.key)
        if known is None or known.spec is not spec:
            wanted = strings(spec, "selector", "matchLabels")
            label = min(wanted.items()) if wanted else None
            known = self._selectors[budget.key] = _Selector(spec, read_labels(spec.get("selector")), label)
        return known

    def _reconcile(self, key: Key) -> None:
        budget = self._store.get(BUDGETS, *key)
        if budget is None:
            self._forgetting.cancel(key)
            return
        pods = self._pods(budget)
        disrupted = self._still_disrupted(budget, pods)
        healthy = sum(pod.ready and not pod.deleting and pod.key[1] not in disrupted for pod in pods)
        desired, expected = self._wanted(budget.doc, pods)
        allowed = max(0, healthy - desired) if expected else 0
        listed: dict[str, JsonValue] = {**disrupted}
        status: JsonObject = {
            **part(budget.doc, "status"),
            "observedGeneration": number(budget.doc, "metadata", "generation"),
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
            "disruptionsAllowed": allowed,
        }
        status.pop("disruptedPods", None)
        if listed:
            status["disruptedPods"] = listed
        doc = {**budget.doc, "status": status}
        self._store.put(BUDGETS, with_conditions(doc, [_allowed_condition(doc, stamp(self._world.now()))]))

    def _still_disrupted(self, budget: Record, pods: list[Record]) -> dict[str, str]:
        """The evictions that were allowed and are not seen yet; looked at again when the first is forgotten."""
        there = {pod.key[1] for pod in pods if not pod.deleting}
        now, kept = self._world.now(), {}
        for name, when in strings(budget.doc, "status", "disruptedPods").items():
            since = moment(when)
            if name in there and since and now < since + _FORGOTTEN_AFTER:
                kept[name] = when
        if kept:
            self._forgetting.set(budget.key, _FORGOTTEN_AFTER.total_seconds(), lambda: self._forget(budget.key, kept))
        else:
            self._forgetting.cancel(budget.key)
        return kept

    def _forget(self, key: Key, names: dict[str, str]) -> None:
        """Their time is over, by simulated time."""
        budget = self._store.get(BUDGETS, *key)
        if budget is None:
            return
        left = {n: w for n, w in strings(budget.doc, "status", "disruptedPods").items() if names.get(n) != w}
        listed: dict[str, JsonValue] = {**left}
        self._store.put(BUDGETS, put(budget.doc, listed, "status", "disruptedPods"))
        self._dirty.mark(key)

    def _wanted(self, budget: JsonObject, pods: list[Record]) -> tuple[int, int]:
        """How many pods have to be healthy, and how many there should be."""
        least, most = value(budget, "spec", "minAvailable"), value(budget, "spec", "maxUnavailable")
        if isinstance(least, int) and most is None:
            return least, len(pods)
        expected = self._expected(pods)
        if most is not None:
            return max(0, expected - _share(most, expected)), expected
        return _share(least, expected), expected

    def _expected(self, pods: list[Record]) -> int:
        """The replicas of the controllers behind the pods, each once."""
        owners = {text(owner, "uid"): (pod, owner) for pod in pods if (owner := controller_of(pod.doc))}
        return sum(self._scale(pod, owner) for pod, owner in owners.values())

    def _scale(self, pod: Record, owner: JsonObject) -> int:
        resource = of_kind(text(owner, "apiVersion"), text(owner, "kind"))
        found = self._store.get(resource, pod.key[0], text(owner, "name")) if resource is not None else None
        return number(found.doc, "spec", "replicas") if found is not None else 0


def _asked(budget: JsonObject) -> tuple[JsonValue, JsonValue]:
    """What the controller has to look at anew when it changes: not the counts, which are its own."""
    return budget.get("spec"), value(budget, "status", "disruptedPods")


def _share(limit: JsonValue, whole: int) -> int:
    """A number, or a percentage of the whole, rounded up."""
    if isinstance(limit, str) and limit.endswith("%"):
        return math.ceil(int(limit[:-1]) * whole / 100)
    return int(limit) if isinstance(limit, int | str) else 0


def _matters(change: Change) -> bool:
    """Whether a pod's change may change a count."""
    old = change.before
    if old is None or change.type is ChangeType.DELETED:
        return True
    return _facts(old) != _facts(change.record)


def _facts(pod: Record) -> tuple[object, ...]:
    return pod.ready, pod.deleting, part(pod.doc, "metadata").get("labels"), controller_of(pod.doc)


def _allowed_condition(budget: JsonObject, now: str) -> JsonObject:
    allowed = number(budget, "status", "disruptionsAllowed") > 0
    return {
        "type": _CONDITION,
        "status": "True" if allowed else "False",
        "reason": "SufficientPods" if allowed else "InsufficientPods",
        "message": "",
        "observedGeneration": number(budget, "metadata", "generation"),
        "lastTransitionTime": now,
    }
