"""One client a cluster, kept open: connections and tokens outlive the activity that needed them first."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from midwatch.domain.clusters import ClusterRef
from midwatch.domain.errors import PermanentError
from midwatch.kube.client import KubeClient, open_client
from midwatch.kube.kubeconfig import Connection, Kubeconfig


@dataclass(frozen=True, slots=True)
class _Open:
    connection: Connection
    client: KubeClient
    stack: AsyncExitStack


class ClientPool:
    """The clients of this process, for the one event loop that runs the activities.

    The kubeconfig is read anew for each request for a client: a changed server or credential opens a new one.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._open: dict[str, _Open] = {}
        self._retired: dict[str, _Open] = {}
        self._lock: asyncio.Lock | None = None
        self._read: tuple[tuple[tuple[str, float], ...], Kubeconfig] | None = None

    def contexts(self) -> list[str]:
        """The contexts of the kubeconfig. Raises UsageError."""
        return self._kubeconfig().contexts

    def server(self, context: str) -> str:
        """Where a context leads. Raises UsageError."""
        return self._kubeconfig().connection(context).server

    def connection(self, context: str) -> Connection:
        """How to reach the cluster of a context. Raises UsageError."""
        return self._kubeconfig().connection(context)

    async def client(self, cluster: ClusterRef) -> KubeClient:
        """The client of a cluster.

        Raises:
            UsageError: the kubeconfig cannot be read, or does not give usable credentials for the context.
            PermanentError: `other-cluster`, the context leads elsewhere than when the run began.
        """
        connection = self._kubeconfig().connection(cluster.context)
        if cluster.server and connection.server != cluster.server:
            text = f"context {cluster.context!r} leads to {connection.server} now, and this began at {cluster.server}"
            raise PermanentError("other-cluster", text)
        if self._lock is None:
            self._lock = asyncio.Lock()
        async with self._lock:
            known = self._open.get(cluster.context)
            if known is not None and known.connection == connection:
                return known.client
            if known is not None:
                await self._retire(cluster.context)
            stack = AsyncExitStack()
            client = await stack.enter_async_context(open_client(connection))
            self._open[cluster.context] = _Open(connection, client, stack)
            return client

    async def close(self) -> None:
        """Close every client."""
        for known in (*self._open.values(), *self._retired.values()):
            await known.stack.aclose()
        self._open.clear()
        self._retired.clear()

    async def _retire(self, context: str) -> None:
        """Put a client aside that activities may still be using, and close the one that was put aside before it."""
        before = self._retired.pop(context, None)
        self._retired[context] = self._open.pop(context)
        if before is not None:
            await before.stack.aclose()

    def _kubeconfig(self) -> Kubeconfig:
        """The kubeconfig, parsed again only when a file of it has changed."""
        listed = [part for part in self._env.get("KUBECONFIG", "").split(os.pathsep) if part]
        paths = [Path(part) for part in listed] or [Path(self._env.get("HOME") or Path.home()) / ".kube" / "config"]
        stamp = tuple((str(path), path.stat().st_mtime) for path in paths if path.exists())
        if self._read is None or self._read[0] != stamp or not stamp:
            self._read = (stamp, Kubeconfig.load(None, self._env))
        return self._read[1]
