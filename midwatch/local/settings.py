"""App settings, which are environment variables, and `host.json`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from midwatch.local.errors import AppLoadError

_REFERENCE = re.compile(r"%([^%]+)%")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class _Http(_Section):
    route_prefix: str = "api"


class _DurableTask(_Section):
    hub_name: str = "local"


class _Extensions(_Section):
    http: _Http = Field(default_factory=_Http)
    durable_task: _DurableTask = Field(default_factory=_DurableTask)


class HostFile(_Section):
    """What this host reads of `host.json`; the rest is for Azure."""

    version: str
    extensions: _Extensions = Field(default_factory=_Extensions)


def read_host_file(app_dir: Path) -> HostFile:
    """Read `host.json`.

    Raises:
        AppLoadError: `host-file`, it is missing or wrong.
    """
    path = app_dir / "host.json"
    try:
        return HostFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise AppLoadError("host-file", f"{path}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise AppLoadError("host-file", f"{path}: {where + ': ' if where else ''}{first['msg']}") from error


def resolve(text: str) -> str | None:
    """`text` with each `%NAME%` replaced by that app setting; None when one of them is not set."""
    missing = [name for name in _REFERENCE.findall(text) if name not in os.environ]
    return None if missing else _REFERENCE.sub(lambda match: os.environ[match[1]], text)


def names_in(text: str) -> list[str]:
    """The app settings that `text` refers to."""
    return _REFERENCE.findall(text)


def is_disabled(function: str) -> bool:
    """Whether the app setting `AzureWebJobs.<function>.Disabled` is true.

    Where a name cannot have dots (Linux), `AzureWebJobs__<function>__Disabled` or with single underscores is read too.
    """
    keys = (f"AzureWebJobs{dot}{function}{dot}Disabled" for dot in (".", "__", "_"))
    return any(os.environ.get(key, "").strip().lower() in {"true", "1"} for key in keys)
