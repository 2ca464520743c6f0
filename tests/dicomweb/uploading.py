"""A router that takes STOW-RS, requests to it, and what it answers."""

from __future__ import annotations

import http.client
import io
import json
import socket
import urllib.error
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, generate_uid

from tests.e2e.stack import RouterProcess, WriterProcess, free_port, running, wait_until
from tests.ingress.doorway import PLAIN, attributes

BOUNDARY = "b0undary"
MULTIPART = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
DICOM = "Content-Type: application/dicom"
CLOSING = f"--{BOUNDARY}--\r\n".encode()
PATIENCE_S = 60.0


class StowRouter(RouterProcess):
    """A router process with a port for STOW-RS."""

    __slots__ = ("stow_port",)

    def __init__(self, directory: Path, settings: dict[str, Any], **stow: Any):
        self.stow_port = free_port()
        section = {"listen": f"127.0.0.1:{self.stow_port}", **stow}
        super().__init__(directory, {**settings, "stow": section})

    @property
    def studies_url(self) -> str:
        """Where studies are stored."""
        return f"http://127.0.0.1:{self.stow_port}/dicom-web/studies"

    def study(self, study_uid: str) -> Any:
        """What the router says of a study, as soon as it knows it."""

        def known() -> Any:
            try:
                return self.get(f"/studies/{study_uid}")
            except urllib.error.HTTPError:
                return None

        return wait_until(known, f"study {study_uid} is known")

    def refusal(self, sop_instance_uid: str) -> Any:
        """The refusal of an instance, as soon as it is recorded."""
        return self._listed("refusals", sop_instance_uid)

    def quarantined(self, sop_instance_uid: str) -> Any:
        """The instance in quarantine, as soon as it is recorded."""
        return self._listed("quarantine", sop_instance_uid)

    def _listed(self, what: str, sop_instance_uid: str) -> Any:
        return wait_until(
            lambda: [
                one
                for one in self.get(f"/{what}?limit=1000")[what]
                if one["sop_instance_uid"] == sop_instance_uid
            ],
            f"{sop_instance_uid} is in {what}",
        )[0]


class StowPort(Protocol):
    """Whoever takes STOW-RS on loopback."""

    @property
    def stow_port(self) -> int: ...


@dataclass(frozen=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data_set(self) -> Dataset:
        """The Store Instances Response, as pydicom reads it."""
        assert self.headers["Content-Type"] == "application/dicom+json"
        return Dataset.from_json(self.body.decode())

    @property
    def stored(self) -> list[str]:
        """SOP Instance UIDs of what is stored."""
        items = self.data_set.get("ReferencedSOPSequence", [])
        return [item.ReferencedSOPInstanceUID for item in items]

    @property
    def failed(self) -> dict[str, tuple[int, str]]:
        """SOP Instance UID to reason and comment, of what is not."""
        items = self.data_set.get("FailedSOPSequence", [])
        return {
            item.ReferencedSOPInstanceUID: (item.FailureReason, item[0x00000902].value)
            for item in items
        }

    @property
    def others(self) -> list[tuple[int, str]]:
        """Reason and comment of what could not be told to be any instance."""
        items = self.data_set.get("OtherFailuresSequence", [])
        return [(item.FailureReason, item[0x00000902].value) for item in items]

    @property
    def detail(self) -> str:
        """What a refusal of the whole request says."""
        assert self.headers["Content-Type"].startswith("application/problem+json")
        detail: str = json.loads(self.body)["detail"]
        return detail


def study_of(instances: int, **changes: Any) -> list[Dataset]:
    """A new study of one series."""
    common = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    return [
        attributes(**{**common, "SOPInstanceUID": generate_uid(), **changes})
        for _ in range(instances)
    ]


def file_of(data_set: Dataset, transfer_syntax: str = PLAIN) -> bytes:
    """The data set as a Part 10 file."""
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    content = io.BytesIO()
    pydicom.dcmwrite(content, data_set, enforce_file_format=True)
    return content.getvalue()


def part(content: bytes, *headers: str) -> bytes:
    """One part with its delimiter."""
    lines = [f"--{BOUNDARY}", *(headers or (DICOM,)), "", ""]
    return "\r\n".join(lines).encode() + content + b"\r\n"


def body_of(contents: Iterable[bytes]) -> bytes:
    """A whole body."""
    return b"".join(map(part, contents)) + CLOSING


def post(
    router: StowPort,
    body: bytes | Iterator[bytes],
    study: str = "",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send a request; an iterator is sent chunked, without any Content-Length."""
    connection = http.client.HTTPConnection("127.0.0.1", router.stow_port, timeout=PATIENCE_S)
    path = "/dicom-web/studies" + (f"/{study}" if study else "")
    try:
        connection.request(
            "POST",
            path,
            body,
            {"Content-Type": MULTIPART, **(headers or {})},
            encode_chunked=not isinstance(body, bytes),
        )
        response = connection.getresponse()
        return Answer(response.status, dict(response.headers), response.read())
    finally:
        connection.close()


def post_files(router: StowPort, contents: Sequence[bytes], study: str = "") -> Answer:
    """Send these files in one request."""
    return post(router, body_of(contents), study)


def begin(router: StowPort, length: int) -> socket.socket:
    """A connection on which a body of this length has been announced."""
    connection = socket.create_connection(("127.0.0.1", router.stow_port), PATIENCE_S)
    head = (
        f"POST /dicom-web/studies HTTP/1.1\r\nHost: router\r\nContent-Type: {MULTIPART}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )
    connection.sendall(head.encode())
    return connection


@contextmanager
def a_router_and_its_writer(
    folder: Path, settings: dict[str, Any], **stow: Any
) -> Iterator[tuple[StowRouter, WriterProcess]]:
    """A router that takes STOW-RS, and a writer that gets every study."""
    router = StowRouter(folder / "router", settings, **stow)
    writer = WriterProcess(folder, "BACKUP", router.url, None)
    with running(router, writer):
        wait_until(lambda: router.candidates() == {"BACKUP"}, "the writer is registered")
        yield router, writer


class FullRouter(StowRouter):
    """A router without room for anything: it is up, and never ready."""

    __slots__ = ()

    def is_ready(self) -> bool:
        try:
            self.get("/readyz")
        except urllib.error.HTTPError as answer:
            return b"min_free" in answer.read()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        return False
