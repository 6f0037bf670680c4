"""`midwatch`, the command line."""

from __future__ import annotations

import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command line. Control-C during the imports, which take a second, ends it as quietly as later."""
    try:
        from midwatch.cli.program import run  # noqa: PLC0415 - see above
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    run()
