"""Where traces go, from the environment."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from midwatch.domain.errors import UsageError

TRACES_SETTING = "MIDWATCH_TRACES"
OUTBOX_SETTING = "MIDWATCH_TRACES_OUTBOX"
CONNECTION_SETTING = "APPLICATIONINSIGHTS_CONNECTION_STRING"
_OTLP_SETTINGS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class Target(StrEnum):
    """Who gets the traces."""

    OFF = "off"
    CONSOLE = "console"
    OTLP = "otlp"
    AZURE = "azure"


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """What the environment says of traces.

    Attributes:
        target: `MIDWATCH_TRACES`: `off`, `console`, `otlp` or `azure`. Empty or `auto`: Application Insights where
            `APPLICATIONINSIGHTS_CONNECTION_STRING` is set, else OTLP where `OTEL_EXPORTER_OTLP_ENDPOINT` is, else off.
        outbox: `MIDWATCH_TRACES_OUTBOX`, the folder in which spans wait until they are sent.
    """

    target: Target
    outbox: Path

    @classmethod
    def read(cls, env: Mapping[str, str]) -> TraceSettings:
        """Read the settings.

        Raises:
            UsageError: `bad-setting`, naming the setting; never its value where that may be a secret.
        """
        outbox = env.get(OUTBOX_SETTING, "").strip()
        folder = Path(outbox) if outbox else Path(tempfile.gettempdir()) / f"midwatch-traces-{os.getuid()}"
        return cls(_target(env), folder)


def _target(env: Mapping[str, str]) -> Target:
    word = env.get(TRACES_SETTING, "").strip().lower()
    if word in {"", "auto"}:
        if env.get(CONNECTION_SETTING, "").strip():
            return Target.AZURE
        return Target.OTLP if _has_otlp(env) else Target.OFF
    try:
        target = Target(word)
    except ValueError:
        words = ", ".join(["auto", *Target])
        raise UsageError("bad-setting", f"{TRACES_SETTING} is {word!r}; it is one of {words}") from None
    if target is Target.AZURE and not env.get(CONNECTION_SETTING, "").strip():
        raise UsageError("bad-setting", f"{TRACES_SETTING} is 'azure', which needs {CONNECTION_SETTING}")
    if target is Target.OTLP and not _has_otlp(env):
        raise UsageError("bad-setting", f"{TRACES_SETTING} is 'otlp', which needs {_OTLP_SETTINGS[-1]}")
    return target


def _has_otlp(env: Mapping[str, str]) -> bool:
    return any(env.get(name, "").strip() for name in _OTLP_SETTINGS)
