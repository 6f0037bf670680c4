"""Lists in pages: all pages of a list are of the same moment."""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from dataclasses import dataclass

from midwatch.simulator.refusals import bad_request, expired
from midwatch.simulator.store import Record

_MOST_LISTS = 64
"""Lists that are kept for their next page; etcd keeps them for five minutes."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `token` leads to the next one, and is empty on the last; `remaining` is what comes after."""

    records: list[Record]
    revision: int
    token: str = ""
    remaining: int = 0


class Pages:
    """The lists that were begun, by the token of their next page."""

    def __init__(self) -> None:
        self._rest: OrderedDict[str, tuple[list[Record], int]] = OrderedDict()
        self._tokens = 0

    def first(self, records: list[Record], revision: int, limit: int) -> Page:
        """The first page of a list; without a limit (0) the whole."""
        if not limit or len(records) <= limit:
            return Page(records, revision)
        return self._cut(records, revision, limit)

    def next(self, token: str, limit: int) -> Page:
        """The page of a token. It may be asked for again.

        Raises:
            Refusal: 410 for a list that is no longer kept, 400 for what is no token.
        """
        _check(token)
        kept = self._rest.get(token)
        if kept is None:
            raise expired("The provided continue parameter is too old to display a consistent list result.")
        records, revision = kept
        return self.first(records, revision, limit)

    def forget(self) -> None:
        """Drop all lists, as etcd's compaction does."""
        self._rest.clear()

    def _cut(self, records: list[Record], revision: int, limit: int) -> Page:
        self._tokens += 1
        content = {"v": "meta.k8s.io/v1", "rv": revision, "start": "/".join(records[limit].key), "n": self._tokens}
        token = base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
        rest = records[limit:]
        self._rest[token] = rest, revision
        if len(self._rest) > _MOST_LISTS:
            self._rest.popitem(last=False)
        return Page(records[:limit], revision, token, len(rest))


def _check(token: str) -> None:
    try:
        content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get("v") != "meta.k8s.io/v1":
        raise bad_request("continue key is not valid")
