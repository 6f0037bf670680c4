"""What a cluster must have for a run: namespace, room for the reboot pod, the detector. Changes nothing."""

from __future__ import annotations

from pydantic import Field

from midwatch.domain.doctor.cluster import ENFORCE, Admission, NamespaceState
from midwatch.domain.doctor.detector import DAEMON_SET, DetectorState
from midwatch.domain.lease import NAMESPACE
from midwatch.domain.policy import RebootPolicy
from midwatch.kube.client import KubeClient
from midwatch.kube.errors import AlreadyExists, ApiError, NotFound, TransientApiError
from midwatch.kube.objects import ApiObject, Meta
from midwatch.kube.pod_objects import Pod
from midwatch.kube.reboot_pods import reboot_pod

_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_OTHER_NPD = "app.kubernetes.io/name=node-problem-detector"
"""The label of the Helm chart `deliveryhero/node-problem-detector`."""
_REBOOT_PODS = "app.kubernetes.io/name=midwatch-reboot"
_RUN = "doctor"
_NO_NODE = "no-node"


class _Namespace(ApiObject):
    metadata: Meta


class _DaemonStatus(ApiObject):
    desired_number_scheduled: int = 0
    number_ready: int = 0


class _DaemonSet(ApiObject):
    metadata: Meta
    status: _DaemonStatus = Field(default_factory=_DaemonStatus)


async def read_namespace(client: KubeClient) -> NamespaceState:
    """Our namespace. Raises Forbidden with the rights of a run, which are not enough."""
    try:
        found = _Namespace.read(await client.get(f"/api/v1/namespaces/{NAMESPACE}"))
    except NotFound:
        return NamespaceState(exists=False)
    return NamespaceState(exists=True, level=found.metadata.labels.get(ENFORCE))


async def try_reboot_pod(client: KubeClient, policy: RebootPolicy, node: str | None) -> Admission:
    """What the API server would say to the reboot pod. A server-side dry run: no pod comes about.

    Args:
        client: the cluster.
        policy: which pod it is.
        node: one that is there; None where there is none.

    Raises:
        TransientError: no decision.
    """
    pod = reboot_pod(_RUN, node or _NO_NODE, "none", policy.method, policy.image)
    try:
        await client.create(_PODS, pod, params={"dryRun": "All"})
    except AlreadyExists:
        return Admission(status=201)
    except TransientApiError:
        raise
    except ApiError as error:
        return Admission(status=error.status, message=error.message)
    return Admission(status=201)


async def read_detector(client: KubeClient) -> DetectorState:
    """The detector's DaemonSet; where there is none of ours, the pods of the Helm chart's."""
    try:
        found = _DaemonSet.read(await client.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/{DAEMON_SET}"))
    except NotFound:
        listed = await client.list("/api/v1/pods", label_selector=_OTHER_NPD)
        others = [Pod.read(item).view() for item in listed.items]
        return DetectorState(others=len(others), others_ready=sum(pod.ready for pod in others))
    status = found.status
    return DetectorState(daemon_set=DAEMON_SET, desired=status.desired_number_scheduled, ready=status.number_ready)


async def list_reboot_pods(client: KubeClient) -> tuple[str, ...]:
    """The names of the reboot pods that there are."""
    listed = await client.list(_PODS, label_selector=_REBOOT_PODS)
    return tuple(Pod.read(item).view().name for item in listed.items)
