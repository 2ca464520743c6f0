"""The attributes that criteria may name, and how they are written.

=========================================  =====================================================
``Modality``, ``MODALITY``                 a DICOM keyword; underscores and case do not count
``(0008,0060)``                            a tag
``(0009,"GEMS_IDEN_01",02)``               a private element: group, creator, low byte of element
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
from functools import cache

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import dictionary_VR, keyword_for_tag

from router.domain.errors import InvalidCriteria

PSEUDO = {
    "SourceAETitle": "AE",
    "CalledAETitle": "AE",
    "SourceAddress": "LO",
    "TransferSyntaxUID": "UI",
}
"""Attributes of the association, with the VR that they compare as."""

_TAG = re.compile(r"\(([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})\)")
_PRIVATE = re.compile(r'\(([0-9A-Fa-f]{4}),\s*"([^"\\]{1,64})"\s*,\s*([0-9A-Fa-f]{2})\)')
_STEP = re.compile(
    r"""\s*(?P<name>\([^)]*\)|[A-Za-z_][A-Za-z0-9_]*)\s*
        (?:\[(?P<item>[0-9]{1,4}|\*)\])?\s*(?P<more>\.|$)""",
    re.VERBOSE,
)
MAX_STEPS = 8


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


def parse_attribute(text: str) -> Attribute:
    """The attribute that a text names; raises ``InvalidCriteria`` with a suggestion."""
    text = text.strip()
    pseudo = _PSEUDO_BY_NORM.get(_normalise(text))
    if pseudo is not None:
        return Attribute(pseudo, (), PSEUDO[pseudo])
    steps: list[Step] = []
    names: list[str] = []
    vr = ""
    position = 0
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
    index = None if item in (None, "*") else int(item or 0)
    if private := _PRIVATE.fullmatch(name):
        group, creator, low = int(private[1], 16), private[2].strip(), int(private[3], 16)
        if group % 2 == 0:
            raise InvalidCriteria(f"{name}: a private element has an odd group")
        canonical = f'({group:04X},"{creator}",{low:02X})'
        return canonical, Step(group, low, creator, index), ""
    if tag := _TAG.fullmatch(name):
        group, element = int(tag[1], 16), int(tag[2], 16)
        keyword = keyword_for_tag((group << 16) | element)
        return (
            keyword or f"({group:04X},{element:04X})",
            Step(group, element, None, index),
            _vr(group, element),
        )
    if name.startswith("("):
        raise InvalidCriteria(
            f'{name} is not a tag: expected (0008,0060), or (0009,"CREATOR",02) for private ones'
        )
    keyword, tag_number = _by_keyword(name)
    group, element = tag_number >> 16, tag_number & 0xFFFF
    return keyword, Step(group, element, None, index), _vr(group, element)


@cache
def _vr(group: int, element: int) -> str:
    try:
        return dictionary_VR((group << 16) | element)[:2]
    except KeyError:
        return ""


def _normalise(name: str) -> str:
    return name.replace("_", "").casefold()


_PSEUDO_BY_NORM = {_normalise(name): name for name in PSEUDO}

_BY_NORM: dict[str, tuple[str, int]] = {
    _normalise(entry[4]): (entry[4], tag) for tag, entry in DicomDictionary.items() if entry[4]
}


def _by_keyword(name: str) -> tuple[str, int]:
    found = _BY_NORM.get(_normalise(name))
    if found is not None:
        return found
    known = {**_BY_NORM, **{norm: (pseudo, 0) for norm, pseudo in _PSEUDO_BY_NORM.items()}}
    close = get_close_matches(_normalise(name), known, n=1, cutoff=0.6)
    hint = f"; did you mean {known[close[0]][0]}?" if close else ""
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
