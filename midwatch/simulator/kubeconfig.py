"""Kubeconfig files."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Context:
    """How a user reaches a cluster. `ca` is PEM."""

    name: str
    server: str
    ca: str
    token: str


def write_kubeconfig(path: Path, contexts: Iterable[Context]) -> Path:
    """Write one kubeconfig, the first context the current one. It holds tokens: for its owner's eyes alone."""
    listed = list(contexts)
    clusters = [
        {
            "name": c.name,
            "cluster": {"server": c.server, "certificate-authority-data": base64.b64encode(c.ca.encode()).decode()},
        }
        for c in listed
    ]
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": listed[0].name if listed else "",
        "clusters": clusters,
        "users": [{"name": f"user@{c.name}", "user": {"token": c.token}} for c in listed],
        "contexts": [{"name": c.name, "context": {"cluster": c.name, "user": f"user@{c.name}"}} for c in listed],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content))
    return path
