"""Kubeconfig files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel

if TYPE_CHECKING:
    from pathlib import Path


class Access(BaseModel, frozen=True):
    """One context: its name, the server, its authority (base64), and the fields of the user's entry."""

    context: str
    server: str
    authority: str
    credentials: dict[str, str]


def write(path: Path, *accesses: Access) -> Path:
    """Write one kubeconfig with a context per access; the first is the current one."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": accesses[0].context,
        "clusters": [
            {"name": a.context, "cluster": {"server": a.server, "certificate-authority-data": a.authority}}
            for a in accesses
        ],
        "users": [{"name": f"user@{a.context}", "user": dict(a.credentials)} for a in accesses],
        "contexts": [
            {"name": a.context, "context": {"cluster": a.context, "user": f"user@{a.context}"}} for a in accesses
        ],
    }
    path.write_text(yaml.safe_dump(content))
    path.chmod(0o600)
    return path
