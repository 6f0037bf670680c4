"""What would block a drain, and what it would take down, said before anything is touched. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from midwatch.domain.base import Message
from midwatch.domain.by_hand import DrainedPod
from midwatch.domain.placement import Place, PodShape, no_place
from midwatch.domain.pod_budgets import BudgetView, covering, ignores_budgets, lets_unready_go
from midwatch.domain.pods import Controller, Judged, PodVerdict, PodView

_NAMED = 5
_ERRORS = {
    "unmanaged": "unmanaged: no controller will bring it back, and drain.force is false",
    "empty-dir": "empty-dir: its emptyDir data would be lost, and drain.deleteEmptyDirData is false",
    "daemonset": "daemonset: a DaemonSet manages it, and drain.ignoreDaemonSets is false",
    "daemonset-gone": "daemonset-gone: its DaemonSet is gone, and drain.force is false",
}


class PlacedPod(Message):
    """A pod anywhere in the cluster: where it is, and what it asks for."""

    node: str
    view: PodView
    shape: PodShape


class Foreseen(Message):
    """A pod of a node, and what its drain would mean: whether it blocks, is down, or fits nowhere else."""

    pod: DrainedPod
    blocks: bool
    down_meanwhile: bool
    homeless: bool


def budget_blocks(pod: PodView, budgets: Iterable[BudgetView]) -> str | None:
    """What the budgets would say to the pod's eviction at this moment, None when they would let it go."""
    found = covering(budgets, pod)
    if not found or ignores_budgets(pod):
        return None
    names = ", ".join(budget.full_name for budget in found)
    if len(found) > 1:
        return f"two-budgets: the API evicts no pod that PodDisruptionBudgets {names} both cover"
    if found[0].disruptions_allowed > 0 or lets_unready_go(found[0], pod):
        return None
    if found[0].never_allows:
        all_of = f"it wants all {found[0].expected_pods} of its pods"
        return f"budget-never: PodDisruptionBudget {names} can never allow a disruption: {all_of}"
    return f"budget: PodDisruptionBudget {names} allows no disruption now"


def _single(pod: PodView, siblings: Mapping[tuple[str, Controller], int]) -> str | None:
    controller = pod.controller
    if controller is None or controller.kind == "Job" or pod.finished or siblings.get((pod.namespace, controller)) != 1:
        return None
    return f"single: it is the only pod of {controller.kind} {controller.name}, which is down meanwhile"


class Outlook:
    """The cluster as it is, to look ahead at the drain of any of its nodes.

    Args:
        pods: all pods of the cluster.
        budgets: all its budgets.
        places: its nodes, with what is free on them.
    """

    def __init__(self, pods: Sequence[PlacedPod], budgets: Sequence[BudgetView], places: Sequence[Place]) -> None:
        self._budgets = budgets
        self._places = places
        self._shapes = {placed.view.uid: placed.shape for placed in pods}
        self._siblings: dict[tuple[str, Controller], int] = {}
        for placed in pods:
            if placed.view.controller is not None and not placed.view.finished:
                key = (placed.view.namespace, placed.view.controller)
                self._siblings[key] = self._siblings.get(key, 0) + 1

    def of(self, node: str, judged: Sequence[Judged], answers: Mapping[str, str]) -> tuple[Foreseen, ...]:
        """Every pod of the node with what would block it, or be down meanwhile.

        Args:
            node: the node that would be drained.
            judged: its pods, with their verdicts.
            answers: what the API server has refused in a dry run, by UID; it goes before our own reading.
        """
        others = [place for place in self._places if place.name != node]
        return tuple(
            self._foresee(one, others, answers.get(one.pod.uid))
            for one in sorted(judged, key=lambda one: one.pod.full_name)
        )

    def _foresee(self, one: Judged, others: Sequence[Place], answer: str | None) -> Foreseen:
        pod, blocks, single, place = one.pod, None, None, None
        if one.verdict is PodVerdict.ERROR:
            blocks = _ERRORS.get(one.reason, one.reason)
        elif one.verdict is PodVerdict.WAIT:
            blocks = "until-completed: the drain waits until it has run to its end"
        elif one.verdict is PodVerdict.EVICT:
            blocks = answer or budget_blocks(pod, self._budgets)
            single = _single(pod, self._siblings)
            comes_back = pod.controller is not None and not pod.finished and pod.deleted is None
            shape = self._shapes.get(pod.uid)
            place = no_place(shape, others) if shape is not None and comes_back else None
        return Foreseen(
            pod=DrainedPod(
                namespace=pod.namespace,
                name=pod.name,
                verdict=one.verdict,
                reason=one.reason,
                result=None,
                because="; ".join(filter(None, (blocks, single, place))) or None,
            ),
            blocks=blocks is not None,
            down_meanwhile=single is not None,
            homeless=place is not None,
        )


def summary(foreseen: Sequence[Foreseen]) -> str | None:
    """One line on a node's pods: which would block its drain, and what else to know. None when there is nothing."""
    told = (
        ("would-block", [f"{_full_name(f.pod)} ({f.pod.because})" for f in foreseen if f.blocks]),
        ("down-meanwhile", [_full_name(f.pod) for f in foreseen if f.down_meanwhile]),
        ("no-place", [_full_name(f.pod) for f in foreseen if f.homeless]),
    )
    lines = [f"{word}: {_first(names)}" for word, names in told if names]
    return "; ".join(lines) or None


def _full_name(pod: DrainedPod) -> str:
    return f"Pod {pod.namespace}/{pod.name}"


def _first(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
