"""Text in the character sets of DICOM, with pydicom as the judge of sets, files and mixtures."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pydicom.data
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import charset as judge
from pydicom.dataset import Dataset

from router.dicom.character_sets import (
    NAME_DELIMITERS,
    TEXT_DELIMITERS,
    VALUE_DELIMITERS,
    decode,
    encodings_of,
)
from router.dicom.text import values_of

TEXT_VRS = ("SH", "LO", "ST", "LT", "UC", "UT", "PN")
FILES = sorted(Path(pydicom.data.__file__).parent.glob("charset_files/*.dcm"))
SINGLE_BYTE_SETS = [
    "ISO 2022 IR 100",
    "ISO 2022 IR 101",
    "ISO 2022 IR 109",
    "ISO 2022 IR 110",
    "ISO 2022 IR 126",
    "ISO 2022 IR 127",
    "ISO 2022 IR 138",
    "ISO 2022 IR 144",
    "ISO 2022 IR 148",
    "ISO 2022 IR 166",
]
EXTENSIONS = [
    *SINGLE_BYTE_SETS,
    "ISO 2022 IR 13",
    "ISO 2022 IR 87",
    "ISO 2022 IR 159",
    "ISO 2022 IR 149",
    "ISO 2022 IR 58",
]
ESCAPES = {
    term: escape
    for escape, encoding in judge.CODES_TO_ENCODINGS.items()
    for term in EXTENSIONS
    if judge.python_encoding[term] == encoding and escape != b"\x1b(J"
}
ESCAPED_BY_PYDICOM = [term for term in EXTENSIONS if term != "ISO 2022 IR 58"]
BACK_TO_ASCII = b"\x1b(B"
ASCII = st.text("ABCXYZabcxyz 0189.-", max_size=6)
TERMS = [*judge.python_encoding, "ISO_IR 203", "ISO 2022 IR 203", "NO SUCH SET", ""]


def written_in(term: str) -> str:
    """The characters that a character set has beyond ASCII."""
    encoding, escape = judge.python_encoding[term], ESCAPES[term]
    return "".join(
        character
        for character in map(chr, range(0xA1, 0xFFE0))
        if is_written_in(character.encode(encoding, "ignore"), escape)
    )


def is_written_in(encoded: bytes, escape: bytes) -> bool:
    if escape.startswith((b"\x1b$B", b"\x1b$(D")):
        return encoded.startswith(escape)
    one_byte = not escape.startswith(b"\x1b$")
    return encoded[:1] > b"\xa0" and (len(encoded) == 1) == one_byte


ALPHABETS = {term: written_in(term) for term in EXTENSIONS}


def encoded_in(term: str, text: str) -> bytes:
    """Text of one character set, with the escape sequences around it."""
    encoding, escape = judge.python_encoding[term], ESCAPES[term]
    if escape.startswith((b"\x1b$B", b"\x1b$(D")):
        return text.encode(encoding)  # the codec writes the escape sequences itself
    return escape + text.encode(encoding)


@st.composite
def pieces(draw: st.DrawFn, terms: list[str]) -> tuple[bytes, str]:
    """ASCII and text of some character sets in turn, without any delimiter."""
    raw, text = b"", ""
    for term in draw(st.lists(st.sampled_from(terms), max_size=4)):
        before, special = draw(ASCII), draw(st.text(ALPHABETS[term], min_size=1, max_size=5))
        raw += before.encode() + encoded_in(term, special)
        text += before + special
    return raw, text


@st.composite
def mixtures(draw: st.DrawFn, delimiters: bytes) -> tuple[tuple[str, ...], bytes, str]:
    """Values of Specific Character Set, text with code extensions and delimiters, what it says."""
    terms = draw(st.lists(st.sampled_from(EXTENSIONS), min_size=1, max_size=3, unique=True))
    raw, text = draw(pieces(terms))
    for _ in range(draw(st.integers(0, 3))):
        delimiter = chr(draw(st.sampled_from(list(delimiters))))
        more_raw, more_text = draw(pieces(terms))
        raw += delimiter.encode() + more_raw
        text += delimiter + more_text
    return ("", *terms), raw, text


@pytest.mark.parametrize("term", judge.python_encoding)
def test_every_defined_term_has_its_encoding(term: str) -> None:
    (ours,) = encodings_of((term,))

    assert codecs.lookup(ours).name == codecs.lookup(judge.python_encoding[term]).name


@pytest.mark.parametrize("term", ["ISO_IR 203", "ISO 2022 IR 203"])
def test_latin_9_is_known_too(term: str) -> None:
    assert decode(b"\xa4", encodings_of((term,))) == "€"


@pytest.mark.parametrize(
    "term",
    ["ISO_IR 144", "ISO-IR 144", "ISO IR 144", "iso_ir 144", " ISO_IR_144 ", "ISO_IR144",
     "ISO 2022 IR 144", "ISO_2022_IR_144", "ISO-2022-IR 144"],
)  # fmt: skip
def test_a_term_is_known_however_senders_spell_it(term: str) -> None:
    assert encodings_of((term,)) == ("iso8859_5",)


@pytest.mark.parametrize("term", ["NO SUCH SET", "I\0O_IR 127", "ISO_IR 999", "\N{SNOWMAN}", "\0"])
def test_what_is_no_term_reads_as_latin_1(term: str) -> None:
    assert decode(b"M\xfcller", encodings_of((term,))) == "Müller"


def test_no_character_set_at_all_reads_as_latin_1() -> None:
    assert decode(b"M\xfcller", encodings_of(())) == "Müller"


@given(st.lists(st.sampled_from(list(judge.python_encoding)), min_size=1, max_size=4))
@pytest.mark.filterwarnings("ignore")
def test_a_list_of_terms_is_understood_as_pydicom_does(terms: list[str]) -> None:
    alone = [term for term in terms if term != "ISO 2022 GBK"]  # no standard's term

    ours = [codecs.lookup(name).name for name in encodings_of(tuple(alone))]

    theirs = [codecs.lookup(name).name for name in judge.convert_encodings(list(alone))]
    assert ours == theirs


def texts(data_set: Dataset, inherited: tuple[str, ...] = ()) -> Iterator[tuple[str, str, str]]:
    """Name, our text and pydicom's of all elements of a data set and its items."""
    terms = data_set.get("SpecificCharacterSet", inherited)
    terms = (terms,) if isinstance(terms, str) else tuple(terms)
    for tag in list(data_set.keys()):
        raw = data_set.get_item(tag).value
        element = data_set[tag]
        if element.VR == "SQ":
            for item in element.value:
                yield from texts(item, terms)
        if element.VR in TEXT_VRS and isinstance(raw, bytes):
            ours = values_of(element.VR, raw, encodings_of(terms), big_endian=False)
            theirs = element.value if element.VM > 1 else [element.value or ""]
            # pydicom drops a "=" behind which nothing comes
            yield element.name, "\\".join(ours).rstrip("="), "\\".join(map(str, theirs))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
@pytest.mark.filterwarnings("ignore")
def test_the_files_of_all_character_sets_are_read_as_pydicom_reads_them(path: Path) -> None:
    found = list(texts(pydicom.dcmread(path)))

    assert found
    assert [(name, ours) for name, ours, _ in found] == [(name, text) for name, _, text in found]


@given(mixtures(TEXT_DELIMITERS))
def test_lines_in_any_mixture_of_character_sets_are_read(
    mixture: tuple[tuple[str, ...], bytes, str],
) -> None:
    character_set, raw, text = mixture

    assert decode(raw, encodings_of(character_set), TEXT_DELIMITERS) == text


@given(mixtures(VALUE_DELIMITERS))
def test_values_in_any_mixture_of_character_sets_are_read(
    mixture: tuple[tuple[str, ...], bytes, str],
) -> None:
    character_set, raw, text = mixture

    assert decode(raw, encodings_of(character_set), VALUE_DELIMITERS) == text


@given(mixtures(NAME_DELIMITERS))
def test_names_in_any_mixture_of_character_sets_are_read(
    mixture: tuple[tuple[str, ...], bytes, str],
) -> None:
    character_set, raw, text = mixture

    assert decode(raw, encodings_of(character_set), NAME_DELIMITERS) == text


@given(st.sampled_from(ESCAPED_BY_PYDICOM), st.sampled_from(ESCAPED_BY_PYDICOM), st.data())
def test_what_pydicom_writes_is_read_as_it_was(one: str, other: str, data: st.DataObject) -> None:
    text = data.draw(st.text(ALPHABETS[one] + ALPHABETS[other], min_size=1, max_size=8))
    written = judge.encode_string(text, judge.convert_encodings([one, other]))

    assert decode(written, encodings_of((one, other))) == text


@pytest.mark.parametrize("delimiter", "\t\n\f\r\\^=")
def test_a_delimiter_puts_the_first_character_set_back(delimiter: str) -> None:
    raw = b"\x1b-F\xe1" + delimiter.encode() + b"\xe1"

    read = decode(raw, encodings_of(("ISO 2022 IR 100", "ISO 2022 IR 126")), NAME_DELIMITERS)

    assert read == f"α{delimiter}á"


def test_half_of_a_kanji_is_no_delimiter() -> None:
    raw = b"\x1b$B" + bytes.fromhex("3c5e 395c") + b"\x1b(B^A"

    assert decode(raw, encodings_of(("", "ISO 2022 IR 87")), NAME_DELIMITERS) == "灼砿^A"


def test_katakana_stay_where_they_are_while_kanji_come_and_go() -> None:
    raw = b"\xd4\x1b$B;3\xcf\x1b(J\xc0"

    assert decode(raw, encodings_of(("ISO 2022 IR 13", "ISO 2022 IR 87"))) == "ﾔ山ﾏﾀ"


def test_an_escape_to_what_was_not_announced_is_text() -> None:
    assert decode(b"\x1b$B;3", encodings_of(("ISO_IR 100",))) == "\x1b$B;3"


def test_utf_8_knows_no_escapes() -> None:
    encodings = encodings_of(("ISO_IR 192", "ISO 2022 IR 87"))

    assert decode("山\x1b$B;3".encode(), encodings) == "山\x1b$B;3"


def test_what_cannot_be_read_is_marked() -> None:
    assert decode(b"\x1b$B;3\x3b\x1b(B.", encodings_of(("", "ISO 2022 IR 87"))) == "山\ufffd."
    assert decode(b"\xff", encodings_of(("ISO_IR 192",))) == "\ufffd"


@given(
    st.lists(st.sampled_from(TERMS) | st.text(max_size=16), max_size=4),
    st.lists(
        st.binary(max_size=8)
        | st.sampled_from([*ESCAPES.values(), BACK_TO_ASCII, b"\x1b", b"\x1b$"]),
        max_size=8,
    ),
)
def test_no_bytes_in_whatever_character_set_make_it_raise(
    terms: list[str], parts: list[bytes]
) -> None:
    read = decode(b"".join(parts), encodings_of(tuple(terms)), NAME_DELIMITERS)

    assert read.encode("utf-8").decode("utf-8") == read
