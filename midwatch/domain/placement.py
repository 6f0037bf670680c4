"""Whether a pod could run on another node: by node selector, required node affinity, taints and requests.

It claims that a pod fits nowhere only when it is sure. It does not look at affinity between pods, spread constraints,
ports, volumes or other resources than CPU, memory and the number of pods: those may forbid a place that it sees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pydantic import Field

from midwatch.domain.base import Message
from midwatch.domain.selectors import Requirement

_KNOWN = frozenset({"In", "NotIn", "Exists", "DoesNotExist"})


class Taint(Message):
    """A taint of a node."""

    key: str
    value: str = ""
    effect: str = ""


class Toleration(Message):
    """A toleration of a pod. Without a key it tolerates every taint, without an effect every effect."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def tolerates(self, taint: Taint) -> bool:
        """Whether the pod may run in spite of the taint."""
        if self.effect and self.effect != taint.effect:
            return False
        if not self.key:
            return self.operator == "Exists"
        return self.key == taint.key and (self.operator == "Exists" or self.value == taint.value)


class PodShape(Message):
    """What a pod asks of a node. CPU in thousandths of a core, memory in bytes.

    `terms`: of the required node affinity; one of them must hold, each with all its requirements. Empty: any node.
    """

    cpu_millis: int = 0
    memory_bytes: int = 0
    node_selector: dict[str, str] = Field(default_factory=dict)
    terms: tuple[tuple[Requirement, ...], ...] = ()
    tolerations: tuple[Toleration, ...] = ()


class Place(Message):
    """A node as a place for pods, with what is still free on it."""

    name: str
    labels: dict[str, str]
    taints: tuple[Taint, ...]
    open: bool
    """Ready, and not cordoned."""
    free_cpu_millis: int
    free_memory_bytes: int
    free_pods: int


def after(place: Place, pods: Iterable[PodShape]) -> Place:
    """The place with these pods on it."""
    shapes = list(pods)
    return place.model_copy(
        update={
            "free_cpu_millis": place.free_cpu_millis - sum(shape.cpu_millis for shape in shapes),
            "free_memory_bytes": place.free_memory_bytes - sum(shape.memory_bytes for shape in shapes),
            "free_pods": place.free_pods - len(shapes),
        }
    )


def _obstacle(pod: PodShape, place: Place) -> str | None:
    """Why the pod cannot run there, None when it can."""
    labels = {**place.labels, "metadata.name": place.name}
    if any(labels.get(key) != value for key, value in pod.node_selector.items()):
        return "node selector"
    if pod.terms and not any(all(_holds(one, labels) for one in term) for term in pod.terms):
        return "node affinity"
    hard = [taint for taint in place.taints if taint.effect in {"NoSchedule", "NoExecute"}]
    if any(not any(toleration.tolerates(taint) for toleration in pod.tolerations) for taint in hard):
        return "taint"
    if not place.open:
        return "cordoned or not Ready"
    short = (
        ("cpu", pod.cpu_millis > max(0, place.free_cpu_millis)),
        ("memory", pod.memory_bytes > max(0, place.free_memory_bytes)),
        ("number of pods", place.free_pods < 1),
    )
    return next((name for name, missing in short if missing), None)


def _holds(requirement: Requirement, labels: dict[str, str]) -> bool:
    """An operator that we do not know (`Gt`, `Lt`) counts as met: we are not sure."""
    return requirement.operator not in _KNOWN or requirement.matches(labels)


def no_place(pod: PodShape, others: Sequence[Place]) -> str | None:
    """None when the pod could run on one of the other nodes, else what stands against it, and on how many."""
    obstacles = [_obstacle(pod, place) for place in others]
    if any(obstacle is None for obstacle in obstacles):
        return None
    counted = Counter(obstacle for obstacle in obstacles if obstacle is not None)
    why = ", ".join(f"{name} on {count}" for name, count in sorted(counted.items()))
    return f"no-place: it fits on no other node ({why or 'there is none'})"
