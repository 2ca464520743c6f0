"""All hostile objects, by name."""

from __future__ import annotations

from tests.hostile import elements_odd, fragments, large, lengths, nesting, uids_odd
from tests.hostile.expected import HostileObject

OBJECTS: tuple[HostileObject, ...] = (
    *nesting.OBJECTS,
    *lengths.OBJECTS,
    *fragments.OBJECTS,
    *elements_odd.OBJECTS,
    *uids_odd.OBJECTS,
    *large.OBJECTS,
)
