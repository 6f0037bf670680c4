"""`midwatch discover`: what Azure knows of clusters, and what speaks against patching them. Changes nothing."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from midwatch.azure.account import AzureAccount
from midwatch.azure.sources import Sources, find
from midwatch.cli.consoles import PROGRESS, RESULT
from midwatch.cli.options import Output, OutputFormat
from midwatch.domain.discovered import DiscoveredCluster
from midwatch.domain.errors import UsageError
from midwatch.domain.resource_ids import AksId, FleetId, check_group, check_subscription

Ids = Annotated[list[str] | None, typer.Option("--id", metavar="ID", help="An AKS resource ID; may be repeated.")]
Subscriptions = Annotated[
    list[str] | None, typer.Option("--subscription", metavar="GUID", help="A subscription; may be repeated.")
]
Groups = Annotated[
    list[str] | None,
    typer.Option("--resource-group", "-g", metavar="NAME", help="Only this group of it; may be repeated."),
]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="Only with this tag; may be repeated.")
]
Fleets = Annotated[
    list[str] | None, typer.Option("--fleet", metavar="ID", help="The members of a Fleet Manager; may be repeated.")
]


def discover(
    cluster: Ids = None,
    subscription: Subscriptions = None,
    resource_group: Groups = None,
    tag: Tags = None,
    fleet: Fleets = None,
    output: OutputFormat = Output.TABLE,
) -> None:
    """List AKS clusters with what a run would mind: state, sign-in, network, node OS channel. Changes nothing."""
    sources = _sources(cluster or [], subscription or [], resource_group or [], tag or [], fleet or [])
    found = asyncio.run(_find(sources))
    if output is Output.JSON:
        typer.echo(json.dumps([_document(one) for one in found], indent=2))
    elif found:
        RESULT.print(_table(found))
    else:
        PROGRESS.print("no clusters, or none that this identity may see", highlight=False)


async def _find(sources: Sources) -> list[DiscoveredCluster]:
    async with AzureAccount(os.environ) as azure:
        await azure.discovery.sign_in()
        return await find(azure.discovery, sources)


def _sources(
    ids: list[str], subscriptions: list[str], groups: list[str], tags: list[str], fleets: list[str]
) -> Sources:
    if (groups or tags) and not subscriptions:
        raise UsageError("no-source", "--resource-group and --tag need a --subscription")
    if not (ids or subscriptions or fleets):
        raise UsageError("no-source", "nowhere to look: give --subscription, --id or --fleet")
    try:
        return Sources(
            ids=tuple(AksId.parse(text) for text in ids),
            subscriptions=tuple(check_subscription(text) for text in subscriptions),
            groups=tuple(check_group(text) for text in groups),
            tags=tuple(_tag(text) for text in tags),
            fleets=tuple(FleetId.parse(text) for text in fleets),
        )
    except ValueError as error:
        raise UsageError("bad-source", str(error)) from None


def _tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise ValueError(f"--tag {text!r} is not of the form KEY=VALUE")
    return key, value


def _notes(cluster: DiscoveredCluster) -> list[str]:
    """What a run would mind, the gravest first."""
    notes = [cluster.skip_reason(), None if cluster.entra else "people and programs do not sign in with Entra ID"]
    if cluster.private:
        notes.append("its API server has a private address only: Midwatch must run in a network that reaches it")
    notes.append(cluster.channel_warning())
    return [note for note in notes if note]


def _table(found: list[DiscoveredCluster]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in ("CLUSTER", "GROUP", "LOCATION", "POWER", "STATE", "OS CHANNEL"):
        table.add_column(head, overflow="fold")
    table.add_column("TO KNOW", overflow="fold", ratio=1)
    for one in found:
        colour = "red" if one.skip_reason() else ""
        state = (Text(one.power or "?", style=colour), Text(one.provisioning or "?", style=colour))
        words = (one.id.name, one.id.group, one.location)
        table.add_row(*(Text(word) for word in words), *state, one.channel or "none", Text("; ".join(_notes(one))))
    return table


def _document(cluster: DiscoveredCluster) -> dict[str, object]:
    return {
        "id": str(cluster.id),
        "name": cluster.id.name,
        "location": cluster.location,
        "tags": dict(cluster.tags),
        "power": cluster.power or None,
        "provisioningState": cluster.provisioning or None,
        "entra": cluster.entra,
        "private": cluster.private,
        "nodeOSUpgradeChannel": cluster.channel,
        "skipReason": cluster.skip_reason(),
        "notes": _notes(cluster),
    }
