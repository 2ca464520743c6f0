"""PDU framing and P-DATA-TF (PS3.8 sections 9.3.1 and 9.3.5, annex E): the hot path, both ways.

Reading is a push parser over whatever a read brought: it cuts the bytes into control PDUs and runs
of message fragments, as slices of the caller's buffer, and never joins or copies data. A run ends
where the read, the message or the presentation context ends, so that there is about one object
per read, not one per fragment. Writing puts a 12-byte header before each slice of the caller's
chunk, ready for ``sendmsg``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from router.dicom.pdu import HEADER, MAX_CONTROL_PDU_BYTES, PDUType

Buffer = bytes | memoryview

_HEADER_BYTES = 6  # of a PDU, and as it happens of a PDV: length, context id, control header
_PDV_HEADER = struct.Struct(">IBB")
_DATA_HEADER = struct.Struct(">BxIIBB")  # the header of a PDU with one PDV
_PDV_OVERHEAD = 6  # bytes of a PDV that count towards the maximum length, beside its value
_IDS_BYTES = 2  # context id and control header, counted by the length of the PDV
_LENGTH_BYTES = 4

_COMMAND = 0b01  # message control header (annex E.2); bits 2 to 7 are not checked
_LAST = 0b10

LARGEST_PAYLOAD = (1 << 17) - _PDV_OVERHEAD
"""Bytes of a message in one PDU, however much more a peer would take at once."""

_INVALID_VALUE = 6  # reasons of table 9-26
_UNRECOGNISED_PDU = 1
_KNOWN = frozenset(PDUType)
_TLS_HANDSHAKE = 0x16  # type of the record that a TLS client begins with (RFC 8446 section 5.1)


@dataclass(slots=True)
class ControlBody:
    """A whole PDU other than P-DATA-TF, still encoded."""

    pdu_type: int
    body: bytes


@dataclass(slots=True)
class Fragments:
    """Consecutive pieces of one command set or data set; the slices belong to the caller's view."""

    context_id: int
    is_command: bool
    slices: list[memoryview] = field(default_factory=list)
    is_last: bool = False


@dataclass(slots=True)
class Malformed:
    """Bytes that cannot be PDUs; nothing that follows them can be understood (table 9-26)."""

    text: str
    reason: int = _INVALID_VALUE


Part = ControlBody | Fragments | Malformed


class PDUReader:
    """Cuts a byte stream into parts, however the stream is split into views."""

    __slots__ = (
        "_body",
        "_broken",
        "_context_id",
        "_control_left",
        "_control_type",
        "_fault",
        "_in_value",
        "_is_command",
        "_is_last",
        "_limit",
        "_partial",
        "_pdu_left",
        "_value_left",
    )

    def __init__(self) -> None:
        self._limit = 0
        self._partial = bytearray()  # the beginning of a header that is split between views
        self._pdu_left = 0  # bytes of the P-DATA-TF beyond the PDV that is being read
        self._in_value = False
        self._value_left = 0
        self._context_id = 0
        self._is_command = False
        self._is_last = False
        self._control_type = 0
        self._control_left = 0
        self._body = bytearray()
        self._fault: Malformed | None = None
        self._broken = False

    @property
    def is_between_pdus(self) -> bool:
        """Whether all PDUs begun so far are complete."""
        return not (self._in_value or self._pdu_left or self._control_type or self._partial)

    def limit_to(self, max_length: int, *, strict: bool) -> None:
        """Set the maximum length that we announced (0: none).

        A ``strict`` reader then takes a longer P-DATA-TF for malformed; otherwise it passes, as a
        longer one costs no memory here.
        """
        self._limit = max_length if strict else 0

    def read(self, view: memoryview, position: int) -> tuple[Part | None, int]:
        """Read from ``position`` on: the next part, and the position after it.

        None when the rest of the view has been taken and completes nothing. Once something was
        malformed, all that follows is swallowed.
        """
        group: Fragments | None = None
        end = len(view)
        while True:
            if self._in_value:
                if self._value_left and position == end:
                    return group, end
                if group is None:
                    group = Fragments(self._context_id, self._is_command)
                elif group.context_id != self._context_id or group.is_command != self._is_command:
                    return group, position
                taken = min(self._value_left, end - position)
                if taken:
                    group.slices.append(view[position : position + taken])
                    position += taken
                    self._value_left -= taken
                if not self._value_left:
                    self._in_value = False
                    if self._is_last:
                        group.is_last = True
                        return group, position
            elif self._control_type or self._broken:
                done = group is not None
                return (group, position) if done else self._read_control(view, position)
            elif position + _HEADER_BYTES <= end and not self._partial:
                self._open(view, position)
                position += _HEADER_BYTES
            elif position == end:
                return group, end
            else:
                position = self._read_split_header(view, position)

    def _read_split_header(self, view: memoryview, position: int) -> int:
        """Take what there is of a header; the position after that."""
        after = min(position + _HEADER_BYTES - len(self._partial), len(view))
        self._partial += view[position:after]
        if len(self._partial) == _HEADER_BYTES:
            header, self._partial = self._partial, bytearray()
            self._open(header, 0)
        return after

    def _open(self, header: memoryview | bytearray, position: int) -> None:
        if self._pdu_left:
            self._open_pdv(*_PDV_HEADER.unpack_from(header, position))
        else:
            self._open_pdu(*HEADER.unpack_from(header, position))

    def _open_pdu(self, pdu_type: int, length: int) -> None:
        if pdu_type == PDUType.P_DATA:
            if length < _PDV_OVERHEAD:
                self._break(f"a P-DATA-TF of {length} bytes holds no presentation data value")
            elif self._limit and length > self._limit:
                self._break(f"a P-DATA-TF of {length} bytes, beyond the maximum of {self._limit}")
            else:
                self._pdu_left = length
        elif pdu_type not in _KNOWN:
            self._break(_unrecognised(pdu_type), _UNRECOGNISED_PDU)
        elif length > MAX_CONTROL_PDU_BYTES:
            self._break(f"a PDU of type {pdu_type} announces {length} bytes")
        else:
            self._control_type = pdu_type
            self._control_left = length

    def _open_pdv(self, length: int, context_id: int, control: int) -> None:
        rest = self._pdu_left - length - _LENGTH_BYTES
        if length < _IDS_BYTES:
            self._break(f"a presentation data value of {length} bytes lacks its header")
        elif rest < 0:
            self._break(f"a presentation data value of {length} bytes overruns its PDU")
        elif 0 < rest < _PDV_OVERHEAD:
            self._break(f"a P-DATA-TF ends with {rest} bytes that are no presentation data value")
        else:
            self._pdu_left = rest
            self._in_value = True
            self._value_left = length - _IDS_BYTES
            self._context_id = context_id
            self._is_command = bool(control & _COMMAND)
            self._is_last = bool(control & _LAST)

    def _read_control(self, view: memoryview, position: int) -> tuple[Part | None, int]:
        if self._broken:
            fault, self._fault = self._fault, None
            return fault, len(view)
        after = min(position + self._control_left, len(view))
        self._body += view[position:after]
        self._control_left -= after - position
        if self._control_left:
            return None, after
        part = ControlBody(self._control_type, bytes(self._body))
        self._control_type = 0
        self._body = bytearray()
        return part, after

    def _break(self, text: str, reason: int = _INVALID_VALUE) -> None:
        self._fault = Malformed(text, reason)
        self._broken = True
        self._pdu_left = 0


def _unrecognised(pdu_type: int) -> str:
    """What is wrong, and what the peer seems to speak instead."""
    hint = ""
    if pdu_type == _TLS_HANDSHAKE:
        hint = ": this looks like TLS"
    elif chr(pdu_type).isascii() and chr(pdu_type).isupper():
        hint = ": this looks like HTTP or other text"
    return f"PDU type {pdu_type:#04x} is not known{hint}"


def payload_size(max_length: int) -> int:
    """Bytes of a message that one PDU carries to a peer that announced ``max_length`` (0: any).

    Even where possible, as fragments should be. Whoever announces less than one byte of payload
    gets one byte at a time.
    """
    if max_length == 0:
        return LARGEST_PAYLOAD
    payload = min(max_length - _PDV_OVERHEAD, LARGEST_PAYLOAD)
    return max(payload & ~1, 1)


def command_fragments(context_id: int, command: bytes, payload: int) -> list[Buffer]:
    """A whole command set as P-DATA-TF PDUs of at most ``payload`` bytes of it each."""
    return _fragments(context_id, memoryview(command), payload, _COMMAND, _COMMAND | _LAST)


def data_fragments(context_id: int, chunk: memoryview, payload: int, *, last: bool) -> list[Buffer]:
    """The next ``chunk`` of a data set as headers and slices of the chunk, alternating.

    ``last`` marks the end of the data set; the last chunk may be empty.
    """
    return _fragments(context_id, chunk, payload, 0, _LAST if last else 0)


def _fragments(
    context_id: int, chunk: memoryview, payload: int, control: int, final_control: int
) -> list[Buffer]:
    """Headers and slices; the last slice gets ``final_control``."""
    size = len(chunk)
    if not size:
        return [_data_header(context_id, 0, final_control)] if final_control & _LAST else []
    buffers: list[Buffer] = []
    header = _data_header(context_id, payload, control)
    final = (size - 1) // payload * payload
    for start in range(0, final, payload):
        buffers.append(header)
        buffers.append(chunk[start : start + payload])
    buffers.append(_data_header(context_id, size - final, final_control))
    buffers.append(chunk[final:])
    return buffers


def _data_header(context_id: int, size: int, control: int) -> bytes:
    return _DATA_HEADER.pack(
        PDUType.P_DATA, size + _PDV_OVERHEAD, size + _IDS_BYTES, context_id, control
    )
