"""The head of a DICOM file, with pydicom as the judge."""

from __future__ import annotations

import warnings
from io import BytesIO

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dicom import uids
from router.dicom.part10 import (
    MAX_HEADER_BYTES,
    FileHeader,
    FileHeaderReader,
    file_header,
    read_file_header,
)
from router.domain.errors import CannotUnderstand
from router.domain.instance import Identity
from tests.corpus import CorpusFile, real_files
from tests.dicom.strategies import AE_TITLES, UIDS

IDENTITY = Identity(
    "1.2.840.10008.5.1.4.1.1.2", "1.2.3.1.1", "1.2.3", "1.2.3.1", "1.2.840.10008.1.2.1"
)
IDENTITIES = st.builds(Identity, UIDS, UIDS, UIDS, UIDS, UIDS)


@given(IDENTITIES, AE_TITLES)
def test_pydicom_reads_what_the_head_says(identity: Identity, calling: str) -> None:
    meta = pydicom.dcmread(BytesIO(file_header(identity, calling))).file_meta
    assert meta.MediaStorageSOPClassUID == identity.sop_class_uid
    assert meta.MediaStorageSOPInstanceUID == identity.sop_instance_uid
    assert meta.TransferSyntaxUID == identity.transfer_syntax_uid
    assert meta.SourceApplicationEntityTitle == calling
    assert meta.ImplementationClassUID == uids.IMPLEMENTATION_CLASS
    assert meta.ImplementationVersionName == uids.IMPLEMENTATION_VERSION
    assert meta.FileMetaInformationVersion == b"\0\1"


@given(IDENTITIES, AE_TITLES)
def test_its_group_length_is_that_of_its_group(identity: Identity, calling: str) -> None:
    head = file_header(identity, calling)
    meta = pydicom.dcmread(BytesIO(head)).file_meta
    assert meta.FileMetaInformationGroupLength == len(head) - 132 - 12
    assert len(head) % 2 == 0


@given(IDENTITIES, AE_TITLES, st.binary(max_size=50))
def test_what_is_written_is_read_back_and_the_data_set_begins_behind_it(
    identity: Identity, calling: str, data: bytes
) -> None:
    head = file_header(identity, calling)
    assert read_file_header(head + b"\x08\0" + data) == FileHeader(
        identity.transfer_syntax_uid,
        identity.sop_class_uid,
        identity.sop_instance_uid,
        len(head),
    )


@pytest.mark.parametrize("file", real_files(), ids=lambda file: file.path.name)
def test_real_files_are_read_as_pydicom_reads_them(file: CorpusFile) -> None:
    content = file.path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        meta = pydicom.dcmread(file.path, stop_before_pixels=True).file_meta
    header = read_file_header(content)
    assert header.transfer_syntax_uid == meta.TransferSyntaxUID
    assert header.sop_class_uid == meta.MediaStorageSOPClassUID
    assert header.sop_instance_uid == meta.MediaStorageSOPInstanceUID


@pytest.mark.parametrize("cut", [0, 131, 132, 140, 150, 200])
def test_a_head_that_is_cut_short_is_not_understood(cut: int) -> None:
    with pytest.raises(CannotUnderstand):
        read_file_header(file_header(IDENTITY, "CT1")[:cut])


def test_a_file_without_prefix_is_not_understood() -> None:
    with pytest.raises(CannotUnderstand, match="DICM is missing"):
        read_file_header(bytes(500))


def test_the_group_length_is_not_trusted() -> None:
    head = bytearray(file_header(IDENTITY, "CT1"))
    head[140:144] = b"\xff\xff\xff\xff"
    assert read_file_header(bytes(head)).data_set_offset == len(head)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_a_head_or_are_not_understood(data: bytes, prefixed: bool) -> None:
    content = (bytes(128) + b"DICM" if prefixed else b"") + data
    try:
        header = read_file_header(content)
    except CannotUnderstand:
        return
    assert header.data_set_offset <= len(content)


def test_text_that_no_character_set_of_the_group_has_is_replaced() -> None:
    meta = pydicom.dcmread(BytesIO(file_header(IDENTITY, "山田"))).file_meta
    assert meta.SourceApplicationEntityTitle == "??"


@given(IDENTITIES, AE_TITLES, st.binary(max_size=50), st.integers(1, 100))
def test_a_head_in_pieces_is_read_as_in_one(
    identity: Identity, calling: str, data: bytes, size: int
) -> None:
    content = file_header(identity, calling) + b"\x08\0\5\0CS\0\0" + data
    reader = FileHeaderReader()
    position, header = 0, None
    while header is None:
        header = reader.feed(content[position : position + size])
        position += size

    assert header == read_file_header(content) == reader.finish()
    assert bytes(reader.rest()) + content[position:] == content[header.data_set_offset :]


@pytest.mark.parametrize("end", [0, 100, 132, 140, 150])
def test_a_head_that_never_comes_whole_is_refused(end: int) -> None:
    reader = FileHeaderReader()
    assert reader.feed(file_header(IDENTITY, "CT1")[:end]) is None
    with pytest.raises(CannotUnderstand):
        reader.finish()


def test_a_head_without_end_is_not_kept() -> None:
    reader = FileHeaderReader()
    endless = file_header(IDENTITY, "CT1") + b"\2\0\x99\0OB\0\0\xff\xff\xff\xff"
    with pytest.raises(CannotUnderstand, match="longer than any"):
        reader.feed(endless + bytes(MAX_HEADER_BYTES))
