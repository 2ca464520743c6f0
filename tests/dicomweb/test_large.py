"""Large instances over STOW-RS: what memory they take, and what becomes of those without room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydicom.dataset import Dataset

from tests.dicomweb.uploading import (
    CLOSING,
    StowRouter,
    file_of,
    part,
    post,
    study_of,
)
from tests.e2e.stack import running, wait_until
from tests.hostile.memory import forget_peak, peak_bytes

MIB = 1024**2
PIECE = bytes(range(256)) * 4096  # 1 MiB


def large(data_set: Dataset, mib: int) -> Iterator[bytes]:
    """The part of an instance with so many MiB of pixel data, never as a whole in memory."""
    del data_set.PixelData
    length = mib * MIB
    pixels = b"\xe0\x7f\x10\x00OW\0\0" + length.to_bytes(4, "little")
    yield part(file_of(data_set))[:-2] + pixels
    for _ in range(mib):
        yield PIECE
    yield b"\r\n"


def spool_bytes(router: StowRouter) -> int:
    """Bytes on the disk below the data folder's spool."""
    files = (router.directory / "data" / "spool").rglob("*")
    return sum(file.stat().st_blocks * 512 for file in files if file.is_file())


def test_an_instance_of_256_mib_is_stored_in_little_memory(tmp_path: Path) -> None:
    router = StowRouter(tmp_path / "router", {})
    [one], [warm] = study_of(1), study_of(1)
    with running(router):
        assert post(router, part(file_of(warm)) + CLOSING).status == 200
        before = router.resident_bytes
        forget_peak(router.child.pid)

        answer = post(router, (chunk for some in (large(one, 256), [CLOSING]) for chunk in some))
        grown = peak_bytes(router.child.pid) - before

        assert (answer.status, answer.stored) == (200, [one.SOPInstanceUID])
        study = router.study(one.StudyInstanceUID)
        assert study["instances"] == 1
        assert spool_bytes(router) > 256 * MIB
        assert grown < 64 * MIB


def test_an_instance_that_the_spool_has_no_room_for_fails_alone_and_gives_its_room_back(
    tmp_path: Path,
) -> None:
    settings = {"spool": {"max_bytes": "64MiB", "segment_size": "16MiB"}}
    router = StowRouter(tmp_path / "router", settings)
    first, huge, last = study_of(3)

    def body() -> Iterator[bytes]:
        yield part(file_of(first))
        yield from large(huge, 128)
        yield part(file_of(last))
        yield CLOSING

    with running(router):
        answer = post(router, body())

        assert answer.status == 202
        assert answer.stored == [first.SOPInstanceUID, last.SOPInstanceUID]
        [(uid, (reason, comment))] = answer.failed.items()
        assert (uid, reason) == (huge.SOPInstanceUID, 0xA700)
        assert comment.startswith("spool.max_bytes is reached")
        wait_until(lambda: spool_bytes(router) < 32 * MIB, "the room is given back")
        [again] = study_of(1)
        after = post(router, (c for some in (large(again, 16), [CLOSING]) for c in some))
        assert (after.status, after.stored) == (200, [again.SOPInstanceUID])
