"""Multipart bodies as a stream (RFC 2046 section 5.1, as PS3.18 section 8.6 uses it): no I/O.

Bytes in, events out. What is wrong with one part is said with that part, and the next one is found
nevertheless: only the delimiters divide a body, whatever a part's headers say of its length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

MAX_BOUNDARY = 256
"""RFC 2046 allows 70 characters; Orthanc's DICOMweb plugin uses 73."""
MAX_HEADERS_BYTES = 8 * 1024
MAX_PADDING = 64
"""White space that may stand behind a boundary, before its line ends."""


@dataclass(frozen=True, slots=True)
class PartBegins:
    """A part with these headers, names in lower case; ``fault``: why they cannot be used."""

    headers: Mapping[str, str]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class PartData:
    """The next bytes of the part, valid until the next event is asked for."""

    data: memoryview


@dataclass(frozen=True, slots=True)
class PartEnds:
    """The part is whole: its delimiter has come."""


Event = PartBegins | PartData | PartEnds


class _Place(Enum):
    PREAMBLE = auto()
    HEADERS = auto()
    BODY = auto()
    EPILOGUE = auto()


@dataclass(frozen=True, slots=True)
class _Delimiter:
    """A delimiter line in the buffer, or what may become one with more bytes."""

    start: int
    end: int = 0  # where its CRLF begins, or behind its last hyphen; 0: more bytes are needed
    is_last: bool = False


class MultipartReader:
    """Divides one body into its parts; keeps no more than headers and half a delimiter.

    A line that begins with the boundary and goes on with anything but white space is data.
    """

    def __init__(self, boundary: str):
        """Raises ``ValueError`` for a boundary that is none, or longer than any."""
        if not 0 < len(boundary) <= MAX_BOUNDARY or not boundary.isascii():
            raise ValueError(f"a boundary has 1 to {MAX_BOUNDARY} ASCII characters")
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._held = b"\r\n"  # so that the first delimiter may begin the body
        self._place = _Place.PREAMBLE

    @property
    def is_finished(self) -> bool:
        """Whether the closing delimiter has come."""
        return self._place is _Place.EPILOGUE

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take the next bytes; iterate to the end before the next call."""
        buffer = self._held + data if self._held else data
        self._held = b""
        following: int | None = 0
        while following is not None:
            at = following
            match self._place:
                case _Place.EPILOGUE:
                    return
                case _Place.HEADERS:
                    following, events = self._headers(buffer, at)
                    yield from events
                case _:
                    delimiter = self._find(buffer, at)
                    end = len(buffer) if delimiter is None else delimiter.start
                    if self._place is _Place.BODY and end > at:
                        yield PartData(memoryview(buffer)[at:end])
                    if delimiter is None or not delimiter.end:
                        self._held = buffer[end:]
                        return
                    if self._place is _Place.BODY:
                        yield PartEnds()
                    self._place = _Place.EPILOGUE if delimiter.is_last else _Place.HEADERS
                    following = delimiter.end

    def _find(self, buffer: bytes, position: int) -> _Delimiter | None:
        """The next delimiter at or behind ``position``, or what may become one."""
        length = len(self._delimiter)
        while (start := buffer.find(self._delimiter, position)) >= 0:
            found = self._judge(buffer, start, start + length)
            if found is not None:
                return found
            position = start + length
        start = buffer.rfind(b"\r", max(position, len(buffer) - length))
        if start >= 0 and self._delimiter.startswith(buffer[start:]):
            return _Delimiter(start)
        return None

    def _judge(self, buffer: bytes, start: int, behind: int) -> _Delimiter | None:
        """What follows a boundary makes it a delimiter, or data (None)."""
        line = buffer[behind : behind + MAX_PADDING + 2]
        if line[:2] == b"--":
            return _Delimiter(start, behind + 2, is_last=True)
        padding = len(line) - len(line.lstrip(b" \t"))
        rest = line[padding:]
        if rest[:2] == b"\r\n":
            return _Delimiter(start, behind + padding)
        is_open = rest in (b"", b"\r") or line == b"-"
        if is_open and len(buffer) <= behind + MAX_PADDING + 1:
            return _Delimiter(start)
        return None

    def _headers(self, buffer: bytes, position: int) -> tuple[int | None, tuple[Event, ...]]:
        """What has been found, and where to go on (None: more bytes are needed).

        Headers begin with the CRLF of their delimiter and end with an empty line, or, of a part
        without body, with the next delimiter.
        """
        end = buffer.find(b"\r\n\r\n", position)
        delimiter = self._find(buffer, position)
        has_no_body = delimiter is not None and (end < 0 or delimiter.start <= end + 2)
        reached = end if end >= 0 else len(buffer)
        if delimiter is not None and has_no_body:
            reached = delimiter.start
        if reached - position > MAX_HEADERS_BYTES:
            self._place = _Place.BODY
            fault = f"its headers are longer than {MAX_HEADERS_BYTES} bytes"
            return position, (PartBegins({}, fault),)
        if delimiter is not None and has_no_body and delimiter.end:
            self._place = _Place.EPILOGUE if delimiter.is_last else _Place.HEADERS
            return delimiter.end, (_parse(buffer[position : delimiter.start]), PartEnds())
        if has_no_body:
            self._held = buffer[position:]
            return None, ()
        if end >= 0:
            self._place = _Place.BODY
            return end + 4, (_parse(buffer[position:end]),)
        self._held = buffer[position:]
        return None, ()


def _parse(block: bytes) -> PartBegins:
    """The headers of a part; what is no header is a fault of the part."""
    headers: dict[str, str] = {}
    for line in block.decode("latin-1").split("\r\n"):
        name, colon, value = line.partition(":")
        if line[:1] in (" ", "\t") and headers:  # folded: it goes on with the last one
            last = next(reversed(headers))
            headers[last] += f" {line.strip()}"
        elif colon and name.strip():
            headers[name.strip().lower()] = value.strip()
        elif line:
            return PartBegins({}, "its headers cannot be read")
    return PartBegins(headers)
