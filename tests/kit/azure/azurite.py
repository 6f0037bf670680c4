"""Azurite, Microsoft's own emulator of storage accounts, on loopback with TLS and bearer tokens."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.kit import background
from tests.kit.controlplane.pki import Authority
from tests.kit.controlplane.plane import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = "3.37.0"
_ACCOUNT = "devstoreaccount1"
_KEEP = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "midwatch" / f"azurite-{VERSION}"


@dataclass(frozen=True)
class Azurite:
    """A running one: its URL with the account, and the authority of its certificate."""

    url: str
    authority: Path


def program() -> Path | None:
    """The blob service, installed by npm on the first call; None without npm."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    found = _KEEP / "node_modules" / ".bin" / "azurite-blob"
    _KEEP.mkdir(parents=True, exist_ok=True)
    with (_KEEP / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.exists():
            command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(_KEEP)]
            subprocess.run([*command, f"azurite@{VERSION}"], check=True, timeout=600)
    return found


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def azurite(started: Path) -> Iterator[Azurite]:
    """A blob service on a free port, stopped at the end, its files removed. `started` is `program()`."""
    folder, port = background.scratch("azurite"), free_port()
    authority = Authority.create(folder, "azurite-ca", bare=False)
    authority.issue("azurite", "127.0.0.1", server=True)
    flags = ["--silent", "--location", str(folder / "data"), "--blobPort", str(port), "--oauth", "basic"]
    tls = ["--cert", str(folder / "azurite.crt"), "--key", str(folder / "azurite.key"), "--skipApiVersionCheck"]
    process = background.spawn([str(started), *flags, *tls], log=folder / "log", cwd=folder)
    try:
        background.until(lambda: _listens(port), "azurite", seconds=60)
        yield Azurite(f"https://127.0.0.1:{port}/{_ACCOUNT}", folder / "ca.crt")
    finally:
        process.kill()  # asked to end, it waits for connections that nobody closes
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)
