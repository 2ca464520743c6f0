"""What this disk and this language allow: ``python -m bench.limit PORT FOLDER``.

A thread for each association receives, appends to one file, flushes (``fdatasync``), and answers;
it looks at no data set, keeps no books, and could not recover what it has written.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from pathlib import Path

from router.dicom.association import Association
from router.dicom.dimse import CEchoRQ, CEchoRSP, CStoreRQ, CStoreRSP
from router.dicom.dimse_codec import decode_message, encode_message
from router.dicom.events import AssociateRequested
from router.dicom.negotiation import AcceptancePolicy, negotiate
from router.dicom.pdata import command_fragments
from router.dicom.pdu import AssociateAC, ReleaseRP, encode
from router.net.sockets import acknowledge_quickly, tune

P_DATA, RELEASE_RQ = 4, 5
COMMAND, LAST = 1, 2
HEADER = 12  # of a PDU with one presentation data value
BUFFER_BYTES = 256 * 1024


def open_association(connection: socket.socket) -> None:
    """Accept whatever is proposed."""
    association = Association.accepting(time.monotonic(), artim_s=30.0)
    while True:
        association.receive(memoryview(connection.recv(65536)), time.monotonic())
        for event in association.take_events():
            if isinstance(event, AssociateRequested):
                answer = negotiate(event.request, AcceptancePolicy())
                if isinstance(answer, AssociateAC):
                    association.accept(answer, time.monotonic())
                connection.sendall(association.data_to_send())
                return


def receive_exactly(connection: socket.socket, view: memoryview) -> bool:
    """Fill the view; False: the peer has gone."""
    position = 0
    while position < len(view):
        size = connection.recv_into(view[position:])
        if not size:
            return False
        acknowledge_quickly(connection)
        position += size
    return True


def serve(connection: socket.socket, file: int) -> None:
    """One association: PDUs with one presentation data value each, as all senders here make."""
    tune(connection)
    open_association(connection)
    buffer = memoryview(bytearray(BUFFER_BYTES))
    while receive_exactly(connection, buffer[:6]):
        size = int.from_bytes(buffer[2:6], "big")
        if buffer[0] != P_DATA:
            if buffer[0] == RELEASE_RQ and receive_exactly(connection, buffer[6 : 6 + size]):
                connection.sendall(encode(ReleaseRP()))
            return
        if not receive_exactly(connection, buffer[6 : 6 + size]):
            return
        context_id, control = buffer[10], buffer[11]
        content = buffer[HEADER : 6 + size]
        if control & COMMAND:
            message = decode_message(bytes(content))
            if isinstance(message, CEchoRQ):
                echo = CEchoRSP(message.message_id, "1.2.840.10008.1.1", 0)
                reply(connection, context_id, encode_message(echo))
            continue
        os.write(file, content)
        if control & LAST and isinstance(message, CStoreRQ):
            os.fdatasync(file)
            stored = CStoreRSP(
                message.message_id, message.sop_class_uid, message.sop_instance_uid, 0, ""
            )
            reply(connection, context_id, encode_message(stored))


def reply(connection: socket.socket, context_id: int, command: bytes) -> None:
    """Send a response."""
    connection.sendall(b"".join(command_fragments(context_id, command, 16_384)))


def main() -> None:
    """Serve until killed."""
    folder = Path(sys.argv[2])
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024) as listener:
        number = 0
        while True:
            connection, _ = listener.accept()
            number += 1
            file = os.open(folder / f"{number}.bin", os.O_WRONLY | os.O_CREAT, 0o600)
            threading.Thread(target=serve, args=(connection, file), daemon=True).start()


if __name__ == "__main__":
    main()
