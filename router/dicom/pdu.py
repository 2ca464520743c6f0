"""Protocol data units of the upper layer (PS3.8 section 9.3): values, encoding and decoding.

P-DATA-TF is the hot path and has a module of its own, :mod:`router.dicom.pdata`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

from router.domain.errors import ProtocolError


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """A presentation context as proposed (PS3.8 section 9.3.2.2)."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ContextResult:
    """The acceptor's answer to one proposed context (PS3.8 section 9.3.3.2)."""

    context_id: int
    result: int  # 0 acceptance, 1 user rejection, 2 no reason, 3 abstract, 4 transfer syntaxes
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class RoleSelection:
    """SCP/SCU role selection for one SOP class (PS3.7 annex D.3.3.4)."""

    sop_class_uid: str
    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True)
class ExtendedNegotiation:
    """SOP class extended negotiation (PS3.7 annex D.3.3.5)."""

    sop_class_uid: str
    application_information: bytes


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """User identity negotiation request (PS3.7 annex D.3.3.7)."""

    kind: int
    response_requested: bool
    primary: bytes
    secondary: bytes


@dataclass(frozen=True, slots=True)
class UserInformation:
    """The user information item of A-ASSOCIATE-RQ and -AC (PS3.8 annex D.1, PS3.7 annex D.3.3)."""

    max_length: int = 0  # 0: no limit
    implementation_class_uid: str = ""
    implementation_version: str = ""
    async_operations: tuple[int, int] | None = None  # invoked, performed; 0 is unlimited
    roles: tuple[RoleSelection, ...] = ()
    extended: tuple[ExtendedNegotiation, ...] = ()
    user_identity: UserIdentity | None = None
    user_identity_response: bytes | None = None


@dataclass(frozen=True, slots=True)
class AssociateRQ:
    """A-ASSOCIATE-RQ (PS3.8 section 9.3.2)."""

    called_ae_title: str
    calling_ae_title: str
    contexts: tuple[ProposedContext, ...]
    user: UserInformation
    application_context: str = "1.2.840.10008.3.1.1.1"
    protocol_version: int = 1


@dataclass(frozen=True, slots=True)
class AssociateAC:
    """A-ASSOCIATE-AC (PS3.8 section 9.3.3)."""

    called_ae_title: str
    calling_ae_title: str
    results: tuple[ContextResult, ...]
    user: UserInformation
    application_context: str = "1.2.840.10008.3.1.1.1"
    protocol_version: int = 1


@dataclass(frozen=True, slots=True)
class AssociateRJ:
    """A-ASSOCIATE-RJ (PS3.8 section 9.3.4, table 9-21)."""

    result: int
    source: int
    reason: int


@dataclass(frozen=True, slots=True)
class ReleaseRQ:
    """A-RELEASE-RQ (PS3.8 section 9.3.6)."""


@dataclass(frozen=True, slots=True)
class ReleaseRP:
    """A-RELEASE-RP (PS3.8 section 9.3.7)."""


@dataclass(frozen=True, slots=True)
class Abort:
    """A-ABORT (PS3.8 section 9.3.8)."""

    source: int
    reason: int


ControlPDU = AssociateRQ | AssociateAC | AssociateRJ | ReleaseRQ | ReleaseRP | Abort


class PDUType(IntEnum):
    """First byte of a PDU (PS3.8 section 9.3.1)."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    P_DATA = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


MAX_CONTROL_PDU_BYTES = 1 << 20
"""A control PDU of 128 contexts with every transfer syntax is well below this."""

MAX_CONTEXTS = 128
MAX_USER_ITEMS = 1024

HEADER = struct.Struct(">BxI")
"""Type and length of any PDU; the length counts what follows these 6 bytes."""

_ITEM = struct.Struct(">BxH")
_ASSOCIATE = struct.Struct(">HH16s16s32s")
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")

_APPLICATION_CONTEXT = 0x10
_PROPOSED_CONTEXT = 0x20
_CONTEXT_RESULT = 0x21
_ABSTRACT_SYNTAX = 0x30
_TRANSFER_SYNTAX = 0x40
_USER_INFORMATION = 0x50
_MAX_LENGTH = 0x51
_IMPLEMENTATION_UID = 0x52
_ASYNC_OPERATIONS = 0x53
_ROLE_SELECTION = 0x54
_IMPLEMENTATION_VERSION = 0x55
_EXTENDED = 0x56
_USER_IDENTITY_RQ = 0x58
_USER_IDENTITY_AC = 0x59


class PDUDecodeError(ProtocolError):
    """A control PDU that cannot be understood; carries the A-ABORT to answer (table 9-26)."""

    def __init__(self, text: str, reason: int = 6):
        super().__init__(text)
        self.source = 2
        self.reason = reason


def encode(pdu: ControlPDU) -> bytes:
    """The bytes of a control PDU, header included."""
    match pdu:
        case AssociateRQ():
            body = _encode_associate(pdu, [_encode_proposal(c) for c in pdu.contexts])
            return _with_header(PDUType.ASSOCIATE_RQ, body)
        case AssociateAC():
            body = _encode_associate(pdu, [_encode_result(r) for r in pdu.results])
            return _with_header(PDUType.ASSOCIATE_AC, body)
        case AssociateRJ(result, source, reason):
            return _with_header(PDUType.ASSOCIATE_RJ, bytes((0, result, source, reason)))
        case ReleaseRQ():
            return _with_header(PDUType.RELEASE_RQ, bytes(4))
        case ReleaseRP():
            return _with_header(PDUType.RELEASE_RP, bytes(4))
        case Abort(source, reason):
            return _with_header(PDUType.ABORT, bytes((0, 0, source, reason)))


def decode(pdu_type: int, body: bytes | memoryview) -> ControlPDU:
    """The control PDU of this type whose bytes after the header are ``body``.

    Unknown items and sub-items are passed over, in any order; raises ``PDUDecodeError`` for what
    cannot be a PDU.
    """
    data = bytes(body)
    if pdu_type == PDUType.ASSOCIATE_RQ:
        return _decode_request(data)
    if pdu_type == PDUType.ASSOCIATE_AC:
        return _decode_accept(data)
    if pdu_type not in (
        PDUType.ASSOCIATE_RJ,
        PDUType.RELEASE_RQ,
        PDUType.RELEASE_RP,
        PDUType.ABORT,
    ):
        raise PDUDecodeError(f"PDU type {pdu_type:#04x} is not known", reason=1)
    if len(data) < 4:
        raise PDUDecodeError(f"a PDU of type {pdu_type} has only {len(data)} bytes")
    if pdu_type == PDUType.ASSOCIATE_RJ:
        return AssociateRJ(data[1], data[2], data[3])
    if pdu_type == PDUType.ABORT:
        return Abort(data[2], data[3])
    return ReleaseRQ() if pdu_type == PDUType.RELEASE_RQ else ReleaseRP()


def _with_header(pdu_type: int, body: bytes) -> bytes:
    return HEADER.pack(pdu_type, len(body)) + body


def _item(kind: int, value: bytes) -> bytes:
    return _ITEM.pack(kind, len(value)) + value


def _text(text: str) -> bytes:
    """One byte for each character, as they are decoded: an answer is no longer than its request."""
    return text.encode("latin-1", "replace")


def _ae(title: str) -> bytes:
    return _text(title)[:16].ljust(16)


def _encode_associate(pdu: AssociateRQ | AssociateAC, contexts: list[bytes]) -> bytes:
    fixed = _ASSOCIATE.pack(
        pdu.protocol_version, 0, _ae(pdu.called_ae_title), _ae(pdu.calling_ae_title), bytes(32)
    )
    application = _item(_APPLICATION_CONTEXT, _text(pdu.application_context))
    return b"".join((fixed, application, *contexts, _encode_user(pdu.user)))


def _encode_proposal(context: ProposedContext) -> bytes:
    syntaxes = b"".join(_item(_TRANSFER_SYNTAX, _text(uid)) for uid in context.transfer_syntaxes)
    abstract = _item(_ABSTRACT_SYNTAX, _text(context.abstract_syntax))
    return _item(_PROPOSED_CONTEXT, bytes((context.context_id, 0, 0, 0)) + abstract + syntaxes)


def _encode_result(result: ContextResult) -> bytes:
    syntax = _item(_TRANSFER_SYNTAX, _text(result.transfer_syntax))
    return _item(_CONTEXT_RESULT, bytes((result.context_id, 0, result.result, 0)) + syntax)


def _encode_user(user: UserInformation) -> bytes:
    items = [_item(_MAX_LENGTH, _U32.pack(user.max_length))]
    if user.implementation_class_uid:
        items.append(_item(_IMPLEMENTATION_UID, _text(user.implementation_class_uid)))
    if user.async_operations is not None:
        items.append(_item(_ASYNC_OPERATIONS, struct.pack(">HH", *user.async_operations)))
    items.extend(
        _item(_ROLE_SELECTION, _counted(_text(role.sop_class_uid)) + bytes((role.scu, role.scp)))
        for role in user.roles
    )
    if user.implementation_version:
        items.append(_item(_IMPLEMENTATION_VERSION, _text(user.implementation_version)))
    items.extend(
        _item(_EXTENDED, _counted(_text(one.sop_class_uid)) + one.application_information)
        for one in user.extended
    )
    if user.user_identity is not None:
        items.append(_item(_USER_IDENTITY_RQ, _encode_identity(user.user_identity)))
    if user.user_identity_response is not None:
        items.append(_item(_USER_IDENTITY_AC, _counted(user.user_identity_response)))
    return _item(_USER_INFORMATION, b"".join(items))


def _encode_identity(identity: UserIdentity) -> bytes:
    head = bytes((identity.kind, identity.response_requested))
    return head + _counted(identity.primary) + _counted(identity.secondary)


def _counted(value: bytes) -> bytes:
    return _U16.pack(len(value)) + value


Items = Iterator[tuple[int, bytes]]


def _items(data: bytes, start: int) -> Items:
    """Type and value of each item from ``start`` on; raises where one overruns ``data``."""
    end = len(data)
    while start < end:
        if end - start < 4:
            raise PDUDecodeError("an item is cut short")
        kind, length = _ITEM.unpack_from(data, start)
        start += 4
        if length > end - start:
            raise PDUDecodeError(f"item {kind:#04x} overruns what contains it")
        yield kind, data[start : start + length]
        start += length


def _uid(value: bytes) -> str:
    return value.decode("latin-1").strip(" \0")


def _fixed_part(data: bytes) -> tuple[int, str, str]:
    if len(data) < _ASSOCIATE.size:
        raise PDUDecodeError(f"an A-ASSOCIATE PDU has only {len(data)} bytes")
    version, _, called, calling, _ = _ASSOCIATE.unpack_from(data)
    return version, _title(called), _title(calling)


def _title(raw: bytes) -> str:
    return raw.decode("latin-1").strip(" \0")


def _decode_request(data: bytes) -> AssociateRQ:
    version, called, calling = _fixed_part(data)
    application, user = "", UserInformation()
    contexts: list[ProposedContext] = []
    for kind, value in _items(data, _ASSOCIATE.size):
        if kind == _PROPOSED_CONTEXT:
            contexts.append(_decode_proposal(value))
        elif kind == _APPLICATION_CONTEXT:
            application = _uid(value)
        elif kind == _USER_INFORMATION:
            user = _decode_user(value)
        if len(contexts) > MAX_CONTEXTS:
            raise PDUDecodeError(f"more than {MAX_CONTEXTS} presentation contexts")
    return AssociateRQ(called, calling, tuple(contexts), user, application, version)


def _decode_accept(data: bytes) -> AssociateAC:
    version, called, calling = _fixed_part(data)
    application, user = "", UserInformation()
    results: list[ContextResult] = []
    for kind, value in _items(data, _ASSOCIATE.size):
        if kind == _CONTEXT_RESULT:
            results.append(_decode_result(value))
        elif kind == _APPLICATION_CONTEXT:
            application = _uid(value)
        elif kind == _USER_INFORMATION:
            user = _decode_user(value)
        if len(results) > MAX_CONTEXTS:
            raise PDUDecodeError(f"more than {MAX_CONTEXTS} presentation contexts")
    return AssociateAC(called, calling, tuple(results), user, application, version)


def _decode_proposal(value: bytes) -> ProposedContext:
    if len(value) < 4:
        raise PDUDecodeError("a presentation context is cut short")
    is_short = len(value) <= _MAX_REMEMBERED_BYTES
    abstract, syntaxes = (_remembered_syntaxes if is_short else _syntaxes)(value[4:])
    return ProposedContext(value[0], abstract, syntaxes)


def _syntaxes(items: bytes) -> tuple[str, tuple[str, ...]]:
    """The abstract syntax that is proposed, and the transfer syntaxes."""
    abstract = ""
    transfer = []
    for kind, inner in _items(items, 0):
        if kind == _TRANSFER_SYNTAX:
            transfer.append(_uid(inner))
        elif kind == _ABSTRACT_SYNTAX:
            abstract = _uid(inner)
    return abstract, tuple(transfer)


_MAX_REMEMBERED_BYTES = 512
_remembered_syntaxes = lru_cache(maxsize=1024)(_syntaxes)
"""A sender proposes the same each time. What may be strange is bounded, in number and size."""


def _decode_result(value: bytes) -> ContextResult:
    if len(value) < 4:
        raise PDUDecodeError("a presentation context is cut short")
    syntax = ""
    for kind, inner in _items(value, 4):
        if kind == _TRANSFER_SYNTAX:
            syntax = _uid(inner)
    return ContextResult(value[0], value[2], syntax)


def _decode_user(data: bytes) -> UserInformation:
    fields: dict[str, Any] = {}
    roles: list[RoleSelection] = []
    extended: list[ExtendedNegotiation] = []
    for count, (kind, value) in enumerate(_items(data, 0)):
        if count >= MAX_USER_ITEMS:
            raise PDUDecodeError(f"more than {MAX_USER_ITEMS} user information items")
        if kind == _ROLE_SELECTION:
            uid, rest = _take_counted(value)
            roles.append(RoleSelection(_uid(uid), rest[:1] == b"\1", rest[1:2] == b"\1"))
        elif kind == _EXTENDED:
            uid, rest = _take_counted(value)
            extended.append(ExtendedNegotiation(_uid(uid), rest))
        else:
            _decode_single(kind, value, fields)
    return UserInformation(roles=tuple(roles), extended=tuple(extended), **fields)


def _decode_single(kind: int, value: bytes, fields: dict[str, Any]) -> None:
    """User information items of which there is at most one."""
    if kind == _MAX_LENGTH:
        fields["max_length"] = _unpack(_U32, value)[0]
    elif kind == _IMPLEMENTATION_UID:
        fields["implementation_class_uid"] = _uid(value)
    elif kind == _IMPLEMENTATION_VERSION:
        fields["implementation_version"] = value.decode("latin-1").strip(" \0")
    elif kind == _ASYNC_OPERATIONS:
        fields["async_operations"] = _unpack(struct.Struct(">HH"), value)
    elif kind == _USER_IDENTITY_RQ:
        fields["user_identity"] = _decode_identity(value)
    elif kind == _USER_IDENTITY_AC:
        fields["user_identity_response"] = _take_counted(value)[0]


def _unpack(layout: struct.Struct, value: bytes) -> tuple[int, ...]:
    if len(value) < layout.size:
        raise PDUDecodeError("a user information item is cut short")
    return layout.unpack_from(value)


def _take_counted(value: bytes) -> tuple[bytes, bytes]:
    (length,) = _unpack(_U16, value)
    if length > len(value) - 2:
        raise PDUDecodeError("a length inside a user information item overruns it")
    return value[2 : 2 + length], value[2 + length :]


def _decode_identity(value: bytes) -> UserIdentity:
    if len(value) < 2:
        raise PDUDecodeError("a user identity item is cut short")
    primary, rest = _take_counted(value[2:])
    secondary = _take_counted(rest)[0] if rest else b""
    return UserIdentity(value[0], bool(value[1]), primary, secondary)
