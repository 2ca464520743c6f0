"""UIDs that the router has to know: its own, transfer syntaxes, SOP classes."""

from __future__ import annotations

import re

from router.domain.dictionary import registered_uids

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
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


_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")


def is_valid_uid(text: str) -> bool:
    """PS3.5 section 9.1, but leading zeros, which real senders have, are let pass."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def is_storage_sop_class(uid: str) -> bool:
    """A storage SOP class of the standard, current or retired, whose instances have a study."""
    return uid in _STORAGE


def is_known_non_storage(uid: str) -> bool:
    """Something of the standard that is not for storing studies: other SOP classes, and what is
    no SOP class at all.
    """
    return uid in registered_uids() and uid not in _STORAGE


def name(uid: str) -> str:
    """The name of the standard, or the UID itself."""
    entry = registered_uids().get(uid)
    return entry.name if entry is not None and entry.name else uid


_STORES_NO_STUDY = (
    "Color Palette",
    "CT Defined Procedure Protocol",
    "Generic Implant Template",
    "Hanging Protocol",
    "Implant Assembly Template",
    "Implant Template Group",
    "Inventory",
    "Media Storage Directory",  # a DICOMDIR (PS3.3 annex F)
    "Protocol Approval",
    "Storage Commitment",  # PS3.4 annex J
    "XA Defined Procedure Protocol",
)
"""How the names begin of classes with "Storage" in them whose instances belong to no study: those
of the Non-Patient Object Storage service (PS3.4 annex GG), and of other services."""


def _storage_sop_classes() -> frozenset[str]:
    """What the standard's registry calls storage, current and retired, and has a study."""
    return frozenset(
        uid
        for uid, registered in registered_uids().items()
        if registered.kind == "SOP Class"
        and "Storage" in registered.name
        and not registered.name.startswith(_STORES_NO_STUDY)
    )


_STORAGE = _storage_sop_classes()
