"""Volumes that are attached to a node."""

from __future__ import annotations

from collections.abc import Iterable

from midwatch.domain.pods import PodView
from midwatch.kube.client import KubeClient
from midwatch.kube.errors import NotFound
from midwatch.kube.objects import ApiObject, Meta

_ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"


class _Source(ApiObject):
    persistent_volume_name: str = ""


class _AttachmentSpec(ApiObject):
    node_name: str = ""
    source: _Source = _Source()


class _Attachment(ApiObject):
    metadata: Meta
    spec: _AttachmentSpec = _AttachmentSpec()


class _ClaimSpec(ApiObject):
    volume_name: str = ""


class _Claim(ApiObject):
    metadata: Meta
    spec: _ClaimSpec = _ClaimSpec()


async def attached_volumes(client: KubeClient, node: str, staying: Iterable[PodView]) -> list[str]:
    """The PersistentVolumes that are attached to the node, without those of pods that stay on it. Sorted.

    The API has no selector by node for attachments: all of the cluster are read, in pages.
    """
    found = [_Attachment.read(item) for item in (await client.list(_ATTACHMENTS)).items]
    names = {one.spec.source.persistent_volume_name or one.metadata.name for one in found if one.spec.node_name == node}
    for namespace, claim in sorted({(pod.namespace, claim) for pod in staying for claim in pod.claims}):
        if not names:
            break
        try:
            path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}"
            names.discard(_Claim.read(await client.get(path)).spec.volume_name)
        except NotFound:
            continue
    return sorted(names)
