"""NCRONTAB, the schedule language of timer triggers."""

from __future__ import annotations

import re
from datetime import datetime

from croniter import CroniterError, croniter  # type: ignore[import-untyped]  # publishes no types

from midwatch.local.errors import AppLoadError
from midwatch.local.settings import names_in, resolve

# croniter knows more (`L`, `#`, hashed fields) than NCRONTAB does: what works here must work in Azure.
_FIELD = re.compile(r"[0-9A-Za-z*/,-]+")
_WORDS = re.compile(r"[A-Za-z]+")
_NAMES = frozenset("jan feb mar apr may jun jul aug sep oct nov dec sun mon tue wed thu fri sat".split())  # noqa: SIM905 - reads better
_OFF = frozenset({"", "disabled", "off"})


class Schedule:
    """A six-field expression, seconds first (or five fields, without seconds), in UTC.

    As in NCRONTAB, all fields must match: a day of the month *and* a day of the week, where cron takes either.

    Raises:
        ValueError: not such an expression, or one that never comes.
    """

    def __init__(self, expression: str) -> None:
        fields = expression.split()
        if len(fields) not in {5, 6}:
            raise ValueError("expected six fields: second minute hour day month day-of-week")
        for field in fields:
            words = {word.lower() for word in _WORDS.findall(field)}
            if not _FIELD.fullmatch(field) or not words <= _NAMES:
                raise ValueError(f"'{field}' is not a field of an NCRONTAB expression")
        self._expression = " ".join(fields if len(fields) == 6 else ["0", *fields])
        try:
            self.after(datetime.fromisoformat("2024-01-01T00:00:00+00:00"))
        except CroniterError as error:
            raise ValueError(str(error)) from error

    def after(self, moment: datetime) -> datetime:
        """The first occurrence later than `moment`."""
        occurrences = croniter(self._expression, moment, second_at_beginning=True, day_or=False)
        found = occurrences.get_next(datetime)
        assert isinstance(found, datetime)
        return found


def read_schedule(function: str, expression: str) -> Schedule | None:
    """The schedule of a timer trigger; None when its setting is not set, empty, `disabled` or `off`.

    Raises:
        AppLoadError: `schedule`, it is not an NCRONTAB expression; the message names the function and the setting.
    """
    resolved = resolve(expression)
    if resolved is None or resolved.strip().lower() in _OFF:
        return None
    try:
        return Schedule(resolved)
    except ValueError as error:
        settings = names_in(expression)
        where = f"app setting {settings[0]}" if settings else "schedule"
        message = f"timer '{function}': {where}: '{resolved}' is not an NCRONTAB expression: {error}"
        raise AppLoadError("schedule", message) from error
