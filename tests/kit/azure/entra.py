"""How AKS clusters with Entra ID are entered: a kubeconfig without secrets, and a webhook that knows the tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import yaml
from aiohttp import web


def exec_kubeconfig(text: str) -> str:
    """A kubeconfig as `listClusterUserCredential?format=exec` gives it: an exec plugin in place of each credential.

    The plugin is not there: who needs it fails.
    """
    config = yaml.safe_load(text)
    plugin = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "no-kubelogin-here", "args": []}
    config["users"] = [{"name": user["name"], "user": {"exec": plugin}} for user in config["users"]]
    return yaml.safe_dump(config)


def webhook_kubeconfig(server: str) -> str:
    """What an API server reads to find the webhook (`--authentication-token-webhook-config-file`)."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "webhook",
        "clusters": [{"name": "webhook", "cluster": {"server": server}}],
        "users": [{"name": "apiserver", "user": {}}],
        "contexts": [{"name": "webhook", "context": {"cluster": "webhook", "user": "apiserver"}}],
    }
    return yaml.safe_dump(content)


@asynccontextmanager
async def token_webhook(whose: Callable[[str], str | None], group: str) -> AsyncIterator[tuple[str, list[str]]]:
    """A token webhook (`authentication.k8s.io/v1` TokenReview) on a free port of loopback.

    Args:
        whose: the user of a token; None: nobody's.
        group: the users' group.

    Returns:
        Its URL, and the tokens that it was asked about, in order, as they come.
    """
    asked: list[str] = []

    async def review(request: web.Request) -> web.Response:
        body = await request.json()
        token = str(body["spec"]["token"])
        asked.append(token)
        user = whose(token)
        known = {"username": user, "groups": [group]}
        status = {"authenticated": True, "user": known} if user else {"authenticated": False}
        return web.json_response({"apiVersion": body["apiVersion"], "kind": "TokenReview", "status": status})

    app = web.Application()
    app.router.add_post("/", review)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", asked
    finally:
        await runner.cleanup()
