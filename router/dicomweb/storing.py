"""One STOW-RS request: from the bytes of its body to what became of each instance.

The instances go through the door one after the other, as on an association; each is durable before
it counts as stored. Nothing of the body is kept here but the head of the part that is arriving.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import anyio
import structlog

from router.dicom.multipart import MultipartReader, PartBegins, PartData, PartEnds
from router.dicom.part10 import FileHeaderReader
from router.dicomweb.results import Result
from router.domain.errors import CannotUnderstand, NotAuthorised, RouterError
from router.ingress.store import Reception
from router.ingress.uploads import Upload

MAX_PARTS = 50_000
"""More instances than any study has; what becomes of each is kept until the answer."""

_PLAIN_ENCODINGS = frozenset({"", "binary", "8bit", "7bit"})

log = structlog.get_logger(__name__)


class BodyBrokenOff(Exception):
    """The body of a request ended before it was whole; the text says how."""


@dataclass(slots=True)
class Outcome:
    """What became of a request. ``broken`` says how its body broke off, if it did."""

    results: list[Result] = field(default_factory=list)
    broken: str = ""


async def store(
    body: AsyncIterator[bytes], reader: MultipartReader, upload: Upload, max_bytes: int | None
) -> Outcome:
    """Take in the parts of a body, whatever happens to it; never raises for what is in it.

    Parts that are whole are stored though the body breaks off behind them.
    """
    outcome = Outcome()
    part: _Part | None = None
    is_whole = False
    try:
        async for chunk in body:
            for event in reader.feed(chunk):
                match event:
                    case PartBegins():
                        if len(outcome.results) >= MAX_PARTS:
                            raise BodyBrokenOff(f"more than {MAX_PARTS} parts; send fewer at once")
                        part = _Part(upload, event, max_bytes)
                    case PartData(data) if part is not None:
                        part.write(data)
                    case PartEnds() if part is not None:
                        ended, part = part, None
                        outcome.results.append(await ended.finish())
        if not reader.is_finished:
            raise BodyBrokenOff("the closing boundary is missing")
        is_whole = True
    except BodyBrokenOff as error:
        outcome.broken = str(error)
        if outcome.results or part is not None:
            outcome.results.append(_cut_off(part, outcome.broken))
    finally:
        if part is not None:
            part.abandon()
        upload.failures = sum(not one.is_stored for one in outcome.results)
        upload.close(is_whole=is_whole)
    return outcome


def _cut_off(part: _Part | None, how: str) -> Result:
    """What is said of the part, or the delimiter, that did not come whole."""
    sop_class_uid, sop_instance_uid = ("", "") if part is None else part.identity
    status = CannotUnderstand.dimse_status
    return Result(sop_class_uid, sop_instance_uid, status, f"broken off: {how}")


class _Part:
    """One part while it arrives: its File Meta group first, then its data set."""

    def __init__(self, upload: Upload, begins: PartBegins, max_bytes: int | None):
        self._upload = upload
        self._max_bytes = max_bytes
        self._bytes = 0
        self._head = FileHeaderReader()
        self._reception: Reception | None = None
        self.identity = ("", "")  # SOP class and instance, as soon as they are known
        fault = _unusable(begins)
        if fault:
            self._reception = upload.refuse(CannotUnderstand(fault))

    def write(self, data: memoryview) -> None:
        """Take the next bytes; keeps no view."""
        self._bytes += len(data)
        reception = self._reception
        if reception is None:
            self._read_head(data)
            return
        if self._max_bytes is not None and self._bytes > self._max_bytes:
            reception.refuse(
                NotAuthorised(f"larger than stow.max_instance, {self._max_bytes} bytes")
            )
        reception.write([data])

    def _read_head(self, data: memoryview) -> None:
        try:
            if self._head.feed(data) is not None:
                self._begin()
        except RouterError as fault:
            self._reception = self._upload.refuse(fault)

    def _begin(self) -> Reception:
        """The head is whole: the data set begins. Raises ``CannotUnderstand``."""
        header = self._head.finish()
        self.identity = (header.sop_class_uid, header.sop_instance_uid)
        self._reception = self._upload.begin(header)
        self._reception.write([self._head.rest()])
        self._head = FileHeaderReader()
        return self._reception

    async def finish(self) -> Result:
        """The part is whole: wait until it is durable, or refused."""
        reception = self._reception
        if reception is None:
            try:
                reception = self._begin()
            except RouterError as fault:
                reception = self._upload.refuse(fault)
        answered = anyio.Event()
        answer = (0, "")

        def answer_with(status: int, comment: str) -> None:
            nonlocal answer
            answer = (status, comment)
            answered.set()

        reception.finish(answer_with)
        await answered.wait()
        result = Result(*self.identity, *answer)
        if result.is_stored and reception.study_instance_uid:
            self._upload.stored.add(reception.study_instance_uid)
        return result

    def abandon(self) -> None:
        """The body ended in the middle of it: nothing of it remains."""
        if self._reception is not None:
            self._reception.abandon()


def _unusable(begins: PartBegins) -> str:
    """What is wrong with the headers of a part; none of them needs to be there."""
    if begins.fault:
        return begins.fault
    media_type = begins.headers.get("content-type", "application/dicom").partition(";")[0]
    if media_type.strip().lower() != "application/dicom":
        return f"the part is {media_type.strip()}, not application/dicom"
    for name in ("content-transfer-encoding", "content-encoding"):
        encoding = begins.headers.get(name, "").lower()
        if encoding not in _PLAIN_ENCODINGS and encoding != "identity":
            return f"the part has {name} {encoding}; send the bytes as they are"
    return ""
