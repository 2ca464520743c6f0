"""A tap on the wire: what two programs say to each other, read by neither of them.

A TCP proxy keeps the bytes of both directions. They are decoded afterwards, with pynetdicom, so
that what was sent is known whatever a sender's exit code and a receiver's files say.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import TypeVar

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ

from tests.e2e.stack import free_port

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
C_STORE_RQ, C_STORE_RSP = 0x0001, 0x8001
C_ECHO_RSP = 0x8030
PATIENCE_S = 60.0
PDU = TypeVar("PDU", A_ASSOCIATE_RQ, A_ASSOCIATE_AC)


@dataclass(frozen=True)
class Carried:
    """An instance on the wire."""

    transfer_syntax: str
    data_set: bytes


@dataclass(frozen=True)
class Message:
    """A DIMSE message: its command set, and the data set that came with it."""

    context_id: int
    command: Dataset
    data_set: bytes


@dataclass
class Association:
    """Both directions of one connection."""

    there: bytearray = field(default_factory=bytearray)
    """Bytes of the requestor."""
    back: bytearray = field(default_factory=bytearray)
    """Bytes of the acceptor."""
    was_reset: bool = False
    """Whether the requestor reset the connection."""

    @property
    def request(self) -> A_ASSOCIATE_RQ | None:
        """The A-ASSOCIATE-RQ, if one was sent."""
        return next(
            (_decoded(A_ASSOCIATE_RQ, pdu) for pdu in _pdus(self.there, ASSOCIATE_RQ)), None
        )

    @property
    def answer(self) -> A_ASSOCIATE_AC | None:
        """The A-ASSOCIATE-AC, if the association was accepted."""
        pdu = next(_pdus(self.back, ASSOCIATE_AC), None)
        return None if pdu is None else _decoded(A_ASSOCIATE_AC, pdu)

    @property
    def accepted(self) -> dict[int, str]:
        """Context id to transfer syntax, of contexts that were accepted."""
        if self.answer is None:
            return {}
        return {
            int(context.context_id or 0): str(context.transfer_syntax)
            for context in self.answer.presentation_context
            if context.result == 0
        }

    @property
    def proposed(self) -> list[tuple[str, list[str]]]:
        """Abstract syntax and transfer syntaxes of each context that was proposed."""
        if self.request is None:
            return []
        return [
            (str(context.abstract_syntax), [str(syntax) for syntax in context.transfer_syntax])
            for context in self.request.presentation_context
        ]

    @property
    def sent(self) -> dict[str, Carried]:
        """SOP Instance UID to instance, of the C-STORE requests that were sent in full."""
        return {
            str(message.command.AffectedSOPInstanceUID): Carried(
                self.accepted.get(message.context_id, ""), message.data_set
            )
            for message in _messages(self.there)
            if message.command.CommandField == C_STORE_RQ
        }

    @property
    def stored(self) -> dict[str, int]:
        """SOP Instance UID to status, of the C-STORE requests that were answered.

        Message IDs come again in an association; their answers come in the order of the requests.
        """
        asked: dict[int, deque[str]] = {}
        for message in _messages(self.there):
            if message.command.CommandField == C_STORE_RQ:
                uids = asked.setdefault(message.command.MessageID, deque())
                uids.append(str(message.command.AffectedSOPInstanceUID))
        return {
            asked[message.command.MessageIDBeingRespondedTo].popleft(): message.command.Status
            for message in _messages(self.back)
            if message.command.CommandField == C_STORE_RSP
        }

    @property
    def echoes(self) -> int:
        """How many C-ECHO requests were answered with success."""
        return sum(
            message.command.CommandField == C_ECHO_RSP and message.command.Status == 0
            for message in _messages(self.back)
        )

    @property
    def ending(self) -> str:
        """How the requestor ended it: ``released``, ``aborted`` or ``left``."""
        kinds = [pdu[0] for pdu in _pdus(self.there)]
        if RELEASE_RQ in kinds:
            return "released"
        return "aborted" if ABORT in kinds else "left"


def _pdus(stream: bytearray, *kinds: int) -> Iterator[bytes]:
    """The whole PDUs of a stream, of these kinds or of all."""
    offset, content = 0, bytes(stream)
    while offset + 6 <= len(content):
        end = offset + 6 + int.from_bytes(content[offset + 2 : offset + 6], "big")
        if end <= len(content) and (not kinds or content[offset] in kinds):
            yield content[offset:end]
        offset = end


def _decoded(kind: type[PDU], pdu: bytes) -> PDU:
    decoded = kind()
    decoded.decode(pdu)
    return decoded


def _messages(stream: bytearray) -> Iterator[Message]:
    """The complete messages of a stream, in their order."""
    command: Dataset | None = None
    parts: list[bytes] = []
    for context_id, header, fragment in _pdvs(stream):
        parts.append(fragment)
        is_command, is_last = header & 1, header & 2
        if not is_last:
            continue
        content, parts = b"".join(parts), []
        if is_command:
            command = read_dataset(BytesIO(content), is_implicit_VR=True, is_little_endian=True)
            if command.CommandDataSetType != 0x0101:
                continue
            content = b""
        if command is not None:
            yield Message(context_id, command, content)
            command = None


def _pdvs(stream: bytearray) -> Iterator[tuple[int, int, bytes]]:
    """Context id, message control header and fragment of each PDV (PS3.8 section 9.3.5.1)."""
    for pdu in _pdus(stream, P_DATA):
        offset = 6
        while offset < len(pdu):
            length, context_id, header = struct.unpack_from(">LBB", pdu, offset)
            yield context_id, header, pdu[offset + 6 : offset + 4 + length]
            offset += 4 + length


class Tap:
    """A proxy in front of a port of this machine, and what went through it."""

    def __init__(self, target: int):
        self.port = free_port()
        self.associations: list[Association] = []
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Stop listening, and wait for the connections that are open."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self._listener.close()

    @property
    def sent(self) -> dict[str, Carried]:
        """All instances that were sent."""
        return {uid: one for each in self.associations for uid, one in each.sent.items()}

    @property
    def stored(self) -> dict[str, int]:
        """All answers."""
        return {uid: status for each in self.associations for uid, status in each.stored.items()}

    def _accept(self) -> None:
        while True:
            try:
                requestor, _ = self._listener.accept()
            except OSError:
                return
            try:
                acceptor = socket.create_connection(("127.0.0.1", self._target), PATIENCE_S)
            except OSError:
                requestor.close()
                continue
            association = Association()
            self.associations.append(association)
            self._threads.append(
                threading.Thread(target=_relay, args=(requestor, acceptor, association))
            )
            self._threads[-1].start()


def _relay(requestor: socket.socket, acceptor: socket.socket, association: Association) -> None:
    """Carry both directions until each has ended; an end is passed on as it came."""
    for one in (requestor, acceptor):
        one.settimeout(PATIENCE_S)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    back = threading.Thread(target=_carry, args=(acceptor, requestor, association.back))
    with requestor, acceptor:
        back.start()
        association.was_reset = _carry(requestor, acceptor, association.there)
        back.join(PATIENCE_S)


def _carry(source: socket.socket, target: socket.socket, record: bytearray) -> bool:
    """Carry one direction to its end; whether that was a reset by the source."""
    try:
        while chunk := source.recv(65536):
            record += chunk
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError as ended:  # both directions are over
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        return isinstance(ended, ConnectionResetError)
    return False


@contextmanager
def tap(target: int) -> Iterator[Tap]:
    """A tap on a port; whatever goes through it is whole when the block has ended."""
    tapped = Tap(target)
    try:
        yield tapped
    finally:
        tapped.close()
