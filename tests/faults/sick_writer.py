"""A writer that misbehaves in one way, over a plain socket, until the file ``well`` appears.

``python -m tests.faults.sick_writer PORT FOLDER ILLNESS``. What it has stored is in
``FOLDER/<SOP Instance UID>``, the data set as it came; a name in ``FOLDER/calls`` is a connection.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from router.dicom import dimse, dimse_codec, pdata, pdu, uids
from router.dicom.dimse import CEchoRQ, CEchoRSP, CStoreRQ, CStoreRSP
from router.dicom.negotiation import AcceptancePolicy, negotiate
from router.dicom.pdu import AssociateAC, AssociateRQ, PDUType

WELL = "well"
RESET_AFTER_BYTES = 40_000
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
REJECTION = pdu.AssociateRJ(result=1, source=1, reason=1)  # permanent, no reason given
ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
P_DATA, RELEASE_RQ = 4, 5
NEVER_S = 3600.0


class Illness(StrEnum):
    """What a writer does wrong."""

    MUTE = "accepts a connection and never answers the association request"
    REJECTS = "rejects every association"
    SILENT = "accepts an association, takes an instance and never answers it"
    DEAF = "accepts an association and never reads from it"
    BREAKS = "resets the connection in the middle of every object"
    BREAKS_ON_SECOND = "resets the connection in the middle of instance 2"
    FULL = "answers A700"
    WARNS = "answers B000"
    REFUSES_SECOND = "answers C000 to instance 2"
    HALF = "refuses every presentation context but those of CT Image Storage"
    CLOSES = "closes the connection after each instance"


class Gone(Exception):
    """The connection has come to its end."""


@dataclass(slots=True)
class Visit:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    folder: Path
    illness: Illness

    def has(self, *illnesses: Illness) -> bool:
        """Whether the writer is ill in one of these ways, still."""
        return self.illness in illnesses and not (self.folder / WELL).exists()

    async def serve(self) -> None:
        """Accept an association and take what it brings."""
        _, body = await self._pdu()
        if self.has(Illness.MUTE):
            await asyncio.sleep(NEVER_S)
        await self._accept(body)
        if self.has(Illness.DEAF):
            await asyncio.sleep(NEVER_S)
        while True:
            await self._take_message()

    async def _pdu(self) -> tuple[int, bytes]:
        kind, length = struct.unpack(">BxI", await self.reader.readexactly(6))
        return kind, await self.reader.readexactly(length)

    async def _accept(self, body: bytes) -> None:
        request = pdu.decode(PDUType.ASSOCIATE_RQ, body)
        assert isinstance(request, AssociateRQ)
        if self.has(Illness.REJECTS):
            self.writer.write(pdu.encode(REJECTION))
            raise Gone
        answer = negotiate(request, AcceptancePolicy())
        assert isinstance(answer, AssociateAC)
        if self.has(Illness.HALF):
            foreign = {
                proposed.context_id
                for proposed in request.contexts
                if proposed.abstract_syntax != CT_IMAGE_STORAGE
            }
            results = tuple(
                replace(result, result=ABSTRACT_SYNTAX_NOT_SUPPORTED)
                if result.context_id in foreign
                else result
                for result in answer.results
            )
            answer = replace(answer, results=results)
        self.writer.write(pdu.encode(answer))

    async def _fragments(self) -> Iterator[tuple[int, int, bytes]]:
        """Context, control header and bytes of each value of the next P-DATA-TF."""
        kind, body = await self._pdu()
        if kind == RELEASE_RQ:
            self.writer.write(pdu.encode(pdu.ReleaseRP()))
        if kind != P_DATA:
            raise Gone
        return _values(body)

    async def _take_message(self) -> None:
        command, data, context_id = bytearray(), bytearray(), 0
        request: dimse.Message | None = None
        is_whole = False
        while not is_whole:
            for pdv_context_id, control, value in await self._fragments():
                context_id = pdv_context_id
                is_command, is_last = control & 1, bool(control & 2)
                (command if is_command else data).extend(value)
                if is_command and is_last:
                    request = dimse_codec.decode_message(bytes(command))
                    is_whole = not request.has_data_set
                is_whole = is_whole or (is_last and not is_command)
            if isinstance(request, CStoreRQ) and len(data) > RESET_AFTER_BYTES:
                self._break_if_ill(request)
        await self._answer(context_id, request, bytes(data))

    def _break_if_ill(self, request: CStoreRQ) -> None:
        is_second = request.sop_instance_uid.endswith(".2")
        if self.has(Illness.BREAKS) or (is_second and self.has(Illness.BREAKS_ON_SECOND)):
            self.writer.transport.abort()
            raise Gone

    async def _answer(self, context_id: int, request: dimse.Message | None, data: bytes) -> None:
        if isinstance(request, CEchoRQ):
            self._send(context_id, CEchoRSP(request.message_id, uids.VERIFICATION, 0))
        assert isinstance(request, CEchoRQ | CStoreRQ)
        if isinstance(request, CEchoRQ):
            return
        if self.has(Illness.SILENT):
            await asyncio.sleep(NEVER_S)
        status = self._status(request)
        if status >> 12 in (0, 0xB):
            (self.folder / request.sop_instance_uid).write_bytes(data)
        answer = CStoreRSP(
            request.message_id, request.sop_class_uid, request.sop_instance_uid, status
        )
        self._send(context_id, answer)
        if self.has(Illness.CLOSES):
            await self.writer.drain()
            raise Gone

    def _status(self, request: CStoreRQ) -> int:
        if self.has(Illness.FULL):
            return 0xA700
        if self.has(Illness.WARNS):
            return 0xB000
        is_second = request.sop_instance_uid.endswith(".2")
        return 0xC000 if is_second and self.has(Illness.REFUSES_SECOND) else 0

    def _send(self, context_id: int, message: dimse.Message) -> None:
        encoded = dimse_codec.encode_message(message)
        self.writer.writelines(pdata.command_fragments(context_id, encoded, 16378))


def _values(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    position = 0
    while position < len(body):
        length, context_id, control = struct.unpack_from(">IBB", body, position)
        yield context_id, control, body[position + 6 : position + 4 + length]
        position += 4 + length


async def serve(port: int, folder: Path, illness: Illness) -> None:
    """Serve until killed."""
    calls = folder / "calls"
    calls.mkdir(parents=True, exist_ok=True)

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, peer_port = writer.get_extra_info("peername")
        (calls / f"{host}-{peer_port}").touch()
        try:
            await Visit(reader, writer, folder, illness).serve()
        except (Gone, OSError, asyncio.IncompleteReadError):
            writer.close()

    server = await asyncio.start_server(visit, "127.0.0.1", port, limit=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), Illness[sys.argv[3]]))
