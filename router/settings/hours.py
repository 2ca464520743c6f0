"""Delivery windows as people write them: ``19:00-06:00``, by the router's clock or in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from router.domain.window import Hours

_PATTERN = r"([01]?[0-9]|2[0-4]):([0-5][0-9])-([01]?[0-9]|2[0-4]):([0-5][0-9])( UTC)?"


class LocalZone(tzinfo):
    """The time zone that the machine is set to, with its summer time."""

    def utcoffset(self, at: datetime | None) -> timedelta | None:
        """What a clock on the wall is ahead of UTC."""
        return None if at is None else at.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, _at: datetime | None) -> timedelta | None:
        """Nobody knows how much of the offset is summer time."""
        return None

    def tzname(self, at: datetime | None) -> str | None:
        """The zone's name for people."""
        return None if at is None else at.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, at: datetime) -> datetime:
        """What the clock on the wall shows."""
        return at.replace(tzinfo=UTC).astimezone().replace(tzinfo=self)


LOCAL = LocalZone()


def parse_hours(value: object) -> Hours:
    """``19:00-06:00``, or ``19:00-06:00 UTC``. Raises ``ValueError`` with what would be right."""
    if isinstance(value, Hours):
        return value
    found = re.fullmatch(_PATTERN, value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} are no hours; write them as 19:00-06:00 or 19:00-06:00 UTC")
    start, end = _time(found[1], found[2]), _time(found[3], found[4])
    if start == end:
        raise ValueError(f"{value!r} is always or never; leave it out for always")
    return Hours(start, end, UTC if found[5] else LOCAL)


def _time(hours: str, minutes: str) -> time:
    """A time of the day; 24:00 is midnight."""
    if int(hours) == 24 and int(minutes):
        raise ValueError(f"{hours}:{minutes} is no time of the day")
    return time(int(hours) % 24, int(minutes))


HoursText = Annotated[
    Hours,
    PlainValidator(parse_hours),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^{_PATTERN}$",
            "examples": ["19:00-06:00", "19:00-06:00 UTC"],
        }
    ),
]
"""Hours of the day."""
