"""Prints docs/policy.md, made from the policy's own field descriptions: `make reference` writes it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from midwatch.domain.cluster_sources import (
    AksCluster,
    ClusterSource,
    FleetSource,
    KubeconfigCluster,
    ResourceGraphSource,
    ResourceGroupSource,
)
from midwatch.domain.drain_policy import DrainRule
from midwatch.domain.durations import format_duration
from midwatch.domain.policy import NOT_YET, Need, Policy

_HEAD = """\
# Policy reference

One YAML file says which nodes are rebooted, how carefully, and when to stop: `--policy FILE`, or the setting
`MIDWATCH_POLICY`. Without one the defaults below hold. A run freezes the policy when it starts.

A key that is not listed here is an error, as is a wrong type: nothing is started, and the message names file, line and
key. Durations are `90s`, `15m`, `6h` or `1h30m`, up to seven days. This page is made from the code (`make reference`).

```yaml
apiVersion: midwatch/v1
clusters:
  - kubeconfig: {context: kind-dev}
nodes: {maxUnavailable: 1}
```
"""


def sections() -> Iterator[str]:
    """The page, part by part."""
    yield _HEAD
    yield _table("The file", Policy)
    yield _table("`clusters[]`", ClusterSource)
    yield _table("`clusters[].kubeconfig`", KubeconfigCluster)
    yield _table("`clusters[].aks`", AksCluster)
    yield _table("`clusters[].resourceGroup`", ResourceGroupSource)
    yield _table("`clusters[].resourceGraph`", ResourceGraphSource)
    yield _table("`clusters[].fleet`", FleetSource)
    yield _table("`nodes`", _section("nodes"))
    yield _table("`nodes.needs[]`", Need)
    for name in ("drain", "reboot", "verify", "failure"):
        yield _table(f"`{name}`", _section(name))
        if name == "drain":
            yield _table("`drain.rules[]`", DrainRule)
    later = ", ".join(f"`{key}`" for key in sorted(NOT_YET))
    yield f"## Not supported yet\n\nThese keys are refused by name: {later}.\n"


def _section(name: str) -> type[BaseModel]:
    found = Policy.model_fields[name].annotation
    assert isinstance(found, type)
    assert issubclass(found, BaseModel)
    return found


def _table(title: str, model: type[BaseModel]) -> str:
    rows = ["| Key | Default | Meaning |", "|---|---|---|"]
    for field in model.model_fields.values():
        meaning = " ".join(filter(None, (field.description, _words(field.annotation)))).replace("|", "\\|")
        rows.append(f"| `{field.alias}` | {_default(field)} | {meaning} |")
    return f"## {title}\n\n" + "\n".join(rows) + "\n"


def _words(annotation: object) -> str:
    """The values of a choice."""
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return "One of " + ", ".join(f"`{word.value}`" for word in annotation) + "."
    if get_origin(annotation) is Literal and len(get_args(annotation)) > 1:
        return "One of " + ", ".join(f"`{word}`" for word in get_args(annotation)) + "."
    return ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: object = field.get_default(call_default_factory=True)
    match value:
        case None:
            text = "null"
        case bool():
            text = str(value).lower()
        case timedelta():
            text = format_duration(value)
        case BaseModel():
            return "see below"
        case dict():
            text = "{" + ", ".join(f"{k}: {v}" for k, v in value.items()) + "}"
        case tuple():
            text = "[" + ", ".join(_item(item) for item in value) + "]"
        case _:
            text = str(value)
    return f"`{text}`"


def _item(value: object) -> str:
    assert isinstance(value, Need)
    return f'{{condition: {value.condition}, status: "{value.status}"}}'


if __name__ == "__main__":
    sys.stdout.write("\n".join(sections()))
