"""The state directory: one host at a time, and where to find it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from midwatch.local.errors import HostError, StateInUseError

_LOCK = "lock"
_INFO = "host.json"
_PROBE_SECONDS = 0.5  # `running_host` holds the lock for an instant while it looks
_POLL_SECONDS = 0.02


class HostInfo(BaseModel):
    """What `host.json` in the state directory says of the host that holds it.

    Attributes:
        pid: its process.
        url: where it serves HTTP, without a trailing slash.
        started_at: when, in UTC.
        working: whether it runs orchestrations; otherwise it only answers, and not for long.
        extra: what its caller wanted to be known.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    pid: int
    url: str
    started_at: datetime
    working: bool = True
    extra: dict[str, object] = Field(default_factory=dict)


class StateDirectory:
    """A state directory that this process holds alone, from `acquire` to `release`.

    Args:
        path: created when missing; mode 0700.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def acquire(self) -> None:
        """Take the lock, and drop what a host that was killed left in `host.json`.

        Raises:
            StateInUseError: `state-in-use`, another host holds it.
            HostError: `state-unusable`, the directory cannot be made or written, or holds something else.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._refuse_foreign()
            self.path.chmod(0o700)
            lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HostError("state-unusable", f"state directory {self.path}: {error.strerror or error}") from error
        deadline = time.monotonic() + _PROBE_SECONDS
        while not _try_lock(lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(lock)
                raise StateInUseError("state-in-use", f"state directory {self.path} is in use{_holder(self.path)}")
            time.sleep(_POLL_SECONDS)
        self._lock = lock
        (self.path / _INFO).unlink(missing_ok=True)

    def publish(self, url: str, started_at: datetime, extra: Mapping[str, object], *, working: bool) -> None:
        """Write `host.json` (mode 0600), for `running_host`."""
        info = HostInfo(pid=os.getpid(), url=url, started_at=started_at, working=working, extra=dict(extra))
        draft = self.path / f"{_INFO}.new"
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(info.model_dump_json(by_alias=True))
        draft.replace(self.path / _INFO)

    def _refuse_foreign(self) -> None:
        """A folder with other things in it is a mistake: we would make it private, and write over its `host.json`."""
        if not (self.path / _LOCK).exists() and any(self.path.iterdir()):
            raise HostError("state-unusable", f"{self.path} is not empty, and no state directory of ours")

    def release(self) -> None:
        """Remove `host.json` and give the lock back. A second call does nothing."""
        if self._lock is not None:
            (self.path / _INFO).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None


def running_host(state_dir: Path, *, wait_seconds: float = 10.0) -> HostInfo | None:
    """The host that holds this state directory now, or None.

    The lock decides, so that a `host.json` left by a killed host is not mistaken. A host that is just starting holds
    the lock before it can say where it serves: it is waited for.

    Raises:
        HostError: `host-not-answering`, a host held the lock for `wait_seconds` without saying where it serves.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        if not _is_held(state_dir / _LOCK):
            return None
        info = _read(state_dir / _INFO)
        if info is not None and _is_held(state_dir / _LOCK):
            return info
        if time.monotonic() > deadline:
            raise HostError("host-not-answering", f"a host holds {state_dir} but does not say where it serves")
        time.sleep(_POLL_SECONDS)


def _is_held(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise HostError("state-unusable", f"state directory {path.parent}: {error.strerror or error}") from error
    try:
        return not _try_lock(lock, fcntl.LOCK_SH)
    finally:
        os.close(lock)


def _try_lock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path) -> HostInfo | None:
    try:
        return HostInfo.model_validate(json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, ValidationError):
        return None


def _holder(path: Path) -> str:
    info = _read(path / _INFO)
    return f" by process {info.pid} at {info.url}" if info is not None else " by another process"
