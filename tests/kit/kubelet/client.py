"""An API client for the background loop. It keeps trying while the API server is away, as kubelets do."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING

import aiohttp
from pydantic import ConfigDict, Field

from tests.kit.api import MERGE_PATCH, Api, JsonObject, tls_context
from tests.kit.objects import KubeObject

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PAUSE_SECONDS = 0.2
_LARGEST_LINE = 2**22
"""A watch sends an object per line; etcd keeps none above 1.5 MiB."""
_LOST = (aiohttp.ClientError, TimeoutError, OSError)


class Identity(KubeObject):
    """Enough of any object to know it again."""

    uid: str = ""
    resource_version: str = ""


class Item(KubeObject):
    """Any object: its identity, and all else as it came."""

    model_config = ConfigDict(extra="allow")
    metadata: Identity


class _ListPage(KubeObject):
    metadata: Identity
    items: list[JsonObject]


class _WatchLine(KubeObject):
    type: str
    object: JsonObject


class Change(KubeObject):
    """A change of a watched list. `LISTED` comes at the end of a new list: what is not among `uids` is gone."""

    type: str
    object: JsonObject = Field(default_factory=dict)
    uids: frozenset[str] = frozenset()


class KubeletClient:
    """One API server, with the credentials of an `Api`."""

    def __init__(self, api: Api) -> None:
        self._server = api.server
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls_context(api.authority), limit=60),
            headers={"Authorization": f"Bearer {api.token}"},
            timeout=aiohttp.ClientTimeout(total=10),
            read_bufsize=_LARGEST_LINE,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def call(self, method: str, path: str, body: JsonObject | None = None, kind: str = "application/json") -> int:
        """The HTTP status of a request, tried until the server gives a definite answer."""
        data = json.dumps(body) if body is not None else None
        while True:
            with suppress(*_LOST):
                async with self._session.request(
                    method, self._server + path, data=data, headers={"Content-Type": kind}
                ) as response:
                    await response.read()
                    if response.status < 500 and response.status != 429:
                        return response.status
            await asyncio.sleep(_PAUSE_SECONDS)

    async def renew_lease(self, name: str, spec: JsonObject) -> None:
        """Write a node's lease, a new one if there is none."""
        leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        if await self.call("PATCH", f"{leases}/{name}", {"spec": spec}, MERGE_PATCH) == 404:
            await self.call("POST", leases, {"metadata": {"name": name}, "spec": spec})

    async def watch(self, path: str) -> AsyncIterator[Change]:
        """All objects of a list and then their changes, for ever. After a lost connection it begins anew."""
        while True:
            try:
                async for change in self._watch_once(path):
                    yield change
            except _LOST:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _watch_once(self, path: str) -> AsyncIterator[Change]:
        async with self._session.get(self._server + path, raise_for_status=True) as response:
            page = _ListPage.model_validate_json(await response.read())
        for item in page.items:
            yield Change(type="ADDED", object=item)
        yield Change(type="LISTED", uids=frozenset(Item.model_validate(i).metadata.uid for i in page.items))
        query = f"?watch=1&allowWatchBookmarks=1&resourceVersion={page.metadata.resource_version}"
        forever = aiohttp.ClientTimeout(total=None, sock_connect=5)
        async with self._session.get(self._server + path + query, timeout=forever, raise_for_status=True) as response:
            async for line in response.content:
                found = _WatchLine.model_validate_json(line)
                if found.type == "ERROR":
                    return
                if found.type != "BOOKMARK":
                    yield Change(type=found.type, object=found.object)
