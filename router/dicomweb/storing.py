"""One STOW-RS request: from the bytes of its body to what became of each instance.

The instances come one after the other, as on an association; each is finished by whoever takes it
before the next begins. Nothing of the body is kept here but the head of the part that is arriving.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from router.dicom.multipart import MultipartReader, PartBegins, PartData, PartEnds
from router.dicomweb.results import Result
from router.domain.errors import CannotUnderstand
from router.ingress.uploads import FileReception, PartTaker

MAX_PARTS = 50_000
"""More instances than any study has; what becomes of each is kept until the answer."""

_PLAIN_ENCODINGS = frozenset({"", "binary", "8bit", "7bit"})


class BodyBrokenOff(Exception):
    """The body of a request ended before it was whole; the text says how."""


@dataclass(slots=True)
class Outcome:
    """What became of a request. ``broken`` says how its body broke off, if it did."""

    results: list[Result] = field(default_factory=list)
    broken: str = ""

    @property
    def is_all_stored(self) -> bool:
        """Whether the body came whole, and nothing in it failed."""
        return not self.broken and all(result.is_stored for result in self.results)


async def store(
    body: AsyncIterator[bytes], reader: MultipartReader, upload: PartTaker, max_bytes: int | None
) -> Outcome:
    """Take in the parts of a body, whatever happens to it; never raises for what is in it.

    Parts that are whole are stored though the body breaks off behind them.
    """
    outcome = Outcome()
    part: FileReception | None = None
    is_whole = False
    try:
        async for chunk in body:
            for event in reader.feed(chunk):
                match event:
                    case PartBegins():
                        if len(outcome.results) >= MAX_PARTS:
                            raise BodyBrokenOff(f"more than {MAX_PARTS} parts; send fewer at once")
                        part = FileReception(upload, max_bytes, _unusable(event))
                    case PartData(data) if part is not None:
                        part.write(data)
                    case PartEnds() if part is not None:
                        ended, part = part, None
                        status, reason = await ended.finish()
                        study = ended.study_instance_uid
                        outcome.results.append(Result(*ended.identity, status, reason, study))
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
        upload.close(is_whole=is_whole)
    return outcome


def _cut_off(part: FileReception | None, how: str) -> Result:
    """What is said of the part, or the delimiter, that did not come whole."""
    sop_class_uid, sop_instance_uid = ("", "") if part is None else part.identity
    status = CannotUnderstand.dimse_status
    return Result(sop_class_uid, sop_instance_uid, status, f"broken off: {how}")


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
