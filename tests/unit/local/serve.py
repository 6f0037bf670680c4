"""Runs the embedded host for the tests, in a process that can be killed.

Arguments: a JSON object with `app`, `state`, `virtual`, `work`. It then answers one JSON line per line on stdin.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from midwatch.local import EmbeddedHost, HostError, SystemClock, VirtualClock


def main() -> int:
    """Serve until stdin ends or says `stop`."""
    options = json.loads(sys.argv[1])
    clock = VirtualClock(auto_advance=options["virtual"] == "auto") if options["virtual"] else SystemClock()
    host = EmbeddedHost(
        Path(options["app"]),
        Path(options["state"]),
        run_work=options["work"],
        clock=clock,
        extra={"who": "test"},
        grace_seconds=1.0,
    )
    try:
        with host:
            answer({"url": host.url})
            for line in sys.stdin:
                command, _, argument = line.strip().partition(" ")
                if command == "stop":
                    break
                if command == "resume":
                    host.resume_work()
                    answer({})
                elif command == "advance":
                    clock.advance(timedelta(seconds=float(argument)))
                    answer({})
                elif command == "history":
                    answer(asdict(host.history(argument)))
                elif command == "fill":
                    fill_disk(host)
                    answer({})
                elif command == "serve":
                    host.serve_forever()
                elif command == "under":
                    answer(asdict(host.history_under(argument)))
    except HostError as error:
        answer({"error": error.code, "message": error.message})
        return 1
    return 0


def fill_disk(host: EmbeddedHost) -> None:
    """Let the journal grow by no more than a page."""
    assert host._backend is not None
    journal = host._backend._store.journal
    (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count={pages + 1}")


def answer(message: dict[str, object]) -> None:
    """One line to the test."""
    print(json.dumps(message), flush=True)
