"""odil as a storage SCP: ``odil_peer.py PORT FOLDER``. Runs in Debian's Python, which has odil."""

from __future__ import annotations

import sys
from pathlib import Path

import odil  # type: ignore[import-not-found,unused-ignore]


def text(value: bytes | str) -> str:
    """A UID; odil gives some as bytes and some as text."""
    return value.decode() if isinstance(value, bytes) else value


def transfer_syntax(association: odil.Association, sop_class: str) -> str:
    """What was negotiated for a SOP class."""
    parameters = association.get_negotiated_parameters()
    for context in parameters.get_presentation_contexts():
        if text(context.abstract_syntax) == sop_class:
            return text(next(iter(context.transfer_syntaxes)))
    raise ValueError(f"no presentation context for {sop_class}")


def serve_one(port: int, folder: Path) -> None:
    """Serve an association to its end."""
    association = odil.Association()
    association.receive_association("v4", port)

    def store(request: odil.messages.CStoreRequest) -> int:
        uid = text(request.get_affected_sop_instance_uid())
        syntax = transfer_syntax(association, text(request.get_affected_sop_class_uid()))
        path = folder / f"{uid}.part"
        header = odil.DataSet()
        odil.Writer.write_file(request.get_data_set(), str(path), header, syntax)
        path.rename(folder / f"{uid}.dcm")
        return 0

    echo, storage = odil.EchoSCP(association), odil.StoreSCP(association)
    echo.set_callback(lambda _: 0)
    storage.set_callback(store)
    dispatcher = odil.SCPDispatcher(association)
    dispatcher.set_echo_scp(echo)
    dispatcher.set_store_scp(storage)
    while True:
        dispatcher.dispatch()


def main() -> None:
    """Serve one association after another."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    while True:
        try:
            serve_one(port, folder)
        except Exception as ended:  # noqa: BLE001 - released, aborted, or it could not read that
            sys.stderr.write(f"{ended!r}\n")


main()
