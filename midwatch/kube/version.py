"""What the API server says of itself."""

from __future__ import annotations

from midwatch.kube.client import KubeClient


async def server_version(client: KubeClient) -> str | None:
    """The Kubernetes version, such as `v1.36.3`; None when the answer does not say."""
    answer = (await client.get("/version")).get("gitVersion")
    return answer if isinstance(answer, str) else None
