"""Those who send to a writer: data sets for a requestor, and a modality that pauses in one."""

from __future__ import annotations

import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from router.dicom.association import Association
from router.dicom.dimse import CStoreRQ, CStoreRSP
from router.dicom.events import Associated, AssociationEvent, CommandReceived
from router.dicom.negotiation import propose
from router.dicom.part10 import FileHeader, read_file_header
from router.dicom.pdu import AssociateRQ, UserInformation

WITHIN_S = 30
CONTEXT = 1


class MemorySource:
    """A data set in memory, as the requestor reads it."""

    def __init__(self, data_set: bytes):
        self._data_set = data_set
        self.length = len(data_set)

    def try_read_into(self, buffer: memoryview, offset: int) -> int | None:
        piece = self._data_set[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    async def read_into(self, buffer: memoryview, offset: int) -> int:
        raise AssertionError("memory never makes anybody wait")


def head_and_data_set(path: Path) -> tuple[FileHeader, bytes]:
    """What a Part 10 file says of itself, and its data set."""
    content = path.read_bytes()
    header = read_file_header(content)
    return header, content[header.data_set_offset :]


class PausingModality:
    """Sends one file over a blocking socket, half of it at a time."""

    def __init__(self, port: int, path: Path):
        self._header, self._data_set = head_and_data_set(path)
        pair = (self._header.sop_class_uid, self._header.transfer_syntax_uid)
        request = AssociateRQ("WRITER", "CT1", propose([pair]), UserInformation())
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S)
        self._association = Association.requesting(request, 0)

    def __enter__(self) -> Self:
        self._send(b"")
        self._wait_for(Associated)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    def send_first_half(self) -> None:
        """The command, and half of the data set."""
        header = self._header
        request = CStoreRQ(1, header.sop_class_uid, header.sop_instance_uid)
        self._association.send_message(CONTEXT, request, 0)
        self._send(self._data_set[: len(self._data_set) // 2])

    def send_second_half(self) -> int:
        """The rest; the status that is answered."""
        self._send(self._data_set[len(self._data_set) // 2 :], last=True)
        answer = self._wait_for(CommandReceived)
        assert isinstance(answer, CommandReceived)
        assert isinstance(answer.message, CStoreRSP)
        return answer.message.status

    def _send(self, data: bytes, *, last: bool = False) -> None:
        buffers = (
            self._association.data_buffers(CONTEXT, memoryview(data), last=last) if data else []
        )
        self._socket.sendall(self._association.data_to_send() + b"".join(map(bytes, buffers)))

    def _wait_for(self, kind: type[AssociationEvent]) -> AssociationEvent:
        while True:
            received = self._socket.recv(65536)
            assert received, f"the writer closed the connection before {kind}"
            self._association.receive(memoryview(received), 0)
            for event in self._association.take_events():
                if isinstance(event, kind):
                    return event
