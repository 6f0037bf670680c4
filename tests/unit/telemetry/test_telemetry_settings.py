"""Where traces go, and that none cost nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from midwatch.domain.errors import UsageError
from midwatch.telemetry.settings import Target, TraceSettings

_INSIGHTS = {"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=secret"}
_OTLP = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("env", "target"),
    [
        pytest.param({}, Target.OFF, id="nothing"),
        pytest.param({"MIDWATCH_TRACES": " "}, Target.OFF, id="empty"),
        pytest.param(_INSIGHTS, Target.AZURE, id="a connection string"),
        pytest.param(_OTLP, Target.OTLP, id="an endpoint"),
        pytest.param({**_INSIGHTS, **_OTLP}, Target.AZURE, id="both"),
        pytest.param({**_INSIGHTS, **_OTLP, "MIDWATCH_TRACES": "otlp"}, Target.OTLP, id="both, and the word"),
        pytest.param({**_INSIGHTS, "MIDWATCH_TRACES": "off"}, Target.OFF, id="off"),
        pytest.param({"MIDWATCH_TRACES": "Console"}, Target.CONSOLE, id="console"),
    ],
)
def test_the_settings_say_where_traces_go(env: dict[str, str], target: Target) -> None:
    assert TraceSettings.read(env).target is target


@pytest.mark.parametrize(
    ("env", "says"),
    [
        pytest.param({"MIDWATCH_TRACES": "yes"}, "MIDWATCH_TRACES is 'yes'", id="an unknown word"),
        pytest.param({"MIDWATCH_TRACES": "azure"}, "APPLICATIONINSIGHTS_CONNECTION_STRING", id="azure without it"),
        pytest.param({"MIDWATCH_TRACES": "otlp"}, "OTEL_EXPORTER_OTLP_ENDPOINT", id="otlp without it"),
    ],
)
def test_a_wrong_setting_is_named(env: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        TraceSettings.read(env)


def test_the_command_line_refuses_a_wrong_setting(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("midwatch")), "status", "--state", str(tmp_path / "state")],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "MIDWATCH_TRACES": "yes"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "MIDWATCH_TRACES" in done.stderr


_LOADED = """
import os, sys
import function_app
slow = ("opentelemetry.sdk", "opentelemetry.exporter", "azure.monitor", "sqlite3")
bad = [n for n in sys.modules if n.startswith(slow)]
print(bad, os.path.exists(os.environ["MIDWATCH_TRACES_OUTBOX"]))
"""


def test_without_traces_no_sdk_is_imported_and_no_file_is_touched(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOADED],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "MIDWATCH_TRACES_OUTBOX": str(tmp_path / "outbox")},
        cwd=Path(__file__).resolve().parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[] False", done.stderr
