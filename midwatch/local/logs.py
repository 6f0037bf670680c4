"""The host's log file. Libraries and functions log there, never to the terminal."""

from __future__ import annotations

import logging
import os
from logging.handlers import RotatingFileHandler
from pathlib import Path

_LIBRARIES = ("azure", "azure_functions_runtime", "durabletask", "grpc", "aiohttp", "asyncio", "midwatch.local")
_FILE_BYTES = 5_000_000
_FILES_KEPT = 3


class HostLog:
    """Routes the libraries' and the app's log records to `host.log`, until `close`.

    The libraries' records go nowhere else. The root logger only gains the file, so that what the app logs is kept and
    a program that shows its own log still can.
    """

    def __init__(self, path: Path) -> None:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # grpc's C core writes to stderr, past `logging`
        path.touch(mode=0o600)
        self._handler = RotatingFileHandler(path, maxBytes=_FILE_BYTES, backupCount=_FILES_KEPT, delay=True)
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.getLogger().addHandler(self._handler)
        for name in _LIBRARIES:
            logger = logging.getLogger(name)
            logger.addHandler(self._handler)
            logger.propagate = False
            logger.setLevel(logging.INFO if name == "midwatch.local" else logging.WARNING)
        logging.getLogger("midwatch").setLevel(logging.INFO)  # one record for each step, and how runs start

    def close(self) -> None:
        """Close the file. The libraries stay quiet, so that a late record does not reach the terminal."""
        logging.getLogger().removeHandler(self._handler)
        for name in _LIBRARIES:
            logger = logging.getLogger(name)
            logger.removeHandler(self._handler)
            if not logger.handlers:
                logger.addHandler(logging.NullHandler())
        self._handler.close()
