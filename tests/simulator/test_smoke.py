"""The smoke test, which the workflows run on the real Functions host, on the embedded one."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from tests.e2e.midwatch import ROOT


def _smoke(*command: str) -> subprocess.CompletedProcess[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    whole = [word.replace("PORT", port) for word in command]
    argv = [sys.executable, "-m", "tests.smoke", "--url", f"http://127.0.0.1:{port}", "--seconds", "90", *whole]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)


def test_a_host_that_works_passes(tmp_path: Path) -> None:
    done = _smoke(
        str(Path(sys.executable).with_name("midwatch")), "up", "--port", "PORT", "--state", str(tmp_path / "state")
    )
    assert done.returncode == 0, done.stderr
    assert "rebooted smoke-1 and nothing else" in done.stdout


def test_a_host_that_ends_at_once_does_not() -> None:
    done = _smoke(sys.executable, "-c", "raise SystemExit(3)")
    assert (done.returncode, done.stderr) == (1, "smoke: the host has ended with 3\n")
