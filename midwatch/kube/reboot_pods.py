"""The pod that reboots its node.

A bare pod, never a Job, which would reboot in a loop. It compares the boot ID first, so a second start does nothing.
The signal form has one capability: systemd reboots on SIGRTMIN+5 (39) to PID 1 (systemd(1), "Signals").
"""

from __future__ import annotations

from midwatch.domain import ids
from midwatch.domain.base import Message
from midwatch.domain.lease import NAMESPACE
from midwatch.domain.policy import RebootMethod
from midwatch.kube.client import JsonObject, KubeClient
from midwatch.kube.errors import AlreadyExists, NotFound
from midwatch.kube.objects import RUN
from midwatch.kube.pod_objects import Pod

_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
WRONG_BOOT = 3
"""Exit code of a reboot pod that found another boot ID than it was made for, and did nothing."""
_GUARD = f'[ "$(cat /proc/sys/kernel/random/boot_id)" = "$BOOT_ID" ] || exit {WRONG_BOOT}; '
_COMMANDS = {
    RebootMethod.SIGNAL: _GUARD + "kill -39 1",
    RebootMethod.COMMAND: _GUARD + "nsenter -m/proc/1/ns/mnt -- /bin/systemctl reboot",
}
_LONGEST_TEXT = 200
_KILLED = 128
"""Exit codes from here on say that the container was killed, as the shutdown itself does."""


class RebootPodState(Message):
    """What became of the reboot pod: `stuck` when it cannot start, `failed` when its command said no."""

    stuck: str | None = None
    failed: str | None = None


def reboot_pod(run: str, node: str, boot_id: str, method: RebootMethod, image: str) -> JsonObject:
    """The manifest. `docs/security.md` gives the reason of each field of its security context."""
    privileged = method is RebootMethod.COMMAND
    security: JsonObject = {"privileged": True, "runAsUser": 0, "readOnlyRootFilesystem": True}
    if not privileged:
        security = {
            "runAsUser": 0,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["KILL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
            "appArmorProfile": {"type": "Unconfined"},
        }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": ids.reboot_pod(run, node),
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/name": "midwatch-reboot", "app.kubernetes.io/managed-by": "midwatch"},
            "annotations": {RUN: run},
        },
        "spec": {
            "nodeName": node,
            "hostPID": True,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "priorityClassName": "system-node-critical",
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": "reboot",
                    "image": image,
                    "command": ["/bin/sh", "-c", _COMMANDS[method]],
                    "env": [{"name": "BOOT_ID", "value": boot_id}],
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "16Mi"},
                        "limits": {"memory": "32Mi"},
                    },
                    "securityContext": security,
                }
            ],
        },
    }


async def start_reboot_pod(client: KubeClient, pod: JsonObject) -> None:
    """Create the pod; one of that name that is already there is the same."""
    try:
        await client.create(_PODS, pod)
    except AlreadyExists:
        return


async def has_reboot_pod(client: KubeClient, run: str, node: str) -> bool:
    """Whether the pod was created."""
    try:
        await client.get(f"{_PODS}/{ids.reboot_pod(run, node)}")
    except NotFound:
        return False
    return True


async def read_reboot_pod(client: KubeClient, run: str, node: str) -> RebootPodState:
    """Whether the pod is stuck or has failed. After the reboot its state means nothing: ask only before."""
    try:
        pod = Pod.read(await client.get(f"{_PODS}/{ids.reboot_pod(run, node)}"))
    except NotFound:
        return RebootPodState(stuck="the reboot pod is gone")
    for status in pod.status.container_statuses:
        if (ended := status.state.terminated) is not None and 0 < ended.exit_code < _KILLED:
            text = f"the reboot pod ended with exit code {ended.exit_code} {ended.reason} {ended.message}"
            return RebootPodState(failed=" ".join(text.split()))
        if (waiting := status.state.waiting) is not None and waiting.reason:
            return RebootPodState(stuck=" ".join(f"{waiting.reason} {waiting.message}".split())[:_LONGEST_TEXT])
    if pod.status.phase == "Failed":  # the kubelet refused it: OutOfpods, an admission plugin of the node
        text = f"the node refused the reboot pod: {pod.status.reason} {pod.status.message}"
        return RebootPodState(failed=" ".join(text.split())[:_LONGEST_TEXT])
    return RebootPodState(stuck="the reboot pod has not started" if pod.status.phase == "Pending" else None)


async def delete_reboot_pod(client: KubeClient, run: str, node: str) -> None:
    """Delete the pod at once; none is as good."""
    try:
        await client.delete(f"{_PODS}/{ids.reboot_pod(run, node)}", grace_period_seconds=0)
    except NotFound:
        return
