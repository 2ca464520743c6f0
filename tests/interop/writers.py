"""Peers as writers: programs that keep what they receive, and what they hold."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.uid import UID, ImplicitVRLittleEndian

from router.dicom.part10 import read_file_header
from router.domain.errors import CannotUnderstand
from tests import peers
from tests.e2e.stack import free_port, wait_until
from tests.interop.programs import PROGRAMS, node_environment
from tests.interop.senders import JAVA
from tests.interop.tap import Carried


@dataclass(frozen=True)
class Writer:
    """A peer that listens, and what it holds: SOP Instance UID to instance."""

    port: int
    held: Callable[[], dict[str, Carried]]


def instance_of(content: bytes, name: str = "") -> tuple[str, Carried] | None:
    """What a file holds: Part 10, or, of its name, a mere data set; None while it is not whole."""
    try:
        header = read_file_header(content)
    except CannotUnderstand:
        # CTN keeps what came as Implicit VR Little Endian without preamble and File Meta group
        is_mere = content.startswith(b"\x08\x00") and UID(name).is_valid
        return (name, Carried(ImplicitVRLittleEndian, content)) if is_mere else None
    data_set = content[header.data_set_offset :]
    return header.sop_instance_uid, Carried(header.transfer_syntax_uid, data_set)


def in_folder(folder: Path) -> dict[str, Carried]:
    """What the files of a folder hold that are under their final names."""
    held = {}
    for path in folder.rglob("*"):
        if not path.is_file() or any(part.startswith(".") for part in path.parts):
            continue
        try:
            found = instance_of(path.read_bytes(), path.name)
        except FileNotFoundError:  # renamed in this moment
            continue
        if found is not None:
            held[found[0]] = found[1]
    return held


def program(
    command: Callable[[int, Path], Sequence[object]], *needed: str, ae_title: str = "WRITER"
) -> Callable[[Path], AbstractContextManager[Writer]]:
    """A writer that is a program which stores files in a folder."""

    @contextmanager
    def listening(folder: Path) -> Iterator[Writer]:
        for one in needed:
            peers.require(one)
        folder.mkdir(parents=True, exist_ok=True)
        port, log = free_port(), folder.with_suffix(".log")
        options: dict[str, Any] = {
            "cwd": folder,
            "env": {**os.environ, **node_environment(), "HOME": str(folder), "TCP_NODELAY": "1"},
        }
        words = [str(word) for word in command(port, folder)]
        with peers.process(words, log, **options):
            wait_until(lambda: peers.echoes(port, ae_title), f"{words[0]} answers")
            yield Writer(port, lambda: in_folder(folder))

    return listening


def _pixelmed(port: int, folder: Path) -> Sequence[object]:
    settings = {
        "Dicom.ListeningPort": port,
        "Dicom.CalledAETitle": "PIXELMED",
        "Dicom.CallingAETitle": "PIXELMED",
        "Dicom.PrimaryDeviceType": "ARCHIVE",
        "Application.SavedImagesFolderName": "stored",
    }
    name = "com.pixelmed.network.StorageSOPClassSCPDispatcher"
    text = "".join(f"{key}={value}\n" for key, value in settings.items())
    (folder / f".{name}.properties").write_text(text)
    return (JAVA[0], f"-Duser.home={folder}", *JAVA[1:], name)


@contextmanager
def _orthanc(folder: Path) -> Iterator[Writer]:
    with peers.orthanc(folder, StoreDicom=True, OverwriteInstances=True) as server:
        files: dict[str, tuple[str, Carried] | None] = {}

        def held() -> dict[str, Carried]:
            for name in server.instances():
                if name not in files:
                    files[name] = instance_of(server.bytes_of(f"/instances/{name}/file"))
            return dict(filter(None, files.values()))

        yield Writer(server.port, held)


WRITERS: dict[str, Callable[[Path], AbstractContextManager[Writer]]] = {
    "dcmtk": program(
        lambda port, folder: ("/usr/bin/storescp", "+B", "+xa", "-pm", "-od", folder, port),
        "dcmtk",
    ),
    "Orthanc": _orthanc,
    "odil": program(
        lambda port, folder: ("/usr/bin/python3", PROGRAMS / "odil_peer.py", port, folder),
        "odil",
    ),
    "CTN": program(
        lambda port, folder: ("/usr/bin/simple_storage", "-s", "-c", "CTN", "-x", folder, port),
        "ctn",
        ae_title="CTN",
    ),
    "PixelMed": program(_pixelmed, "pixelmed", "java", ae_title="PIXELMED"),
    "dcmjs-dimse": program(
        lambda port, folder: ("node", PROGRAMS / "dcmjs_peer.js", "serve", port, folder),
        *("dcmjs-dimse", "node"),
    ),
    "pynetdicom": program(
        lambda port, folder: (
            *(sys.executable, "-m", "pynetdicom", "storescp", port, "-q", "-od", folder),
        )
    ),
}
"""Name to writer, which needs a folder for its files. gdcm brings no storage SCP."""
