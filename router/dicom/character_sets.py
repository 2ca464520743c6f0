"""Specific Character Set (PS3.3 section C.12.1.1.2), and bytes in it as text.

Bytes below 0x80 come from the code element G0, those above from G1 (PS3.5 section 6.1.2.4). Escape
sequences put a character set into one of them; what ends a line, a value or a component of a name
puts both back to what the first value of Specific Character Set says. Whatever cannot be read
becomes U+FFFD: text from a modality is never a reason to fail.
"""

from __future__ import annotations

import re
from functools import lru_cache

DEFAULT_ENCODING = "latin_1"
"""The default repertoire is ASCII; what real senders put above it is Latin-1."""

Encodings = tuple[str, ...]
"""Python's names for the values of Specific Character Set; the first one holds at the beginning."""

TEXT_DELIMITERS = b"\t\n\f\r"
"""What ends code extensions in any text (PS3.5 section 6.1.2.5.3)."""
VALUE_DELIMITERS = TEXT_DELIMITERS + b"\\"
NAME_DELIMITERS = VALUE_DELIMITERS + b"^="

_KATAKANA = "shift_jis"  # one byte of it is JIS X 0201; some senders put Shift JIS under its name
_KANJI, _KANJI_SUPPLEMENT = "iso2022_jp", "iso2022_jp_2"

NUMBERED = {
    6: DEFAULT_ENCODING,
    13: _KATAKANA,
    58: "gb2312",
    87: _KANJI,
    100: "latin_1",
    101: "iso8859_2",
    109: "iso8859_3",
    110: "iso8859_4",
    126: "iso8859_7",
    127: "iso8859_6",
    138: "iso8859_8",
    144: "iso8859_5",
    148: "iso8859_9",
    149: "euc_kr",
    159: _KANJI_SUPPLEMENT,
    166: "tis_620",
    192: "utf_8",
    203: "iso8859_15",
}
"""By the number of the registration of ISO 2375, which the defined terms end with."""
NAMED = {
    "": DEFAULT_ENCODING,
    "GB18030": "gb18030",
    "GBK": "gbk",
    "ISO 2022 GBK": "gbk",
    "ISO 2022 58": "gb2312",
    "UTF8": "utf_8",
    "UTF 8": "utf_8",
}
_TERM = re.compile(r"ISO ?(?:2022 ?)?IR ?([0-9]{1,3})")
_STAND_ALONE = frozenset({"utf_8", "gb18030", "gbk"})  # no code extensions (PS3.3 table C.12-5)

_ESCAPE = re.compile(rb"(\x1b(?:\$[()][@-~]|\$[@-B]|[()-][@-~]))")
_TO_ASCII = frozenset({b"\x1b(B", b"\x1b(J"})  # ISO-IR 14 is read as the ASCII that it nearly is
_TO_G0 = {b"\x1b$B": _KANJI, b"\x1b$(D": _KANJI_SUPPLEMENT}
_TO_G1 = {
    b"\x1b)I": _KATAKANA,
    b"\x1b-A": "latin_1",
    b"\x1b-B": "iso8859_2",
    b"\x1b-C": "iso8859_3",
    b"\x1b-D": "iso8859_4",
    b"\x1b-F": "iso8859_7",
    b"\x1b-G": "iso8859_6",
    b"\x1b-H": "iso8859_8",
    b"\x1b-L": "iso8859_5",
    b"\x1b-M": "iso8859_9",
    b"\x1b-T": "tis_620",
    b"\x1b-b": "iso8859_15",
    b"\x1b$)A": "gb2312",
    b"\x1b$)C": "euc_kr",
}
"""Escape sequences of PS3.3 tables C.12-3 and C.12-4."""

_PIECE_OF_KANJI = re.compile(rb"((?:[\x21-\x7e]{2})+)|([\x80-\xff]+)|([\x00-\x20\x7f]+)|(.)", re.S)


@lru_cache(maxsize=256)
def encodings_of(specific_character_set: tuple[str, ...]) -> Encodings:
    """The encodings of the values of (0008,0005); what is not known reads as Latin-1."""
    first, *others = [_encoding(term) for term in specific_character_set] or [DEFAULT_ENCODING]
    if first in _STAND_ALONE:
        return (first,)
    return (first, *(other for other in others if other not in _STAND_ALONE))


def _encoding(term: str) -> str:
    """The encoding of a defined term, for which real senders have many spellings."""
    term = " ".join(re.split(r"[\s_-]+", term.strip(" \0").upper()))
    if numbered := _TERM.fullmatch(term):
        return NUMBERED.get(int(numbered[1]), DEFAULT_ENCODING)
    return NAMED.get(term, DEFAULT_ENCODING)


def decode(raw: bytes, encodings: Encodings, delimiters: bytes = VALUE_DELIMITERS) -> str:
    """The text that the bytes stand for; never raises."""
    first = encodings[0]
    if b"\x1b" in raw and first not in _STAND_ALONE:
        return _CodeExtensions(encodings, delimiters).decode(raw)
    return raw.decode(_in_g1(first), "replace")


def _in_g1(encoding: str) -> str:
    """What reads bytes above 0x80 when the first character set is this one."""
    return DEFAULT_ENCODING if encoding in _TO_G0.values() else encoding


class _CodeExtensions:
    """Text with escape sequences: which character sets are in G0 and G1 while it is read."""

    __slots__ = ("_delimiter", "_encodings", "_g0", "_g1")

    def __init__(self, encodings: Encodings, delimiters: bytes):
        self._encodings = encodings
        self._delimiter = re.compile(b"[" + re.escape(delimiters) + b"]")
        self._reset()

    def _reset(self) -> None:
        self._g0: bytes | None = None  # the escape sequence of two-byte characters; None: ASCII
        self._g1 = _in_g1(self._encodings[0])

    def decode(self, raw: bytes) -> str:
        first, *others = _ESCAPE.split(raw)
        text = [self._read(first)]
        for escape, content in zip(others[::2], others[1::2], strict=True):
            if not self._escape(escape):
                self._reset()
                text.append(escape.decode("ascii"))
            text.append(self._read(content))
        return "".join(text)

    def _escape(self, escape: bytes) -> bool:
        """Do as an escape sequence says if its character set was announced."""
        if escape in _TO_ASCII:
            self._g0 = None
        elif _TO_G0.get(escape) in self._encodings:
            self._g0 = escape
        elif (encoding := _TO_G1.get(escape)) in self._encodings and encoding is not None:
            self._g1 = encoding
        else:
            return False
        return True

    def _read(self, content: bytes) -> str:
        """Text without escape sequences."""
        if self._g0 is not None:
            return self._read_kanji(content, self._g0)
        end = self._delimiter.search(content)
        if end is None:
            return content.decode(self._g1, "replace")
        before = content[: end.start()].decode(self._g1, "replace")
        self._reset()
        return before + content[end.start() :].decode(self._g1, "replace")

    def _read_kanji(self, content: bytes, escape: bytes) -> str:
        """Pairs of bytes below 0x80, of which a delimiter may be one half; controls never are."""
        text: list[str] = []
        for piece in _PIECE_OF_KANJI.finditer(content):
            pairs, high, control, _ = piece.groups()
            if pairs:
                text.append((escape + pairs).decode(_TO_G0[escape], "replace"))
            elif high:
                text.append(high.decode(self._g1, "replace"))
            elif control and self._delimiter.search(control):
                self._reset()
                return "".join(text) + self._read(content[piece.start() :])
            else:
                text.append(control.decode("ascii") if control else "\ufffd")
        return "".join(text)
