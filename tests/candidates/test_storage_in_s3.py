"""A storage area in a bucket, moto's: what is acknowledged is there, what is not leaves nothing."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest

from candidates.writer.address import S3Address, parse_storage
from candidates.writer.archive import Archive, Leftovers
from candidates.writer.attachments import Attachment, Compression
from candidates.writer.errors import ArchiveInUse, ArchiveMismatch, IndexFailed
from candidates.writer.index.recording import Arrival
from candidates.writer.reading import open_data_set
from candidates.writer.s3 import PART_BYTES, WINDOW_BYTES, S3Area
from candidates.writer.verify import Trouble, verify
from router.dicom import statuses
from tests.candidates.areas import PREFIX, Bucket, read_whole, s3_server
from tests.candidates.arrivals import CT, EXPLICIT, NOON
from tests.candidates.indexes import Index
from tests.candidates.sources import head_and_data_set
from tests.candidates.test_retrieve import data_sets, movescu
from tests.candidates.test_stow import send
from tests.candidates.web.test_retrieving import get
from tests.candidates.writers import running_stow_writer, running_writer
from tests.corpus import make_ct_series
from tests.dicomweb.uploading import file_of, study_of
from tests.e2e.stack import free_port

LATER = NOON + timedelta(days=1)


@pytest.fixture
def archive(bucket: Bucket, index: Index) -> Iterator[Archive]:
    archive = Archive.open(S3Area(bucket.address), index.address)
    yield archive
    archive.close()


def sealed(archive: Archive, content: bytes, instance: str = "1.2.3.4") -> Arrival:
    """An instance that has been received and uploaded, and is not committed."""
    file = archive.storage.begin(b"header ")
    file.write([memoryview(content)])
    facts = {"StudyInstanceUID": ("1.2",), "SeriesInstanceUID": ("1.2.3",), "PatientID": ("P1",)}
    return Arrival(CT, instance, EXPLICIT, "ROUTER", NOON, facts, archive.seal(file))


def key_of(attachment: Attachment) -> str:
    uuid = attachment.uuid
    return f"{PREFIX}/{uuid[:2]}/{uuid[2:4]}/{uuid}"


def reopened(archive: Archive, bucket: Bucket, index: Index) -> Leftovers:
    """What a start finds when the one before has ended without a word; a second one has nothing."""
    archive.index.close()
    again = Archive.open(S3Area(bucket.address), index.address)
    again.close()
    last = Archive.open(S3Area(bucket.address), index.address)
    assert last.leftovers == Leftovers(0, 0, 0)
    last.close()
    return again.leftovers


def notes(index: Index) -> int:
    [(count,)] = index.query("SELECT count(*) FROM removal")
    return int(count)


# -- what is kept ----------------------------------------------------------------------------------


def test_what_is_committed_has_a_row_and_an_object_and_no_note(
    archive: Archive, bucket: Bucket, index: Index
) -> None:
    one, other = sealed(archive, b"one", "1.1"), sealed(archive, b"two", "1.2")
    assert notes(index) == 2

    archive.commit([one, other])

    assert bucket.keys() == sorted([key_of(one.attachment), key_of(other.attachment)])
    assert bucket.get(key_of(one.attachment)) == b"header one"
    assert index.query("SELECT uuid FROM attachment ORDER BY id") == [
        (one.attachment.uuid,),
        (other.attachment.uuid,),
    ]
    assert notes(index) == 0
    assert archive.held(["1.1", "1.2", "1.3"]) == {"1.1": {CT}, "1.2": {CT}}


def test_what_gets_smaller_is_kept_compressed(bucket: Bucket, index: Index) -> None:
    archive = Archive.open(S3Area(bucket.address, compress=True), index.address)
    small, noise = sealed(archive, bytes(100_000), "1.1"), sealed(archive, os.urandom(1000), "1.2")
    archive.commit([small, noise])

    stored = bucket.get(key_of(small.attachment))
    assert small.attachment.compression is Compression.ZLIB
    assert zlib.decompress(stored) == b"header " + bytes(100_000)
    assert small.attachment.stored_md5 == hashlib.md5(stored).hexdigest()
    assert small.attachment.stored_size == len(stored)
    assert noise.attachment.compression is Compression.NONE
    archive.close()
    assert verify(bucket.address, index.address).is_sound


def test_a_large_instance_is_uploaded_in_parts_and_read_in_ranges(
    archive: Archive, bucket: Bucket
) -> None:
    content = os.urandom(2 * PART_BYTES + WINDOW_BYTES + 1)

    large = sealed(archive, content)
    archive.commit([large])

    assert bucket.uploads() == 0
    assert read_whole(archive.storage, large.attachment.uuid) == b"header " + content


def test_an_object_is_read_from_any_place(archive: Archive) -> None:
    content = os.urandom(WINDOW_BYTES + 1000)
    blob = archive.storage.open(sealed(archive, content).attachment.uuid)
    buffer = memoryview(bytearray(10))
    whole = b"header " + content

    for offset in (WINDOW_BYTES + 500, 3, WINDOW_BYTES - 5):
        read = blob.read_into(buffer, offset)
        assert read
        assert buffer[:read] == whole[offset : offset + read]
    assert blob.read_into(buffer, len(whole)) == 0
    assert blob.try_read_into(buffer, WINDOW_BYTES) == 3  # what is left of the last range
    assert blob.try_read_into(buffer, 2) is None
    blob.close()


# -- what goes -------------------------------------------------------------------------------------


def test_an_instance_that_comes_again_replaces_the_older_object(
    archive: Archive, bucket: Bucket, index: Index
) -> None:
    archive.commit([sealed(archive, b"old")])
    new = sealed(archive, b"new")

    archive.commit([new])

    assert bucket.keys() == [key_of(new.attachment)]
    archive.close()
    assert notes(index) == 0


def test_of_an_instance_that_comes_twice_at_once_the_later_one_is_kept(
    archive: Archive, bucket: Bucket
) -> None:
    first, second = sealed(archive, b"one"), sealed(archive, b"two")

    archive.commit([first, second])

    assert bucket.keys() == [key_of(second.attachment)]


def test_a_study_that_is_removed_leaves_no_objects(archive: Archive, bucket: Bucket) -> None:
    archive.commit([sealed(archive, b"one", "1.1"), sealed(archive, b"two", "1.2")])

    assert archive.remove_study("1.2", LATER, unless_since=LATER) == 2

    assert bucket.keys() == []


def test_a_batch_that_the_index_does_not_take_is_removed_with_the_next_one(
    archive: Archive, bucket: Bucket, index: Index
) -> None:
    index.change("ALTER TABLE change RENAME TO elsewhere")
    with pytest.raises(IndexFailed):
        archive.commit([sealed(archive, b"one")])
    index.change("ALTER TABLE elsewhere RENAME TO change")

    again = sealed(archive, b"one")
    archive.commit([again])

    assert bucket.keys() == [key_of(again.attachment)]
    archive.close()
    assert notes(index) == 0


def test_many_threads_seal_while_others_are_committed(
    archive: Archive, bucket: Bucket, index: Index
) -> None:
    with ThreadPoolExecutor(16) as threads:
        for batch in batched(threads.map(lambda n: sealed(archive, b"one", f"1.{n}"), range(64))):
            archive.commit(batch)

    assert len(bucket.keys()) == 64
    assert notes(index) == 0


def batched(arrivals: Iterator[Arrival], size: int = 8) -> Iterator[list[Arrival]]:
    while batch := list(islice(arrivals, size)):
        yield batch


# -- crashes ---------------------------------------------------------------------------------------


def test_an_object_that_was_never_acknowledged_is_removed_at_the_start(
    archive: Archive, bucket: Bucket, index: Index
) -> None:
    archive.storage.begin(b"the first half").close()
    sealed(archive, b"uploaded, and not committed")
    assert len(bucket.keys()) == 1

    assert reopened(archive, bucket, index) == Leftovers(discarded=0, placed=0, removed=1)

    assert bucket.keys() == []


def test_a_note_without_an_object_is_no_trouble_at_the_start(
    archive: Archive, bucket: Bucket, index: Index
) -> None:
    archive.index.note("00000000-0000-4000-8000-000000000000")

    assert reopened(archive, bucket, index) == Leftovers(discarded=0, placed=0, removed=1)


def test_an_object_that_was_replaced_and_not_removed_is_removed_at_the_start(
    archive: Archive, bucket: Bucket, index: Index
) -> None:
    archive.commit([sealed(archive, b"old")])
    new = sealed(archive, b"new")
    archive.index.record([new], were_noted=True)
    assert len(bucket.keys()) == 2

    assert reopened(archive, bucket, index).removed == 1

    assert bucket.keys() == [key_of(new.attachment)]


# -- one owner -------------------------------------------------------------------------------------


def test_a_bucket_is_that_of_one_index_even_before_anything_is_in_it(
    archive: Archive, bucket: Bucket, tmp_path: Path
) -> None:
    with pytest.raises(ArchiveMismatch, match=r"the name stands in s3://bucket-\d+/hospital/xray/"):
        Archive.open(S3Area(bucket.address), tmp_path / "other.db")


def test_a_second_writer_is_refused(archive: Archive, bucket: Bucket, index: Index) -> None:
    with pytest.raises(ArchiveInUse, match=f"process {os.getpid()}"):
        Archive.open(S3Area(bucket.address), index.address)


def test_two_parts_of_a_bucket_are_two_storage_areas(
    archive: Archive, bucket: Bucket, tmp_path: Path
) -> None:
    archive.commit([sealed(archive, b"data set")])

    other = Archive.open(S3Area(S3Address(bucket.name, "hospital/ct")), tmp_path / "other.db")

    assert other.storage.is_empty
    assert not archive.storage.is_empty
    other.close()


def test_a_spool_that_cannot_be_made_is_named(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file stands here")

    with pytest.raises(OSError, match=str(tmp_path / "spool")):
        S3Area(bucket.address, spool=tmp_path / "spool")


def test_an_index_has_to_be_named(bucket: Bucket) -> None:
    with pytest.raises(ArchiveMismatch, match="say where it is"):
        Archive.open(S3Area(bucket.address))


def test_a_bucket_that_is_not_there_is_named(bucket: Bucket, index: Index) -> None:
    with pytest.raises(OSError, match="s3://nowhere"):
        Archive.open(S3Area(S3Address("nowhere", "")), index.address)


# -- verifying -------------------------------------------------------------------------------------


def test_verify_finds_what_is_damaged_gone_and_unknown(
    archive: Archive, bucket: Bucket, index: Index
) -> None:
    arrivals = [sealed(archive, bytes([n]) * 50_000, f"1.2.3.{n}") for n in range(4)]
    archive.commit(arrivals)
    archive.close()
    assert verify(bucket.address, index.address).attachments == 4
    cut, changed, gone, _ = (key_of(one.attachment) for one in arrivals)
    bucket.put(cut, bucket.get(cut)[:-1])
    bucket.put(changed, bucket.get(changed).replace(b"\x01", b"\x02", 1))
    bucket.delete(gone)
    bucket.put(f"{PREFIX}/00/ff/stray", b"")

    found = {one.path: one.trouble for one in verify(bucket.address, index.address).findings}

    assert found == {
        f"s3://{bucket.name}/{cut}": Trouble.DAMAGED,
        f"s3://{bucket.name}/{changed}": Trouble.DAMAGED,
        f"s3://{bucket.name}/{gone}": Trouble.NO_FILE,
        f"s3://{bucket.name}/{PREFIX}/00/ff/stray": Trouble.NO_ROW,
    }


def test_what_the_next_start_removes_is_no_fault(
    archive: Archive, bucket: Bucket, index: Index
) -> None:
    sealed(archive, b"uploaded, and not committed")
    archive.index.close()

    report = verify(bucket.address, index.address)

    assert (report.is_sound, report.unfinished) == (True, 1)


# -- the services over it --------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True], ids=["as it is", "compressed"])
async def test_a_study_comes_back_byte_for_byte(
    tmp_path: Path, bucket: Bucket, index: Index, compress: bool
) -> None:
    sent = make_ct_series(tmp_path / "ct", instances=2, rows=256, columns=256)
    port = free_port()
    area = S3Area(bucket.address, compress=compress)
    move_to = {"MOVESCU": ("127.0.0.1", port)}
    async with running_writer(tmp_path, index=index, area=area, move_to=move_to) as writer:
        for path in sent:
            assert await writer.store_file(path) == statuses.SUCCESS
        [(study,)] = index.query("SELECT study_instance_uid FROM study")

        keys = ("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study}")
        await movescu(writer, tmp_path / "got", port, *keys)

    assert data_sets(list((tmp_path / "got").iterdir())) == data_sets(sent)
    assert len(bucket.keys()) == 2


async def test_a_study_comes_back_over_http(tmp_path: Path, bucket: Bucket, index: Index) -> None:
    sent = make_ct_series(tmp_path / "ct", instances=2, rows=256, columns=256)
    area = S3Area(bucket.address)
    async with running_stow_writer(tmp_path, index=index, area=area) as writer:
        for path in sent:
            assert await writer.store_file(path) == statuses.SUCCESS
        [(study,)] = index.query("SELECT study_instance_uid FROM study")

        answer = await get(writer, f"/studies/{study}")

    assert answer.status == 200
    assert sorted(body for _, body in answer.parts) == sorted(map(bucket.get, bucket.keys()))


async def test_a_modality_is_told_to_try_again_later_while_the_store_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: Index
) -> None:
    [path] = make_ct_series(tmp_path / "ct", instances=1, rows=64, columns=64)
    with s3_server(tmp_path / "log") as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        bucket = Bucket(server)
        bucket.make()
        async with running_writer(tmp_path, index=index, area=S3Area(bucket.address)) as writer:
            server.stop()
            away = await writer.store_file(path)
            server.start()
            bucket.make()
            back = await writer.store_file(path)

        assert (away, back) == (statuses.OUT_OF_RESOURCES, statuses.SUCCESS)
        [key] = bucket.keys()
        assert bucket.get(key).endswith(head_and_data_set(path)[1])


async def test_a_request_that_is_refused_leaves_nothing_when_the_next_one_is_stored(
    tmp_path: Path, bucket: Bucket
) -> None:
    good, stored = study_of(1), study_of(1)
    area = S3Area(bucket.address)
    async with running_stow_writer(tmp_path, area=area) as writer:
        refused = await send(writer, [file_of(good[0]), b"no DICOM at all" * 100])
        taken = await send(writer, [file_of(stored[0])])

    assert (refused.status, taken.status) == (409, 200)
    assert len(bucket.keys()) == 1


def test_a_data_set_is_streamed_from_the_bucket(tmp_path: Path, archive: Archive) -> None:
    [path] = make_ct_series(tmp_path / "ct", instances=1, rows=64, columns=64)
    content = path.read_bytes()
    file = archive.storage.begin(content[:100])
    file.write([memoryview(content[100:])])
    source = open_data_set(archive.storage, archive.seal(file))
    buffer = memoryview(bytearray(source.length))

    assert source.try_read_into(buffer, 0) == source.length
    assert bytes(buffer) == head_and_data_set(path)[1]
    source.close()


# -- addresses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("some where/writer", Path("some where/writer")),
        ("s3://bucket", S3Address("bucket", "")),
        ("s3://bucket/", S3Address("bucket", "")),
        ("s3://bucket/a//b/", S3Address("bucket", "a/b")),
    ],
)
def test_an_address_is_a_path_or_a_part_of_a_bucket(text: str, address: object) -> None:
    assert parse_storage(text) == address


@pytest.mark.parametrize("text", ["s3://", "s3:///prefix", "s3://bucket/../x", "gs://bucket"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write s3://BUCKET/PREFIX"):
        parse_storage(text)
