"""The data dictionary (PS3.6, PS3.7 annex E) and the registry of UIDs (PS3.6 annex A).

The tables are pydicom's, read without the library around them: they are plain Python modules, and
importing the whole of pydicom for them would cost ten times the memory of what is asked here. The
tests hold every answer to pydicom's own.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

_LIBRARY = "pydicom"

_Element = tuple[str, str, str, str, str]  # VR, VM, name, retired, keyword
_PrivateElement = tuple[str, str, str, str]  # VR, VM, name, retired
_RegisteredUid = tuple[str, str, str, str, str]  # name, kind, info, retired, keyword


@dataclass(frozen=True, slots=True)
class RegisteredUid:
    """A UID of the standard: what it is called, and what kind of thing it names."""

    name: str
    kind: str  # such as "SOP Class" or "Transfer Syntax"


_REGISTERED_SINCE = {
    "1.2.840.10008.1.2.4.110": RegisteredUid("JPEG XL Lossless", "Transfer Syntax"),
    "1.2.840.10008.1.2.4.111": RegisteredUid("JPEG XL JPEG Recompression", "Transfer Syntax"),
    "1.2.840.10008.1.2.4.112": RegisteredUid("JPEG XL", "Transfer Syntax"),
    "1.2.840.10008.1.2.8.1": RegisteredUid("Deflated Image Frame Compression", "Transfer Syntax"),
    "1.2.840.10008.5.1.4.1.1.9.100.1": RegisteredUid(
        "Waveform Presentation State Storage", "SOP Class"
    ),
    "1.2.840.10008.5.1.4.1.1.9.100.2": RegisteredUid(
        "Waveform Acquisition Presentation State Storage", "SOP Class"
    ),
    "1.2.840.10008.5.1.4.1.1.66.7": RegisteredUid("Label Map Segmentation Storage", "SOP Class"),
    "1.2.840.10008.5.1.4.1.1.66.8": RegisteredUid("Height Map Segmentation Storage", "SOP Class"),
}
"""UIDs of the standard that are newer than the tables."""


def vr_of(tag: int) -> str:
    """The VR of an element, of several possible ones the first; empty if it is not known."""
    entry = _entry(tag)
    return entry[0][:2] if entry is not None else ""


def keyword_of(tag: int) -> str:
    """The keyword of an element; empty if it has none. All of a repeating group share one."""
    entry = _entry(tag)
    return entry[4] if entry is not None else ""


def tag_of(name: str) -> int | None:
    """The tag that a keyword names; case and underscores do not count.

    Keywords of repeating groups name no single tag.
    """
    return _by_normal_form().get(normal_form(name))


def normal_form(name: str) -> str:
    """What is the same for all ways of writing one keyword."""
    return name.replace("_", "").casefold()


def keywords() -> dict[str, int]:
    """The normal form of every keyword, and its tag. Not to be changed."""
    return _by_normal_form()


def private_vr_of(group: int, low_byte: int, creator: str) -> str:
    """The VR of a creator's element, whatever block it reserved; empty if it is not known."""
    elements = _private_elements().get(creator, {})
    for key in (
        f"{group:04X}10{low_byte:02X}",  # some are listed in the block that they are usually in
        f"{group:04X}xx{low_byte:02X}",
        f"{group >> 8:02X}xxxx{low_byte:02X}",
    ):
        if key in elements:
            return elements[key][0][:2]
    return ""


def registered_uids() -> dict[str, RegisteredUid]:
    """Every UID of the standard. Not to be changed."""
    return _UIDS


def _entry(tag: int) -> _Element | None:
    entry = _ELEMENTS.get(tag)
    if entry is None and not tag >> 16 & 1:
        for value, mask, repeated in _REPEATED:
            if tag & mask == value:
                return repeated
    return entry


def _table_module(name: str) -> ModuleType:
    """Run one module of the library by itself; nothing of it stays but what is taken from it."""
    library = importlib.util.find_spec(_LIBRARY)  # finds the package without importing it
    folders = library.submodule_search_locations if library is not None else None
    for folder in folders or ():
        path = Path(folder) / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        if path.is_file() and spec is not None and spec.loader is not None:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise ImportError(
        f"the data dictionary is {name}.py of {_LIBRARY} 3, which is not there: install it"
    )


def _repeated(pattern: str, entry: _Element) -> tuple[int, int, _Element]:
    """Value and mask of the tags that a pattern such as ``60xx0010`` stands for."""
    value = int(pattern.replace("x", "0"), 16)
    mask = int("".join("0" if digit == "x" else "F" for digit in pattern), 16)
    return value, mask, entry


_dicom = _table_module("_dicom_dict")
_ELEMENTS: dict[int, _Element] = _dicom.DicomDictionary
_REPEATED = tuple(
    _repeated(pattern, entry) for pattern, entry in _dicom.RepeatersDictionary.items()
)
del _dicom


def _read_uids() -> dict[str, RegisteredUid]:
    table: dict[str, _RegisteredUid] = _table_module("_uid_dict").UID_dictionary
    listed = {uid: RegisteredUid(entry[0], entry[1]) for uid, entry in table.items()}
    return _REGISTERED_SINCE | listed


_UIDS = _read_uids()


@cache
def _by_normal_form() -> dict[str, int]:
    return {normal_form(entry[4]): tag for tag, entry in _ELEMENTS.items() if entry[4]}


@cache
def _private_elements() -> dict[str, dict[str, _PrivateElement]]:
    """Read when it is first needed: most routers have no criteria about private elements."""
    table: dict[str, dict[str, _PrivateElement]] = _table_module(
        "_private_dict"
    ).private_dictionaries
    return table
