"""A small Azure Resource Manager: clusters and fleet members in pages, Resource Graph, and failures on demand."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.kit.api import JsonObject


@dataclass
class FakeArm:
    """What it holds, and what it was asked.

    Attributes:
        clusters: the clusters, by ID.
        kubeconfigs: what users of a cluster get, by the cluster's ID.
        members: the fleet's members: ID of the cluster and update group.
        page: items in a page.
        failures: answers to give first: HTTP status, code, headers.
        cut: Resource Graph says that it cut the answer and names no next page.
        asked: method and path of each request.
        queries: what Resource Graph was asked.
        tokens: the Authorization headers.
    """

    clusters: dict[str, JsonObject] = field(default_factory=dict)
    kubeconfigs: dict[str, str] = field(default_factory=dict)
    members: list[tuple[str, str]] = field(default_factory=list)
    page: int = 2
    failures: list[tuple[int, str, dict[str, str]]] = field(default_factory=list)
    cut: bool = False
    asked: list[str] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        """Answer like ARM."""
        self.asked.append(f"{request.method} {request.path}")
        self.tokens.add(request.headers.get("Authorization", ""))
        if self.failures:
            status, code, headers = self.failures.pop(0)
            body = {"error": {"code": code, "message": f"{code} happened"}}
            return web.json_response(body, status=status, headers=headers)
        path = request.path.lower()
        if path.endswith("/resources"):
            return await self._graph(request)
        if path.endswith("/members"):
            items: list[JsonObject] = [
                {"name": cluster.rsplit("/", 1)[1], "properties": {"clusterResourceId": cluster, "group": group}}
                for cluster, group in self.members
            ]
            return self._paged(request, items)
        if path.endswith("/managedclusters"):
            scope = path.split("/providers/")[0] + "/"
            return self._paged(request, [c for key, c in self.clusters.items() if key.lower().startswith(scope)])
        return self._cluster(request)

    def _cluster(self, request: web.Request) -> web.Response:
        path = request.path.lower()
        if path.endswith("/listclusterusercredential"):
            return self._credentials(path.removesuffix("/listclusterusercredential"))
        one = {key.lower(): cluster for key, cluster in self.clusters.items()}.get(path)
        if one is None:
            missing = {"error": {"code": "ResourceNotFound", "message": f"{request.path} was not found"}}
            return web.json_response(missing, status=404)
        return web.json_response(one)

    def _credentials(self, cluster: str) -> web.Response:
        text = {key.lower(): text for key, text in self.kubeconfigs.items()}[cluster]
        value = base64.b64encode(text.encode()).decode()
        return web.json_response({"kubeconfigs": [{"name": "clusterUser", "value": value}]})

    def _paged(self, request: web.Request, items: list[JsonObject]) -> web.Response:
        start = int(request.query.get("start", "0"))
        body: dict[str, object] = {"value": items[start : start + self.page]}
        if start + self.page < len(items):
            version = request.query["api-version"]
            body["nextLink"] = f"{self.url}{request.path}?api-version={version}&start={start + self.page}"
        return web.json_response(body)

    async def _graph(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.queries.append(asked["query"])
        start = int(asked["options"].get("$skipToken", "0"))
        rows = [{"id": key} for key in self.clusters]
        part = rows[start : start + self.page]
        more = start + self.page < len(rows)
        body = {"totalRecords": len(rows), "count": len(part), "data": part, "facets": []}
        body["resultTruncated"] = "true" if more or self.cut else "false"
        if more:
            body["$skipToken"] = str(start + self.page)
        return web.json_response(body)


@asynccontextmanager
async def fake_arm() -> AsyncIterator[FakeArm]:
    """An ARM on a free port of loopback, stopped at the end."""
    arm = FakeArm()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", arm.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        arm.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield arm
    finally:
        await runner.cleanup()
