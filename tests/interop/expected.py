"""What the matrix is expected to be, where it is not a plain success.

Each entry is a fact about a peer, found by measuring: ``make interop`` measures anew.
"""

from __future__ import annotations

from tests.interop.cells import SAME, Cell, Mark
from tests.interop.encodings import ENCODINGS
from tests.interop.measuring import ECHO, Column

COMPRESSED = (
    "JPEG baseline",
    "JPEG lossless",
    "JPEG-LS",
    "JPEG 2000",
    "HTJ2K",
    "RLE",
    "MPEG-4",
)

NOT_READ = Cell(Mark.ABSENT, "not read")
NOT_SENT = Cell(Mark.ABSENT, "not sent")
NOT_ACCEPTED = Cell(Mark.ABSENT, "no context accepted")
AS_EXPLICIT = Cell(Mark.CHANGED, "as Explicit VR LE")
AS_IMPLICIT = Cell(Mark.CHANGED, "as Implicit VR LE")
RE_ENCODED = Cell(Mark.CHANGED, "re-encoded")
DCMJS = {
    "MPEG-4": Cell(Mark.CHANGED, "re-encoded, changes PixelData"),
    "Private SOP class": Cell(Mark.CHANGED, "re-encoded, changes (0099,0010), (0099,1001)"),
    "Character sets": Cell(Mark.CHANGED, "re-encoded, changes SpecificCharacterSet, PatientName"),
}

SENDERS: dict[str, dict[str, Cell]] = {
    "dcmtk": {"HTJ2K": NOT_READ},
    "Orthanc": {"HTJ2K": NOT_SENT},
    "odil": {
        "Implicit VR LE": AS_EXPLICIT,
        "Explicit VR BE": AS_EXPLICIT,
        "Deflated": NOT_READ,
        "Private SOP class": NOT_SENT,
        **dict.fromkeys(COMPRESSED, Cell(Mark.CHANGED, "encapsulated under Explicit VR LE")),
    },
    "CTN": {
        "Explicit VR LE": AS_IMPLICIT,
        "Explicit VR BE": AS_IMPLICIT,
        "Deflated": NOT_READ,
        "Character sets": AS_IMPLICIT,
    },
    "gdcm": {"Deflated": RE_ENCODED, "HTJ2K": NOT_READ, "Private SOP class": NOT_READ},
    "PixelMed": {"Implicit VR LE": AS_EXPLICIT, "Explicit VR BE": AS_EXPLICIT},
    "dcmjs-dimse": {"Deflated": Cell(Mark.LOST, "not readable: status C000"), **DCMJS},
    "pynetdicom": {},
}
"""Peers as senders to the router."""

WRITERS: dict[str, dict[str, Cell]] = {
    "dcmtk": {"HTJ2K": NOT_ACCEPTED},
    "Orthanc": {"Deflated": RE_ENCODED, "HTJ2K": NOT_ACCEPTED},
    "odil": {"Deflated": Cell(Mark.ABSENT, "ends the association")},
    "CTN": dict.fromkeys((*COMPRESSED, "Deflated", "Private SOP class"), NOT_ACCEPTED),
    "PixelMed": dict.fromkeys((*COMPRESSED, "Private SOP class"), NOT_ACCEPTED),
    "dcmjs-dimse": {"Deflated": Cell(Mark.ABSENT, "answers 0000, holds nothing"), **DCMJS},
    "pynetdicom": {"Private SOP class": NOT_ACCEPTED},
}
"""Peers as writers behind the router."""


def column_of_sender(name: str) -> Column:
    """Everything that a peer does as a sender."""
    return {ECHO: SAME, **_whole(SENDERS[name])}


def column_of_writer(name: str) -> Column:
    """Everything that a peer does as a writer."""
    return _whole(WRITERS[name])


def _whole(exceptions: dict[str, Cell]) -> Column:
    return {encoding.name: exceptions.get(encoding.name, SAME) for encoding in ENCODINGS}
