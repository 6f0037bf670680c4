"""Spans that wait to be sent, in a file: they outlive a `kill -9`, and what was sent once is not sent again.

Writing takes well under a millisecond and waits for nothing but this file; what cannot be written is dropped.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from midwatch.telemetry.spans import Span

_MOST = 100_000
"""Spans kept, those that were sent (as their ID alone) included; the oldest go first."""
_TRIM_EVERY = 1_000
_LOCKED_SECONDS = 0.2
"""How long a write waits while another process of this machine writes."""
_SCHEMA = "CREATE TABLE IF NOT EXISTS spans (number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, body TEXT)"
_OLDEST = "SELECT number, body FROM spans WHERE body IS NOT NULL ORDER BY number LIMIT ?"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A span with its place in the outbox."""

    number: int
    span: Span


class Outbox:
    """The file, shared by the processes of one machine. Thread-safe. Opened by its first use.

    Args:
        folder: made when missing, mode 0700.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._sender: int | None = None
        self._written = 0

    def put(self, spans: Sequence[Span]) -> None:
        """Keep spans. One whose ID is known is dropped.

        Raises:
            sqlite3.Error: the file cannot be written.
            OSError: likewise.
        """
        rows = [(span.span_id, span.model_dump_json()) for span in spans]
        with self._lock, self._open() as database:
            database.executemany("INSERT OR IGNORE INTO spans (id, body) VALUES (?, ?)", rows)
            self._written += len(rows)
            if self._written >= _TRIM_EVERY:
                self._written = 0
                database.execute("DELETE FROM spans WHERE number <= (SELECT max(number) FROM spans) - ?", (_MOST,))

    def oldest(self, most: int) -> list[Waiting]:
        """The spans that have waited longest. Raises as `put`."""
        with self._lock, self._open() as database:
            rows = database.execute(_OLDEST, (most,)).fetchall()
        return [Waiting(number, Span.model_validate_json(body)) for number, body in rows]

    @property
    def empty(self) -> bool:
        """Whether nothing waits. Raises as `put`."""
        return not self.oldest(1)

    def sent(self, spans: Sequence[Waiting]) -> None:
        """These need not be sent any more. Raises as `put`."""
        with self._lock, self._open() as database:
            database.executemany("UPDATE spans SET body = NULL WHERE number = ?", [(one.number,) for one in spans])

    def may_send(self) -> bool:
        """Whether this process is the one that sends: the first to ask, until it ends in whatever way."""
        with self._lock:
            if self._sender is None:
                self._make_folder()
                lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(lock)
                    return False
                self._sender = lock
            return True

    def _make_folder(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._folder.stat().st_uid != os.getuid():
            raise PermissionError(f"{self._folder} is somebody else's")
        self._folder.chmod(0o700)

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            self._make_folder()
            path = self._folder / "spans.db"
            path.touch(mode=0o600)
            database = sqlite3.connect(path, timeout=_LOCKED_SECONDS, check_same_thread=False)
            database.execute("PRAGMA journal_mode = WAL")
            # A process that is killed loses nothing so; only a machine that loses its power does.
            database.execute("PRAGMA synchronous = OFF")
            database.execute(_SCHEMA)
            self._database = database
        return self._database
