"""UIDs that the router has to know: its own, transfer syntaxes, SOP classes."""

from __future__ import annotations

from functools import cache

from pydicom._uid_dict import UID_dictionary
from pynetdicom import sop_class as _sop_class

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT_PUSH = "1.2.840.10008.1.20.1"
STORAGE_COMMITMENT_PUSH_INSTANCE = "1.2.840.10008.1.20.1.1"

IMPLEMENTATION_CLASS = "2.25.302610197451734917466230226474811604921"
"""Derived from a UUID (PS3.5 annex B.2)."""
IMPLEMENTATION_VERSION = "DICOM_ROUTER_0_1"

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
GE_PRIVATE_IMPLICIT = "1.2.840.113619.5.2"
"""GE's private syntax: Implicit VR Little Endian, only the pixel data is big endian."""

_DEFLATED = frozenset(
    {DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}
)
_NATIVE = frozenset(
    {
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
        GE_PRIVATE_IMPLICIT,
    }
)


def is_implicit_vr(uid: str) -> bool:
    """Whether data sets carry no VRs. Syntaxes that are not known are explicit (PS3.5 annex A)."""
    return uid in (IMPLICIT_VR_LITTLE_ENDIAN, GE_PRIVATE_IMPLICIT)


def is_big_endian(uid: str) -> bool:
    """Whether numbers have their high byte first."""
    return uid == EXPLICIT_VR_BIG_ENDIAN


def is_deflated(uid: str) -> bool:
    """Whether the whole data set is deflated (PS3.5 annex A.5 and the JPIP ones)."""
    return uid in _DEFLATED


def is_encapsulated(uid: str) -> bool:
    """Whether pixel data comes in fragments."""
    return uid not in _NATIVE


def is_valid_uid(text: str) -> bool:
    """PS3.5 section 9.1, but leading zeros, which real senders have, are let pass."""
    return (
        0 < len(text) <= 64
        and text.isascii()
        and all(component.isdecimal() for component in text.split("."))
    )


@cache
def is_storage_sop_class(uid: str) -> bool:
    """A storage SOP class of the standard, current or retired, whose instances have a study."""
    return uid in _STORAGE


@cache
def is_known_non_storage(uid: str) -> bool:
    """Something of the standard that is not for storing studies: other SOP classes, and what is
    no SOP class at all.
    """
    return uid in UID_dictionary and uid not in _STORAGE


def name(uid: str) -> str:
    """The name of the standard, or the UID itself."""
    entry = UID_dictionary.get(uid)
    return entry[0] if entry is not None and entry[0] else uid


def _storage_sop_classes() -> frozenset[str]:
    """What the standard's registry calls storage, without the non-patient objects (PS3.4 GG)."""
    storage = set(_sop_class._STORAGE_CLASSES.values())  # noqa: SLF001 - the published table
    non_patient = set(_sop_class._NON_PATIENT_OBJECT_CLASSES.values())  # noqa: SLF001
    retired = {
        uid
        for uid, (title, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class"
        and "Storage" in title
        and "Commitment" not in title
        and not title.startswith(("Media Storage Directory", "Storage Service"))
    }
    return frozenset((storage | retired) - non_patient)


_STORAGE = _storage_sop_classes()
