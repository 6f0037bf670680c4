"""The few fields of Kubernetes objects that the kit reads."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class KubeObject(BaseModel):
    """Camel case outside, snake case inside; unknown fields are left aside."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class Owner(KubeObject):
    """An owner reference."""

    kind: str
    name: str
    controller: bool = False


class Metadata(KubeObject):
    """Object metadata."""

    name: str
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: list[Owner] = []
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: float | None = None


class Condition(KubeObject):
    """A condition of a node or a pod."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_heartbeat_time: datetime | None = None
    last_transition_time: datetime | None = None


class Variable(KubeObject):
    """An environment variable with a plain value."""

    name: str
    value: str = ""


class Capabilities(KubeObject):
    """What a container adds to the default set and drops from it."""

    add: list[str] = []
    drop: list[str] = []


class SecurityContext(KubeObject):
    """A container's security context."""

    privileged: bool = False
    allow_privilege_escalation: bool = True
    run_as_user: int | None = None
    capabilities: Capabilities = Capabilities()


class Container(KubeObject):
    """A container of a pod's specification."""

    name: str
    image: str = ""
    command: list[str] = []
    args: list[str] = []
    env: list[Variable] = []
    security_context: SecurityContext = SecurityContext()


class PodSpec(KubeObject):
    """A pod's specification."""

    node_name: str = ""
    host_pid: bool = Field(default=False, alias="hostPID")
    restart_policy: str = "Always"
    containers: list[Container] = []


class Terminated(KubeObject):
    """How a container ended."""

    exit_code: int
    reason: str = ""


class ContainerState(KubeObject):
    """A container's state, as far as it has ended."""

    terminated: Terminated | None = None


class ContainerStatus(KubeObject):
    """A container's status."""

    name: str
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()


class PodStatus(KubeObject):
    """A pod's status."""

    phase: str = "Pending"
    conditions: list[Condition] = []
    container_statuses: list[ContainerStatus] = []


class Pod(KubeObject):
    """A pod."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ready(self) -> bool:
        """Whether it is Ready and not about to go."""
        ready = any(c.type == "Ready" and c.status == "True" for c in self.status.conditions)
        return ready and self.metadata.deletion_timestamp is None

    @property
    def exit_code(self) -> int | None:
        """The first container's exit code, once it has ended."""
        ended = [s.state.terminated.exit_code for s in self.status.container_statuses if s.state.terminated]
        return ended[0] if ended else None


class Taint(KubeObject):
    """A taint of a node."""

    key: str
    effect: str


class NodeSpec(KubeObject):
    """A node's specification."""

    unschedulable: bool = False
    taints: list[Taint] = []


class NodeInfo(KubeObject):
    """What a kubelet says of its machine."""

    boot_id: str = Field(default="", alias="bootID")
    kernel_version: str = ""


class NodeStatus(KubeObject):
    """A node's status."""

    conditions: list[Condition] = []
    node_info: NodeInfo = NodeInfo()


class Node(KubeObject):
    """A node."""

    metadata: Metadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    def condition(self, kind: str) -> Condition | None:
        """The condition of a type, if the node has it."""
        return next((c for c in self.status.conditions if c.type == kind), None)

    @property
    def ready(self) -> bool:
        """Whether the condition Ready is True."""
        found = self.condition("Ready")
        return found is not None and found.status == "True"


class LabelSelector(KubeObject):
    """A selector by labels."""

    match_labels: dict[str, str] = {}


class BudgetSpec(KubeObject):
    """A PDB's specification."""

    selector: LabelSelector = LabelSelector()


class BudgetStatus(KubeObject):
    """A PDB's status."""

    current_healthy: int = 0
    desired_healthy: int = 0
    disruptions_allowed: int = 0


class Budget(KubeObject):
    """A PDB."""

    metadata: Metadata
    spec: BudgetSpec = BudgetSpec()
    status: BudgetStatus = BudgetStatus()
