"""What a client takes (PS3.18 section 8.7.4, RFC 9110 section 12.5.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from urllib.request import parse_http_list

JSON = "application/dicom+json"
_JSON_RANGES = frozenset({JSON, "application/json", "application/*", "*/*"})
ANY_SYNTAX = "*"


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One thing that a client takes: names in lower case, quality from 0 (not at all) to 1."""

    name: str
    parameters: Mapping[str, str]
    quality: float

    def takes(self, transfer_syntax_uid: str) -> bool:
        """Whether instances may come in this syntax; who names none takes what there is."""
        named = self.parameters.get("transfer-syntax", ANY_SYNTAX)
        return named in (ANY_SYNTAX, transfer_syntax_uid)


def media_ranges(said: Iterable[str]) -> list[MediaRange]:
    """The ranges of Accept headers, the most wanted first; who says nothing takes anything."""
    entries = [entry for line in said for entry in parse_http_list(line) if entry]
    ranges = [_range(entry) for entry in entries or ["*/*"]]
    return sorted(
        (one for one in ranges if one.quality > 0), key=lambda one: one.quality, reverse=True
    )


def _range(entry: str) -> MediaRange:
    header = Message()
    header["Content-Type"] = entry
    parameters = {name.lower(): value for name, value in header.get_params(failobj=[])[1:] if value}
    try:
        quality = float(parameters.pop("q", "1"))
    except ValueError:
        quality = 1.0
    return MediaRange(entry.partition(";")[0].strip().lower(), parameters, quality)


def takes_json(ranges: Sequence[MediaRange]) -> bool:
    """Whether the client takes the DICOM JSON model."""
    return any(one.name in _JSON_RANGES for one in ranges)
