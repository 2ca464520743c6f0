"""Peers as senders. What they say of their success is kept for messages, and believed by nobody."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import (
    MPEG4HP41,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import AE, _config

from router.dicom.part10 import read_file_header
from tests import peers
from tests.interop.encodings import PRIVATE_SOP_CLASS
from tests.interop.programs import PROGRAMS, node_environment

HOST = "127.0.0.1"
CALLED = "ROUTER"
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Sender:
    """How a peer sends to a port of this machine; both answer with what its program said."""

    echo: Callable[[int], str]
    store: Callable[[int, Sequence[Path]], str]


def run(*command: object, said: str | None = None) -> str:
    """Run a program to its end, or to the end of patience; its exit code is not looked at."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            input=said,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_S,
            env={**os.environ, **node_environment(), "TCP_NODELAY": "1"},
            check=False,
        )
    except subprocess.TimeoutExpired:  # gdcm waits for an answer to what it has not asked
        return f"no end within {PATIENCE_S:g} s"
    return done.stdout + done.stderr


DCMTK_PROPOSES: dict[str, str] = {
    ImplicitVRLittleEndian: "-xi",
    ExplicitVRLittleEndian: "-xe",
    ExplicitVRBigEndian: "-xb",
    DeflatedExplicitVRLittleEndian: "-xd",
    JPEGBaseline8Bit: "-xy",
    JPEGLosslessSV1: "-xs",
    JPEGLSLossless: "-xt",
    JPEG2000Lossless: "-xv",
    RLELossless: "-xr",
    MPEG4HP41: "-xn",
}
"""What storescu must be told to propose the transfer syntax of its files."""


def _dcmtk_store(port: int, files: Sequence[Path]) -> str:
    header = read_file_header(files[0].read_bytes())
    option = DCMTK_PROPOSES.get(header.transfer_syntax_uid)
    if option is None or header.sop_class_uid == PRIVATE_SOP_CLASS:
        # storescu proposes no others; dcmsend does, in an order of its own
        return run("/usr/bin/dcmsend", "--decompress-never", "-aec", CALLED, HOST, port, *files)
    return run("/usr/bin/storescu", "-R", option, "-aec", CALLED, HOST, port, *files)


DCMTK = Sender(lambda port: run("/usr/bin/echoscu", "-aec", CALLED, HOST, port), _dcmtk_store)

ODIL = Sender(
    lambda port: run("/usr/bin/odil", "echo", HOST, port, "ODIL", CALLED),
    lambda port, files: run("/usr/bin/odil", "store", HOST, port, "ODIL", CALLED, *files),
)

CTN = Sender(
    lambda port: run("/usr/bin/dicom_echo", "-a", "CTN", "-c", CALLED, HOST, port),
    lambda port, files: run("/usr/bin/send_image", "-a", "CTN", "-c", CALLED, HOST, port, *files),
)

GDCM_AS = ("--aetitle", "GDCM", "--call", CALLED, HOST)
GDCM = Sender(
    lambda port: run("/usr/bin/gdcmscu", "--echo", *GDCM_AS, port),
    lambda port, files: run("/usr/bin/gdcmscu", "--store", "-E", *GDCM_AS, port, *files),
)

JAVA = ("java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", "/usr/share/java/pixelmed.jar")
PIXELMED = Sender(
    lambda port: run(
        *JAVA,
        *("com.pixelmed.network.VerificationSOPClassSCU", HOST, port, CALLED, "PIXELMED"),
        "NONSECURE",
    ),
    lambda port, files: run(
        *JAVA,
        *("com.pixelmed.network.StorageSOPClassSCU", HOST, port, CALLED, "PIXELMED", "-"),
        said="".join(f"{file}\n" for file in files),
    ),
)

DCMJS_PROGRAM = ("node", PROGRAMS / "dcmjs_peer.js")
DCMJS = Sender(
    lambda port: run(*DCMJS_PROGRAM, "echo", port),
    lambda port, files: run(*DCMJS_PROGRAM, "send", port, *files),
)


def _pynetdicom_echo(port: int) -> str:
    ae = AE("PYNETDICOM")
    ae.add_requested_context("1.2.840.10008.1.1")
    association = ae.associate(HOST, port, ae_title=CALLED)
    answer = association.send_c_echo() if association.is_established else None
    association.release()
    return str(answer)


def pynetdicom_store(port: int, files: Sequence[Path], called: str = CALLED) -> str:
    """Send files as they are, each in a context of its own SOP class and transfer syntax."""
    ae = AE("PYNETDICOM")
    headers = [read_file_header(file.read_bytes()) for file in files]
    for sop_class, syntax in {(one.sop_class_uid, one.transfer_syntax_uid) for one in headers}:
        ae.add_requested_context(sop_class, syntax)
    was, _config.STORE_SEND_CHUNKED_DATASET = _config.STORE_SEND_CHUNKED_DATASET, True
    association = ae.associate(HOST, port, ae_title=called)
    answers = []
    try:
        for file in files:
            answers.append(str(association.send_c_store(file)))
    except (RuntimeError, ValueError) as refused:  # no association; no context accepted
        answers.append(str(refused))
    finally:
        association.release()
        _config.STORE_SEND_CHUNKED_DATASET = was
    return "\n".join(answers)


PYNETDICOM = Sender(_pynetdicom_echo, pynetdicom_store)


@contextmanager
def _orthanc(folder: Path) -> Iterator[Sender]:
    """An Orthanc that is told, for each call, where its one modality is."""
    with peers.orthanc(folder / "orthanc") as server:

        def to(port: int, operation: str, body: object) -> str:
            modality = f"/modalities/port{port}"
            server.put(modality, {"AET": CALLED, "Host": HOST, "Port": port})
            return server.tell(f"{modality}/{operation}", body)

        def store(port: int, files: Sequence[Path]) -> str:
            answers = [server.tell("/instances", file.read_bytes()) for file in files]
            held = [json.loads(answer).get("ID") for answer in answers]
            if None in held:
                return "\n".join(answers)
            return to(port, "store", held)

        yield Sender(lambda port: to(port, "echo", {}), store)


@contextmanager
def _always(sender: Sender, *needed: str) -> Iterator[Sender]:
    """A sender that is a program of its own for each call."""
    for program in needed:
        peers.require(program)
    yield sender


SENDERS: dict[str, Callable[[Path], AbstractContextManager[Sender]]] = {
    "dcmtk": lambda _: _always(DCMTK, "dcmtk"),
    "Orthanc": _orthanc,
    "odil": lambda _: _always(ODIL, "odil"),
    "CTN": lambda _: _always(CTN, "ctn"),
    "gdcm": lambda _: _always(GDCM, "gdcm"),
    "PixelMed": lambda _: _always(PIXELMED, "pixelmed", "java"),
    "dcmjs-dimse": lambda _: _always(DCMJS, "dcmjs-dimse", "node"),
    "pynetdicom": lambda _: _always(PYNETDICOM),
}
"""Name to sender, which may need a folder for its files."""
