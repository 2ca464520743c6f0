"""What a peer was seen to do, read from its bytes, and what may be expected of it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Accepted:
    """An A-ASSOCIATE-AC: results and syntaxes by context id, user items by type."""

    results: Mapping[int, int]
    syntaxes: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    items: Mapping[int, tuple[bytes, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        several = len(self.results) > 4
        shown = [f"{number}:{result}" for number, result in self.results.items()]
        return f"accepted ({f'{len(shown)} contexts' if several else ' '.join(shown)})"


@dataclass(frozen=True, slots=True)
class Rejected:
    """An A-ASSOCIATE-RJ."""

    result: int
    source: int
    reason: int

    def __str__(self) -> str:
        return f"rejected {self.result}/{self.source}/{self.reason}"


@dataclass(frozen=True, slots=True)
class Aborted:
    """An A-ABORT."""

    source: int
    reason: int

    def __str__(self) -> str:
        return f"aborted {self.source}/{self.reason}"


@dataclass(frozen=True, slots=True)
class Answered:
    """A DIMSE response."""

    command: int
    status: int
    message_id: int
    context_id: int
    longest_pdu: int
    """Bytes of the variable field of the longest PDU that brought it."""

    def __str__(self) -> str:
        return f"{self.command:04X} status {self.status:04X}"


@dataclass(frozen=True, slots=True)
class ReleaseConfirmed:
    """An A-RELEASE-RP."""

    def __str__(self) -> str:
        return "released"


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of the connection."""

    def __str__(self) -> str:
        return "closed"


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing, as long as was waited."""

    def __str__(self) -> str:
        return "silence"


@dataclass(frozen=True, slots=True)
class Other:
    """Something else."""

    text: str

    def __str__(self) -> str:
        return self.text


Seen = Accepted | Rejected | Aborted | Answered | ReleaseConfirmed | Closed | Silent | Other


def read_control(kind: int, body: bytes) -> Seen:
    """What a PDU other than P-DATA-TF says."""
    if kind == 2:
        return _read_acceptance(body)
    if kind == 3 and len(body) >= 4:
        return Rejected(body[1], body[2], body[3])
    if kind == 7 and len(body) >= 4:
        return Aborted(body[2], body[3])
    if kind == 6:
        return ReleaseConfirmed()
    return Other(f"PDU type {kind}")


def _items(data: bytes) -> list[tuple[int, bytes]]:
    found, position = [], 0
    while position + 4 <= len(data):
        kind, length = struct.unpack_from(">BxH", data, position)
        found.append((kind, data[position + 4 : position + 4 + length]))
        position += 4 + length
    return found


def _read_acceptance(body: bytes) -> Accepted:
    results: dict[int, int] = {}
    syntaxes: dict[int, tuple[str, ...]] = {}
    items: dict[int, tuple[bytes, ...]] = {}
    for kind, value in _items(body[68:]):
        if kind == 0x21:
            results[value[0]] = value[2]
            found = [raw.decode("latin-1") for kind, raw in _items(value[4:]) if kind == 0x40]
            syntaxes[value[0]] = tuple(found)
        elif kind == 0x50:
            for sub_kind, raw in _items(value):
                items[sub_kind] = (*items.get(sub_kind, ()), raw)
    return Accepted(results, syntaxes, items)


def read_response(context_id: int, command_set: bytes, longest_pdu: int) -> Seen:
    """What a command set says."""
    numbers: dict[int, int] = {}
    position = 0
    while position + 8 <= len(command_set):
        _, number, length = struct.unpack_from("<HHI", command_set, position)
        if length == 2:
            numbers[number] = struct.unpack_from("<H", command_set, position + 8)[0]
        position += 8 + length
    fields = (numbers.get(0x100), numbers.get(0x900), numbers.get(0x120))
    command, status, message_id = fields
    if command is None or status is None or message_id is None:
        return Other("a response that lacks elements")
    return Answered(command, status, message_id, context_id, longest_pdu)
