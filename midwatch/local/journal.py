"""The backend's state in SQLite. One transaction is one step of the backend: it is all there, or not at all.

Nothing that was committed is lost, neither to a killed process nor to a power cut (`synchronous=FULL`: a commit waits
for the disk).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import durabletask.internal.orchestrator_service_pb2 as pb

from midwatch.local.errors import JournalError
from midwatch.local.instance import Activity, Instance, TimerKey
from midwatch.local.rows import INSTANCE_COLUMNS, dump_tally, micros, micros_or_none, read_datetime, read_instance

SCHEMA_VERSION = 1
_APPLICATION_ID = 0x4D574C4A  # "MWLJ": refuse somebody else's database
_LOCKED_SECONDS = 5.0
_SCHEMA = """
CREATE TABLE instance(
    id TEXT PRIMARY KEY, name TEXT NOT NULL, status INTEGER NOT NULL, created INTEGER NOT NULL,
    updated INTEGER NOT NULL, version TEXT, input TEXT, output TEXT, custom_status TEXT, completed INTEGER,
    starts_at INTEGER, failure BLOB, parent_id TEXT, parent_execution INTEGER, parent_task INTEGER,
    execution INTEGER NOT NULL, trace BLOB, tags TEXT NOT NULL, tally TEXT NOT NULL, history_size INTEGER NOT NULL);
CREATE TABLE history(
    instance TEXT NOT NULL, seq INTEGER NOT NULL, event BLOB NOT NULL, PRIMARY KEY(instance, seq)) WITHOUT ROWID;
CREATE TABLE inbox(seq INTEGER PRIMARY KEY AUTOINCREMENT, instance TEXT NOT NULL, event BLOB NOT NULL);
CREATE INDEX inbox_by_instance ON inbox(instance);
CREATE TABLE timer(
    instance TEXT NOT NULL, execution INTEGER NOT NULL, task INTEGER NOT NULL, fires_at INTEGER NOT NULL,
    PRIMARY KEY(instance, execution, task)) WITHOUT ROWID;
CREATE TABLE activity(
    seq INTEGER PRIMARY KEY AUTOINCREMENT, instance TEXT NOT NULL, execution INTEGER NOT NULL, task INTEGER NOT NULL,
    name TEXT NOT NULL, input TEXT, trace BLOB);
CREATE INDEX activity_by_instance ON activity(instance);
CREATE TABLE schedule(name TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;
"""


class Journal:
    """The SQLite file. Not thread-safe: the backend calls it under its lock.

    Raises:
        JournalError: `journal-newer`, `journal-foreign`, `journal-unreadable`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, timeout=_LOCKED_SECONDS, isolation_level=None, check_same_thread=False)
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            raise JournalError("journal-unreadable", f"the journal {path} cannot be opened: {error}") from error

    def close(self) -> None:
        """Close the file. What was not committed is gone."""
        with suppress(sqlite3.Error):
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what happens inside, or nothing of it.

        Raises:
            JournalError: `journal-write`, SQLite or the disk refused.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise JournalError("journal-write", f"the journal {self._path} cannot be written: {error}") from error

    # Instances

    def put(self, instance: Instance) -> None:
        """Write the whole row of an instance that is new, or whose input changed."""
        parent = instance.parent
        row = (
            instance.id, instance.name, instance.status, micros(instance.created), micros(instance.updated),
            instance.version, instance.input, instance.output, instance.custom_status,
            micros_or_none(instance.completed), micros_or_none(instance.starts_at),
            instance.failure.SerializeToString() if instance.failure is not None else None,
            parent.instance_id if parent else None, parent.execution if parent else None,
            parent.task_id if parent else None, instance.execution,
            instance.trace.SerializeToString() if instance.trace is not None else None, json.dumps(instance.tags),
            dump_tally(instance.tally), instance.history_size,
        )  # fmt: skip
        self._db.execute(
            f"INSERT OR REPLACE INTO instance({INSTANCE_COLUMNS}) VALUES({','.join('?' * len(row))})",
            row,
        )

    def update(self, instance: Instance) -> None:
        """Write what a turn may change, without the input."""
        self._db.execute(
            "UPDATE instance SET status=?, updated=?, output=?, custom_status=?, completed=?, starts_at=?, failure=?,"
            " trace=?, tally=?, history_size=? WHERE id=?",
            (
                instance.status, micros(instance.updated), instance.output, instance.custom_status,
                micros_or_none(instance.completed), micros_or_none(instance.starts_at),
                instance.failure.SerializeToString() if instance.failure is not None else None,
                instance.trace.SerializeToString() if instance.trace is not None else None,
                dump_tally(instance.tally), instance.history_size, instance.id,
            ),
        )  # fmt: skip

    def delete(self, instance_id: str) -> None:
        """Remove an instance with all that belongs to it."""
        self._db.execute("DELETE FROM instance WHERE id=?", (instance_id,))
        for table in ("history", "inbox", "timer", "activity"):
            self._db.execute(f"DELETE FROM {table} WHERE instance=?", (instance_id,))  # noqa: S608 - constants

    # History and inbox

    def append_history(self, instance_id: str, start: int, events: Iterable[pb.HistoryEvent]) -> None:
        """Append events; the first gets the number `start`."""
        rows = [(instance_id, start + offset, event.SerializeToString()) for offset, event in enumerate(events)]
        self._db.executemany("INSERT INTO history(instance, seq, event) VALUES(?,?,?)", rows)

    def clear_history(self, instance_id: str) -> None:
        """Forget the history: a new execution begins."""
        self._db.execute("DELETE FROM history WHERE instance=?", (instance_id,))

    def history(self, instance_id: str) -> list[pb.HistoryEvent]:
        """The committed history of the current execution, in order."""
        rows = self._db.execute("SELECT event FROM history WHERE instance=? ORDER BY seq", (instance_id,))
        return [pb.HistoryEvent.FromString(event) for (event,) in rows]

    def add_to_inbox(self, instance_id: str, event: pb.HistoryEvent) -> int:
        """Keep an event until a turn consumes it; returns its number."""
        cursor = self._db.execute(
            "INSERT INTO inbox(instance, event) VALUES(?,?)", (instance_id, event.SerializeToString())
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def drop_from_inbox(self, numbers: Iterable[int]) -> None:
        """Remove events that were consumed or are of no use any more."""
        self._db.executemany("DELETE FROM inbox WHERE seq=?", [(number,) for number in numbers])

    # Timers, activities, schedules

    def add_timer(self, key: TimerKey, fires_at: datetime) -> None:
        """Keep a timer until it fires."""
        self._db.execute(
            "INSERT INTO timer(instance, execution, task, fires_at) VALUES(?,?,?,?)", (*key, micros(fires_at))
        )

    def drop_timer(self, key: TimerKey) -> None:
        """Remove a timer that fired."""
        self._db.execute("DELETE FROM timer WHERE instance=? AND execution=? AND task=?", key)

    def drop_timers(self, instance_id: str) -> None:
        """Remove all timers of an instance."""
        self._db.execute("DELETE FROM timer WHERE instance=?", (instance_id,))

    def add_activity(self, activity: Activity) -> int:
        """Keep an activity until it is answered; returns its number."""
        cursor = self._db.execute(
            "INSERT INTO activity(instance, execution, task, name, input, trace) VALUES(?,?,?,?,?,?)",
            (
                activity.instance_id, activity.execution, activity.task_id, activity.name, activity.input,
                activity.trace.SerializeToString() if activity.trace is not None else None,
            ),
        )  # fmt: skip
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def drop_activity(self, activity: Activity) -> None:
        """Remove an activity that was answered, or is not wanted any more."""
        self._db.execute("DELETE FROM activity WHERE seq=?", (activity.number,))

    def last_occurrence(self, name: str) -> datetime | None:
        """When the schedule of this function was last served; None when never."""
        row = self._db.execute("SELECT last FROM schedule WHERE name=?", (name,)).fetchone()
        return read_datetime(row[0]) if row is not None else None

    def set_last_occurrence(self, name: str, last: datetime) -> None:
        """Note that the schedule of this function was served for `last`."""
        self._db.execute("INSERT OR REPLACE INTO schedule(name, last) VALUES(?,?)", (name, micros(last)))

    # Loading

    def instances(self) -> list[Instance]:
        """All instances in order of creation; the live ones with history and inbox.

        Raises:
            JournalError: `journal-unreadable`.
        """
        try:
            rows = self._db.execute(f"SELECT {INSTANCE_COLUMNS} FROM instance ORDER BY created, id").fetchall()  # noqa: S608 - constants
            instances = [read_instance(row) for row in rows]
            for instance in instances:
                if not instance.ended:
                    instance.history = self.history(instance.id)
                    inbox = self._db.execute(
                        "SELECT seq, event FROM inbox WHERE instance=? ORDER BY seq", (instance.id,)
                    )
                    instance.inbox = [(seq, pb.HistoryEvent.FromString(event)) for seq, event in inbox]
        except (sqlite3.Error, ValueError) as error:
            raise JournalError("journal-unreadable", f"the journal {self._path} cannot be read: {error}") from error
        return instances

    def timers(self) -> list[tuple[TimerKey, datetime]]:
        """The timers that have not fired."""
        rows = self._db.execute("SELECT instance, execution, task, fires_at FROM timer ORDER BY fires_at")
        return [((instance, execution, task), read_datetime(fires_at)) for instance, execution, task, fires_at in rows]

    def activities(self) -> list[Activity]:
        """The activities that have not been answered, oldest first."""
        rows = self._db.execute("SELECT seq, instance, execution, task, name, input, trace FROM activity ORDER BY seq")
        return [
            Activity(instance, execution, task, name, payload, trace and pb.TraceContext.FromString(trace), number=seq)
            for seq, instance, execution, task, name, payload, trace in rows
        ]

    def _prepare(self) -> None:
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application not in {0, _APPLICATION_ID} or (application == 0 and tables):
            raise JournalError("journal-foreign", f"{self._path} is not a journal of this program")
        if version > SCHEMA_VERSION:
            raise JournalError(
                "journal-newer",
                f"the journal {self._path} was written by a newer version (schema {version}; this one reads up to"
                f" {SCHEMA_VERSION})",
            )
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        if version < SCHEMA_VERSION:
            # One transaction with the marks inside, so that a kill leaves either nothing or a whole schema.
            marks = f"PRAGMA application_id={_APPLICATION_ID}; PRAGMA user_version={SCHEMA_VERSION};"
            self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {marks} COMMIT;")
