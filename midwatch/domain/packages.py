"""The packages that ask for a reboot, read back from the message of our plugin.

The format is set by `deploy/npd/check_reboot_required.sh`: `Reboot required by: a, b and 3 more`. Another plugin's
message names no packages that we could tell apart, and gives none.
"""

from __future__ import annotations

import re

_PREFIX = "Reboot required by: "
_MORE = re.compile(r"(?:^| and | )(\d+) (?:more|packages?)$")


def packages_in(message: str) -> tuple[str, ...]:
    """The package names, in the message's order; a cut list ends with `and N more`."""
    if not message.startswith(_PREFIX):
        return ()
    rest = message.removeprefix(_PREFIX).strip()
    tail: tuple[str, ...] = ()
    if found := _MORE.search(rest):
        rest, tail = rest[: found.start()], (found.group().strip(),)
    names = tuple(name for part in rest.split(",") if (name := part.strip()))
    return names + tail
