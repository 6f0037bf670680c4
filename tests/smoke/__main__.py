"""Start a host, and have it reboot a node: `python -m tests.smoke --url URL COMMAND...`.

COMMAND serves the function app of this checkout at URL, such as `func start` or `midwatch up`. It gets KUBECONFIG and
MIDWATCH_POLICY for a simulated cluster, in which one node of three waits for its reboot, and is ended afterwards.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.smoke.checks import SmokeError, smoke, staged_cluster


def main() -> int:
    """0 when the run did what it must; else 1, and why on stderr."""
    parser = argparse.ArgumentParser(prog="python -m tests.smoke")
    parser.add_argument("--url", default="http://127.0.0.1:7071", help="where COMMAND serves")
    parser.add_argument("--seconds", type=float, default=240, help="for the start, and again for the run")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    if not asked.command:
        parser.error("no command that starts a host was given")
    with tempfile.TemporaryDirectory(prefix="smoke-") as folder, staged_cluster(Path(folder)) as (cluster, settings):
        host = subprocess.Popen(asked.command, env={**os.environ, **settings}, start_new_session=True)
        try:
            print(smoke(asked.url, cluster, host, asked.seconds))
        except SmokeError as error:
            print(f"smoke: {error}", file=sys.stderr)
            return 1
        finally:
            _end(host)
    return 0


def _end(host: subprocess.Popen[bytes]) -> None:
    """End the host and what it has started."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if host.poll() is None:
            os.killpg(host.pid, number)
            try:
                host.wait(20)
            except subprocess.TimeoutExpired:
                continue


if __name__ == "__main__":
    sys.exit(main())
