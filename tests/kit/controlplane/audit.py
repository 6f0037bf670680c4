"""The audit log of the API server: who used which verb on what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from pathlib import Path

SILENT = ["system:kube-controller-manager", "system:kube-scheduler", "system:apiserver", "kit"]
"""Users that are not recorded: they are not under test, and they are chatty."""

POLICY: dict[str, object] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": SILENT},
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "Metadata"},
    ],
}


class _Record(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True)


class _User(_Record):
    username: str = ""


class _Object(_Record):
    api_group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


class _Status(_Record):
    code: int = 0


class _Entry(_Record):
    verb: str
    stage: str
    request_uri: str = Field(default="", alias="requestURI")
    user: _User = _User()
    object_ref: _Object = _Object()
    response_status: _Status = _Status()


class AuditEvent(BaseModel, frozen=True):
    """One request that the API server answered; `group` is empty for the core group, `code` is the HTTP status."""

    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    path: str


def size(log: Path) -> int:
    """The length of the log in bytes: where later events begin."""
    return log.stat().st_size if log.exists() else 0


def read(log: Path, user: str, *, start: int = 0) -> list[AuditEvent]:
    """The requests of a user from a place of the log on, oldest first.

    A watch has one record when it starts and one when it ends.
    """
    lines = log.read_bytes()[start:].decode().splitlines() if log.exists() else []
    entries = [_Entry.model_validate_json(line) for line in lines if f'"{user}"' in line]
    return [_event(entry) for entry in entries if entry.user.username == user]


def _event(entry: _Entry) -> AuditEvent:
    target = entry.object_ref
    return AuditEvent(
        verb=entry.verb,
        group=target.api_group,
        resource=target.resource,
        subresource=target.subresource,
        namespace=target.namespace,
        name=target.name,
        code=entry.response_status.code,
        path=entry.request_uri,
    )
