"""Attachments are written aside, sealed with their digests, and placed under their UUIDs."""

from __future__ import annotations

import hashlib
import os
import resource
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from candidates.writer.attachments import IOV_MAX, Attachment, Compression
from candidates.writer.reading import stored_pieces
from candidates.writer.storage import INCOMING, IncomingFile, Storage
from tests.candidates.areas import read_whole

COMPRESSIBLE = bytes(100_000)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "writer")


@pytest.fixture
def compressing(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "writer", compress=True)


def incoming(storage: Storage) -> list[Path]:
    return list((storage.root / INCOMING).iterdir())


def received(storage: Storage, content: bytes) -> IncomingFile:
    """A file that has arrived and is not sealed."""
    file = storage.begin(b"header ")
    file.write([memoryview(content)])
    return file


def placed(storage: Storage, content: bytes) -> Attachment:
    attachment = storage.seal(received(storage, content))
    storage.place(attachment.uuid)
    return attachment


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """The kernel refuses to let files grow beyond this size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_attachment_stands_in_two_levels_of_folders_by_its_uuid(storage: Storage) -> None:
    uuid = placed(storage, b"data set").uuid

    path = storage.root / uuid[:2] / uuid[2:4] / uuid
    assert path.read_bytes() == b"header data set"
    assert list(storage.folders()) == [uuid[:4]]
    assert storage.names(uuid[:4]) == [uuid]
    assert incoming(storage) == []


def test_sealing_tells_size_and_md5_of_what_was_written(storage: Storage) -> None:
    sealed = storage.seal(received(storage, b"data set"))

    digest = md5(b"header data set")
    assert sealed == Attachment(sealed.uuid, Compression.NONE, 15, digest, 15, digest)


def test_what_gets_smaller_is_compressed_and_both_digests_are_told(compressing: Storage) -> None:
    sealed = placed(compressing, COMPRESSIBLE)

    stored = read_whole(compressing, sealed.uuid)
    assert sealed.compression is Compression.ZLIB
    assert zlib.decompress(stored) == b"header " + COMPRESSIBLE
    assert (sealed.size, sealed.md5) == (100_007, md5(b"header " + COMPRESSIBLE))
    assert (sealed.stored_size, sealed.stored_md5) == (len(stored), md5(stored))
    assert sealed.stored_size < sealed.size


def test_what_gets_no_smaller_is_kept_as_it_is(compressing: Storage) -> None:
    noise = os.urandom(10_000)

    sealed = placed(compressing, noise)

    assert sealed.compression is Compression.NONE
    assert read_whole(compressing, sealed.uuid) == b"header " + noise
    assert incoming(compressing) == []


def test_a_disk_that_fills_while_compressing_leaves_what_can_be_discarded(
    compressing: Storage,
) -> None:
    file = received(compressing, os.urandom(3000) + COMPRESSIBLE)

    with files_end_at(1000), pytest.raises(OSError, match="File too large"):
        compressing.seal(file)
    file.discard()

    assert incoming(compressing) == []


def test_an_attachment_that_is_not_placed_yet_can_be_read(storage: Storage) -> None:
    sealed = storage.seal(received(storage, b"data set"))

    assert read_whole(storage, sealed.uuid) == b"header data set"
    assert storage.is_empty


def test_a_reader_keeps_an_attachment_that_is_removed(storage: Storage) -> None:
    uuid = placed(storage, b"data set").uuid

    with closing(storage.open(uuid)) as blob:
        assert storage.remove([uuid]) == [uuid]

        assert b"".join(map(bytes, stored_pieces(blob))) == b"header data set"


def test_removing_leaves_no_empty_folders_and_can_be_done_twice(storage: Storage) -> None:
    uuid = placed(storage, b"data set").uuid

    storage.remove([uuid])
    storage.remove([uuid])

    assert not (storage.root / uuid[:2]).exists()


def test_a_discarded_instance_leaves_nothing(storage: Storage) -> None:
    received(storage, b"the first half").discard()

    assert incoming(storage) == []


def test_what_is_written_so_far_can_be_read(storage: Storage) -> None:
    file = received(storage, b"data set")

    assert file.read(len(b"header "), 4) == b"data"


def test_more_fragments_than_one_system_call_takes_are_written(storage: Storage) -> None:
    fragments = [bytes([number % 256]) for number in range(2 * IOV_MAX + 1)]
    file = storage.begin(b"")

    file.write([memoryview(fragment) for fragment in fragments])

    assert file.read(0, 1 << 20) == b"".join(fragments)


def test_a_disk_that_takes_no_header_leaves_no_file_and_no_descriptor(storage: Storage) -> None:
    before = open_descriptors()

    with files_end_at(3), pytest.raises(OSError, match="File too large"):
        storage.begin(b"header")

    assert incoming(storage) == []
    assert open_descriptors() == before
