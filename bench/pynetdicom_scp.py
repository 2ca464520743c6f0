"""pynetdicom as a storage SCP, tuned: ``python -m bench.pynetdicom_scp PORT FOLDER``."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.transport import AssociationServer

FOLDER = Path(sys.argv[2])


def store(event: Any) -> int:
    """Write the data set as it came."""
    path = FOLDER / f"{event.request.AffectedSOPInstanceUID}.dcm"
    with path.open("wb") as file:
        file.write(event.encoded_dataset())
    return 0x0000


def opened(event: Any) -> None:
    """No delayed writes."""
    connection = event.assoc.dul.socket.socket
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def main() -> None:
    """Serve until killed."""
    AssociationServer.request_queue_size = 1024
    ae = AE("PYNETDICOM")
    ae.maximum_associations = 1000
    ae.maximum_pdu_size = 131_072
    ae.add_supported_context("1.2.840.10008.1.1")
    ae.add_supported_context("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")
    handlers: list[Any] = [(evt.EVT_C_STORE, store), (evt.EVT_CONN_OPEN, opened)]
    ae.start_server(("127.0.0.1", int(sys.argv[1])), block=True, evt_handlers=handlers)


if __name__ == "__main__":
    main()
