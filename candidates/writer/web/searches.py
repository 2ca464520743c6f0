"""What a QIDO-RS request asks (PS3.18 section 8.3.4): no I/O."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from router.domain.dictionary import keyword_of, tag_of, vr_of

MAX_RESULTS = 1000
"""Of one answer; the rest is had by ``offset``."""

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_FUZZY = "fuzzy matching is not supported: values were compared as they are"


@dataclass(frozen=True, slots=True)
class Search:
    """Keys as DICOM writes them, by keyword; which part of the matches; what is not done."""

    keys: Mapping[str, str]
    limit: int
    offset: int
    warnings: tuple[str, ...]


def read_search(parameters: Iterable[tuple[str, str]], known: Collection[str]) -> Search:
    """What the parameters of a URL ask, where ``known`` keywords can be matched.

    Attributes that are known to the standard only match everything, as with C-FIND; that is a
    warning. Raises ``ValueError`` for a parameter that cannot be understood.
    """
    keys: dict[str, str] = {}
    numbers = {"limit": MAX_RESULTS, "offset": 0}
    warnings = []
    for name, value in parameters:
        match name.lower():
            case "includefield" | "accept":  # all that is known is told
                pass
            case "fuzzymatching":
                warnings += [_FUZZY] if value.lower() == "true" else []
            case "limit" | "offset" as which:
                numbers[which] = _number(name, value)
            case _:
                keyword = _keyword(name)
                if keyword in known:
                    keys[keyword] = _key(keyword, value)
                else:
                    warnings.append(f"{keyword} is not matched: the index does not have it")
    limit = min(numbers["limit"], MAX_RESULTS)
    return Search(keys, limit, numbers["offset"], tuple(warnings))


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise ValueError(f"{name}: {value!r} is no number")
    return int(value)


def _keyword(name: str) -> str:
    """The keyword of an attribute, or the way to one in a sequence, as it was written."""
    keywords = [_one_keyword(part) for part in name.split(".")]
    if not all(keywords):
        raise ValueError(f"{name} is neither a parameter nor an attribute of the standard")
    return ".".join(keywords)


def _one_keyword(name: str) -> str:
    if _TAG.fullmatch(name):
        return keyword_of(int(name, 16))
    tag = tag_of(name)
    return "" if tag is None else keyword_of(tag)


def _key(keyword: str, value: str) -> str:
    """A list of UIDs is separated by commas here."""
    is_uid = vr_of(tag_of(keyword) or 0) == "UI"
    return value.replace(",", "\\") if is_uid else value
