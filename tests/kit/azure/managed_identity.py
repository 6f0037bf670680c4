"""A managed-identity endpoint as App Service has it: `IDENTITY_ENDPOINT` with the header `X-IDENTITY-HEADER`."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

HEADER = "secret-of-the-platform"


@dataclass
class ManagedIdentityEndpoint:
    """What it gives, and what it was asked.

    Attributes:
        lifetime: seconds that a token lives.
        failures: answers to give instead of tokens, first to last: HTTP status and text.
        resources: what tokens were asked for, in order.
        client_ids: the identities that were asked for, in order.
        storage: it gives tokens that Azurite takes (`--oauth basic`), which looks at their claims alone.
        issued: the tokens that it gave, and when, in Unix seconds.
    """

    lifetime: int = 3600
    failures: list[tuple[int, str]] = field(default_factory=list)
    resources: list[str] = field(default_factory=list)
    client_ids: list[str | None] = field(default_factory=list)
    storage: bool = False
    issued: dict[str, float] = field(default_factory=dict)
    url: str = ""

    @property
    def env(self) -> dict[str, str]:
        """The environment that the platform gives an app."""
        return {"IDENTITY_ENDPOINT": self.url, "IDENTITY_HEADER": HEADER}

    async def answer(self, request: web.Request) -> web.Response:
        """Give a token, or the next failure."""
        if request.headers.get("X-IDENTITY-HEADER") != HEADER:
            return web.json_response({"statusCode": 401, "message": "wrong X-IDENTITY-HEADER"}, status=401)
        resource = request.query["resource"]
        self.resources.append(resource)
        self.client_ids.append(request.query.get("client_id"))
        if self.failures:
            status, text = self.failures.pop(0)
            return web.json_response({"statusCode": status, "message": text}, status=status)
        token = storage_token(self.lifetime) if self.storage else f"token-{len(self.resources)}"
        self.issued[token] = time.time()
        expires = str(int(time.time()) + self.lifetime)
        body = {"access_token": token, "expires_on": expires, "resource": resource, "token_type": "Bearer"}
        return web.json_response(body)


def storage_token(lifetime: int) -> str:
    """A token for storage, as Entra ID would give it but for the signature."""
    now = int(time.time())
    issuer = "https://sts.windows.net/00000000-0000-0000-0000-000000000000/"
    claims = {"aud": "https://storage.azure.com", "iss": issuer, "nbf": now, "iat": now, "exp": now + lifetime}
    parts = [json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (*parts, b"unsigned"))


@asynccontextmanager
async def managed_identity_endpoint() -> AsyncIterator[ManagedIdentityEndpoint]:
    """An endpoint on a free port of loopback, stopped at the end."""
    endpoint = ManagedIdentityEndpoint()
    app = web.Application()
    app.router.add_get("/msi/token", endpoint.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/msi/token"
        yield endpoint
    finally:
        await runner.cleanup()
