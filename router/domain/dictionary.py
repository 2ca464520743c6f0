"""The data dictionary (PS3.6, PS3.7 annex E) and the registry of UIDs (PS3.6 annex A).

The tables are pydicom's, read without the library around them: they are plain Python modules, and
importing the whole of pydicom for them would cost ten times the memory of what is asked here. The
tests hold every answer to pydicom's own.
"""

from __future__ import annotations

import importlib.util
import sys
from array import array
from bisect import bisect_left
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
    vr = _VRS.get(tag)
    if vr is None:
        repeated = _repeated(tag)
        return repeated[0][:2] if repeated is not None else ""
    return vr


def keyword_of(tag: int) -> str:
    """The keyword of an element; empty if it has none. All of a repeating group share one."""
    if tag in _VRS:
        return _KEYWORDS.split("\n")[bisect_left(_TAGS, tag)]
    repeated = _repeated(tag)
    return repeated[4] if repeated is not None else ""


def tag_of(name: str) -> int | None:
    """The tag that a keyword names; case and underscores do not count.

    Keywords of repeating groups name no single tag.
    """
    normal = normal_form(name)
    found = _NORMAL_FORMS.find(f"\n{normal}\n") if normal and "\n" not in normal else -1
    return _TAGS[_NORMAL_FORMS.count("\n", 0, found)] if found >= 0 else None


def normal_form(name: str) -> str:
    """What is the same for all ways of writing one keyword."""
    return name.replace("_", "").casefold()


def keywords() -> list[str]:
    """Every keyword that names one tag."""
    return [keyword for keyword in _KEYWORDS.split("\n") if keyword]


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


def _repeated(tag: int) -> _Element | None:
    """The entry of the repeating group that an element belongs to."""
    if not tag >> 16 & 1:
        for value, mask, entry in _REPEATED:
            if tag & mask == value:
                return entry
    return None


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


def _pattern(pattern: str, entry: _Element) -> tuple[int, int, _Element]:
    """Value and mask of the tags that a pattern such as ``60xx0010`` stands for."""
    value = int(pattern.replace("x", "0"), 16)
    mask = int("".join("0" if digit == "x" else "F" for digit in pattern), 16)
    return value, mask, entry


_dicom = _table_module("_dicom_dict")
_elements: dict[int, _Element] = dict(sorted(_dicom.DicomDictionary.items()))
_VRS = {tag: sys.intern(entry[0][:2]) for tag, entry in _elements.items()}
# A scan asks for VRs. Keywords are asked for when criteria are read: long texts hold them in a
# fifth of the memory of a dict.
_TAGS = array("I", _elements)
_KEYWORDS = "\n".join(entry[4] for entry in _elements.values())
_NORMAL_FORMS = f"\n{normal_form(_KEYWORDS)}\n"
_REPEATED = tuple(_pattern(*item) for item in _dicom.RepeatersDictionary.items())
del _dicom, _elements


def _read_uids() -> dict[str, RegisteredUid]:
    table: dict[str, _RegisteredUid] = _table_module("_uid_dict").UID_dictionary
    listed = {uid: RegisteredUid(entry[0], entry[1]) for uid, entry in table.items()}
    return _REGISTERED_SINCE | listed


_UIDS = _read_uids()


@cache
def _private_elements() -> dict[str, dict[str, _PrivateElement]]:
    """Read when it is first needed: most routers have no criteria about private elements."""
    table: dict[str, dict[str, _PrivateElement]] = _table_module(
        "_private_dict"
    ).private_dictionaries
    return table
