"""A Storage SCP of pynetdicom and pydicom that reads all of each data set before it keeps it.

``python -m tests.parsing_scp PORT FOLDER AE_TITLE``: what many writers are, in a few lines. With
``--fragile`` it ends when it cannot read one, as a program does that expects nothing bad.
"""

from __future__ import annotations

import logging
import os
import sys
from itertools import count
from pathlib import Path

from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

ACSE_S, DIMSE_S, NETWORK_S = 2.0, 10.0, 10.0


def serve(port: int, folder: Path, ae_title: str, *, is_fragile: bool) -> None:
    """Serve until killed."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = count(len(list(folder.iterdir())))

    def store(event: evt.Event) -> int:
        try:
            data_set = event.dataset
            for _ in data_set.iterall():
                pass
        except Exception:
            if is_fragile:
                os._exit(1)
            raise
        data_set.file_meta = event.file_meta
        data_set.save_as(folder / str(next(numbers)))
        return 0

    scp = AE(ae_title)
    scp.acse_timeout, scp.dimse_timeout, scp.network_timeout = ACSE_S, DIMSE_S, NETWORK_S
    scp.require_called_aet = True
    scp.maximum_associations = 100
    for context in AllStoragePresentationContexts:
        scp.add_supported_context(context.abstract_syntax or "", AllTransferSyntaxes)
    scp.add_supported_context(Verification)
    handlers: list[evt.EventHandlerType] = [(evt.EVT_C_STORE, store)]
    scp.start_server(("127.0.0.1", port), block=True, evt_handlers=handlers)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    fragile = "--fragile" in sys.argv
    serve(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], is_fragile=fragile)
