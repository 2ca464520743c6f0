"""The attributes that criteria may name, and how they are written.

=========================================  =====================================================
``Modality``, ``MODALITY``                 a DICOM keyword; underscores and case do not count
``(0008,0060)``                            a tag
``(0009,"GEMS_IDEN_01",02)``               a private element: group, creator, low byte of element
``(0009,xx02,"GEMS_IDEN_01")``             the same, as conformance statements print it
``RequestAttributesSequence[0].X``         an element of the first item of a sequence
``RequestAttributesSequence.X``            the same in any item
``SourceAETitle``, ``CalledAETitle``,
``SourceAddress``, ``TransferSyntaxUID``   not in the data set: of the way it came in
=========================================  =====================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from router.domain import dictionary
from router.domain.errors import InvalidCriteria

PSEUDO = {
    "SourceAETitle": "AE",
    "CalledAETitle": "AE",
    "SourceAddress": "LO",
    "TransferSyntaxUID": "UI",
}
"""Attributes of the association, with the VR that they compare as."""

_TAG = re.compile(r"\(([0-9A-Fa-f]{4}),\s*([0-9A-Fa-f]{4})\)")
_CREATOR = r'"(?P<creator>[^"\\|]{1,64})"'
_PRIVATE = tuple(
    re.compile(rf"\((?P<group>[0-9A-Fa-f]{{4}}),\s*{rest}\)")
    for rest in (
        rf"{_CREATOR}\s*,\s*(?P<low>[0-9A-Fa-f]{{2}})",
        rf"[Xx]{{2}}(?P<low>[0-9A-Fa-f]{{2}})\s*,\s*{_CREATOR}",
    )
)
_STEP = re.compile(
    r"""\s*(?P<name>\((?:[^")]|"[^"]*")*\)|[A-Za-z_][A-Za-z0-9_]*)\s*
        (?:\[(?P<item>[0-9]{1,4}|\*)\])?\s*(?P<more>\.|$)""",
    re.VERBOSE,
)
MAX_STEPS = 8
_LAST_GROUP_OUTSIDE = 0x0002  # command set (PS3.7 annex E) and File Meta Information (PS3.10)


@dataclass(frozen=True, slots=True)
class Step:
    """One element of a path.

    ``creator`` is set for private elements, whose ``element`` is then only its low byte;
    ``item`` is the item to go into: an index, or None for any.
    """

    group: int
    element: int
    creator: str | None = None
    item: int | None = None


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute by its canonical name: equal names are equal attributes."""

    name: str
    steps: tuple[Step, ...]  # empty for attributes of the association
    vr: str  # of the last step; empty when the dictionary does not know it

    @property
    def is_pseudo(self) -> bool:
        """Whether it comes from the association instead of the data set."""
        return not self.steps


@lru_cache(maxsize=1024)
def parse_attribute(text: str) -> Attribute:
    """The attribute that a text names; raises ``InvalidCriteria`` with a suggestion.

    Cached, so that a set of the attributes of many criteria compares few of them.
    """
    text = text.strip()
    pseudo = _PSEUDO_BY_NORM.get(dictionary.normal_form(text))
    if pseudo is not None:
        return Attribute(pseudo, (), PSEUDO[pseudo])
    steps: list[Step] = []
    names: list[str] = []
    vr, position = "", 0
    while position < len(text) or not steps:
        match = _STEP.match(text, position)
        if match is None or len(steps) == MAX_STEPS:
            raise InvalidCriteria(
                f"{text!r} is not an attribute: expected a keyword such as Modality, a tag such as "
                "(0008,0060), or a path such as RequestAttributesSequence[0].ScheduledStationName"
            )
        name, step, vr = _parse_step(match["name"], match["item"])
        is_last = match.end() == len(text) and match["more"] != "."
        if is_last and match["item"] is not None:
            raise InvalidCriteria(f"{text!r} ends with an item; name an attribute of that item")
        if not is_last and vr not in ("SQ", ""):
            raise InvalidCriteria(f"{name} in {text!r} is not a sequence")
        if match["more"] == "." and match.end() == len(text):
            raise InvalidCriteria(f"{text!r} ends with a dot; name an attribute of that item")
        names.append(name if is_last else f"{name}[{_index(step.item)}]")
        steps.append(step)
        position = match.end()
    return Attribute(".".join(names), tuple(steps), vr)


def _index(item: int | None) -> str:
    return "*" if item is None else str(item)


def _parse_step(name: str, item: str | None) -> tuple[str, Step, str]:
    """The canonical name, the step, and the VR of one part of a path."""
    index = None if item in (None, "*") else int(item or 0)
    for pattern in _PRIVATE:
        if private := pattern.fullmatch(name):
            return _private_step(private, index)
    if tag := _TAG.fullmatch(name):
        number = int(tag[1] + tag[2], 16)
        keyword = dictionary.keyword_of(number)
        # One keyword names a whole range of repeating groups (60xx); a tag is one of them.
        if dictionary.tag_of(keyword) != number:
            keyword = f"({number >> 16:04X},{number & 0xFFFF:04X})"
    elif name.startswith("("):
        raise InvalidCriteria(
            f'{name} is not a tag: expected (0008,0060), or (0009,"CREATOR",02) for private ones'
        )
    else:
        keyword, number = _by_keyword(name)
    group, element = number >> 16, number & 0xFFFF
    if group <= _LAST_GROUP_OUTSIDE:
        raise InvalidCriteria(f"{name} is an element of a header and never stands in a data set")
    return keyword, Step(group, element, None, index), dictionary.vr_of(number)


def _private_step(match: re.Match[str], item: int | None) -> tuple[str, Step, str]:
    group, low = int(match["group"], 16), int(match["low"], 16)
    creator = match["creator"].strip()
    if group % 2 == 0 or not creator:
        raise InvalidCriteria(f"{match[0]}: a private element has an odd group and a creator")
    name = f'({group:04X},"{creator}",{low:02X})'
    return name, Step(group, low, creator, item), dictionary.private_vr_of(group, low, creator)


_PSEUDO_BY_NORM = {dictionary.normal_form(name): name for name in PSEUDO} | {
    "(0002,0010)": "TransferSyntaxUID"
}


def _by_keyword(name: str) -> tuple[str, int]:
    tag = dictionary.tag_of(name)
    if tag is not None:
        return dictionary.keyword_of(tag), tag
    known = {dictionary.normal_form(one): one for one in (*dictionary.keywords(), *PSEUDO)}
    close = get_close_matches(dictionary.normal_form(name), known, n=1, cutoff=0.6)
    hint = f"; did you mean {known[close[0]]}?" if close else ""
    raise InvalidCriteria(f"{name!r} is not a DICOM attribute{hint}")


BASE_ATTRIBUTES = tuple(
    parse_attribute(name)
    for name in (
        "SpecificCharacterSet",
        "SOPClassUID",
        "SOPInstanceUID",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "Modality",
        "Manufacturer",
        "InstitutionName",
        "ReferringPhysicianName",
        "StationName",
        "StudyDescription",
        "SeriesDescription",
        "InstitutionalDepartmentName",
        "ManufacturerModelName",
        "PatientName",
        "PatientID",
        "IssuerOfPatientID",
        "PatientBirthDate",
        "PatientSex",
        "PatientAge",
        "BodyPartExamined",
        "ProtocolName",
        "DeviceSerialNumber",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "StudyID",
        "SeriesNumber",
        "InstanceNumber",
    )
)
"""Read from every instance when it arrives, and kept with it."""
