"""Asking the API server who we are and what we may do. Reviews are answered, and never stored."""

from __future__ import annotations

from pydantic import Field

from midwatch.domain.doctor.rights import Answered, WhoAmI
from midwatch.domain.permissions import Permission
from midwatch.kube.client import JsonObject, KubeClient
from midwatch.kube.objects import ApiObject

_WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_MAY = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class _UserInfo(ApiObject):
    username: str
    groups: list[str] = Field(default_factory=list)


class _WhoStatus(ApiObject):
    user_info: _UserInfo


class _SelfSubjectReview(ApiObject):
    status: _WhoStatus


class _MayStatus(ApiObject):
    allowed: bool
    reason: str = ""
    evaluation_error: str = ""


class _SelfSubjectAccessReview(ApiObject):
    status: _MayStatus


async def who_am_i(client: KubeClient) -> WhoAmI:
    """As whom the API server knows us (SelfSubjectReview, Kubernetes 1.28)."""
    body: JsonObject = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    user = _SelfSubjectReview.read(await client.create(_WHO, body)).status.user_info
    return WhoAmI(username=user.username, groups=tuple(user.groups))


async def may(client: KubeClient, permission: Permission) -> Answered:
    """Whether we may do it (SelfSubjectAccessReview)."""
    resource, _, subresource = permission.resource.partition("/")
    wanted = {
        "namespace": permission.namespace,
        "verb": permission.verb,
        "group": permission.group,
        "resource": resource,
        "subresource": subresource,
        "name": permission.name,
    }
    attributes: JsonObject = {key: value for key, value in wanted.items() if value}
    body: JsonObject = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    status = _SelfSubjectAccessReview.read(await client.create(_MAY, body)).status
    said = status.reason or status.evaluation_error
    return Answered(permission=permission, allowed=status.allowed, reason=" ".join(said.split()))
