"""Where the command line writes: progress to stderr, the result to stdout, so that a result can be piped."""

from __future__ import annotations

import sys

from rich.console import Console

_PIPED_COLUMNS = 200
"""Where nobody looks, nothing is folded to fit."""

PROGRESS = Console(stderr=True)
RESULT = Console(width=None if sys.stdout is not None and sys.stdout.isatty() else _PIPED_COLUMNS)
