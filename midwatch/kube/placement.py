"""All pods and nodes of a cluster as the look-ahead needs them."""

from __future__ import annotations

from pydantic import Field

from midwatch.domain.placement import Place, PodShape, Taint, Toleration, after
from midwatch.domain.preflight import PlacedPod
from midwatch.domain.selectors import Requirement
from midwatch.kube.client import KubeClient
from midwatch.kube.objects import ApiObject, Node
from midwatch.kube.pod_objects import Pod
from midwatch.kube.quantities import cpu_millis, whole

_PODS = "/api/v1/pods"
_NODES = "/api/v1/nodes"
_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
"""The taint that comes with a cordon; a cordon is told as such."""


class _Resources(ApiObject):
    requests: dict[str, str] = Field(default_factory=dict)


class _Container(ApiObject):
    resources: _Resources = _Resources()


class _Expression(ApiObject):
    key: str
    operator: str
    values: tuple[str, ...] = ()

    def requirement(self) -> Requirement:
        return Requirement(key=self.key, operator=self.operator, values=self.values)


class _Term(ApiObject):
    match_expressions: list[_Expression] = Field(default_factory=list)
    match_fields: list[_Expression] = Field(default_factory=list)


class _Required(ApiObject):
    node_selector_terms: list[_Term] = Field(default_factory=list)


class _NodeAffinity(ApiObject):
    required: _Required = Field(default=_Required(), alias="requiredDuringSchedulingIgnoredDuringExecution")


class _Affinity(ApiObject):
    node_affinity: _NodeAffinity = _NodeAffinity()


class _Toleration(ApiObject):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class _PodSpec(ApiObject):
    node_name: str = ""
    containers: list[_Container] = Field(default_factory=list)
    init_containers: list[_Container] = Field(default_factory=list)
    node_selector: dict[str, str] = Field(default_factory=dict)
    affinity: _Affinity = _Affinity()
    tolerations: list[_Toleration] = Field(default_factory=list)

    def shape(self) -> PodShape:
        """What the pod asks of a node: the sum of its containers, or its largest init container."""
        running = [c.resources.requests for c in self.containers]
        before = [c.resources.requests for c in self.init_containers]
        cpu = [[cpu_millis(requests.get("cpu", "0")) for requests in part] for part in (running, before)]
        memory = [[whole(requests.get("memory", "0")) for requests in part] for part in (running, before)]
        terms = self.affinity.node_affinity.required.node_selector_terms
        return PodShape(
            cpu_millis=max(sum(cpu[0]), max(cpu[1], default=0)),
            memory_bytes=max(sum(memory[0]), max(memory[1], default=0)),
            node_selector=self.node_selector,
            terms=tuple(tuple(e.requirement() for e in (*t.match_expressions, *t.match_fields)) for t in terms),
            tolerations=tuple(Toleration(**dict(one)) for one in self.tolerations),
        )


class _PlacedPod(ApiObject):
    spec: _PodSpec = _PodSpec()


class _Taint(ApiObject):
    key: str
    value: str = ""
    effect: str = ""


class _NodeSpec(ApiObject):
    taints: list[_Taint] = Field(default_factory=list)


class _NodeStatus(ApiObject):
    allocatable: dict[str, str] = Field(default_factory=dict)


class _PlaceNode(ApiObject):
    spec: _NodeSpec = _NodeSpec()
    status: _NodeStatus = _NodeStatus()


async def list_placed(client: KubeClient) -> list[PlacedPod]:
    """All pods of the cluster that are bound to a node, in pages."""
    placed = []
    for item in (await client.list(_PODS)).items:
        spec = _PlacedPod.read(item).spec
        if spec.node_name:
            placed.append(PlacedPod(node=spec.node_name, view=Pod.read(item).view(), shape=spec.shape()))
    return placed


async def list_places(client: KubeClient, placed: list[PlacedPod]) -> list[Place]:
    """All nodes with what these pods leave free on them."""
    by_node: dict[str, list[PodShape]] = {}
    for pod in placed:
        if not pod.view.finished:
            by_node.setdefault(pod.node, []).append(pod.shape)
    places = []
    for item in (await client.list(_NODES)).items:
        view, node = Node.read(item).view(), _PlaceNode.read(item)
        room = node.status.allocatable
        place = Place(
            name=view.name,
            labels=view.labels,
            taints=tuple(Taint(**dict(taint)) for taint in node.spec.taints if taint.key != _UNSCHEDULABLE),
            open=view.ready and not view.unschedulable,
            free_cpu_millis=cpu_millis(room.get("cpu", "0")),
            free_memory_bytes=whole(room.get("memory", "0")),
            free_pods=whole(room.get("pods", "0")),
        )
        places.append(after(place, by_node.get(view.name, ())))
    return places
