"""The embedded writer as a storage SCP, over real associations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from router.dicom import statuses
from router.dicom.negotiation import propose
from router.domain.errors import AssociationLost, AssociationRejected, SpoolFailed
from router.net.requestor import RequestedAssociation, associate
from tests.candidates.sources import MemorySource, head_and_data_set
from tests.candidates.writers import Writer, running_writer
from tests.corpus import CorpusFile, make_ct_series, real_files

WITHIN_S = 20
VERIFICATION = ("1.2.840.10008.1.1", "1.2.840.10008.1.2")
DEFLATED = "1.2.840.10008.1.2.1.99"
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

ROUTABLE = [file for file in real_files() if file.is_routable]


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[Writer]:
    async with running_writer(tmp_path / "writer") as writer:
        yield writer


async def test_an_instance_is_kept_byte_for_byte(writer: Writer, tmp_path: Path) -> None:
    [path] = make_ct_series(tmp_path / "ct", instances=1, rows=512, columns=512)
    header, data_set = head_and_data_set(path)

    status = await writer.store(
        header.sop_class_uid, header.sop_instance_uid, header.transfer_syntax_uid, data_set
    )

    assert status == statuses.SUCCESS
    [kept] = writer.held()
    assert head_and_data_set(kept.path)[1] == data_set


@pytest.mark.parametrize(
    "syntax", sorted({file.transfer_syntax_uid for file in ROUTABLE}), ids=lambda uid: uid
)
async def test_every_transfer_syntax_is_kept_as_it_is(writer: Writer, syntax: str) -> None:
    file: CorpusFile = next(one for one in ROUTABLE if one.transfer_syntax_uid == syntax)

    status = await writer.store(file.sop_class_uid, file.sop_instance_uid, syntax, file.data_set)

    [kept] = writer.held()
    header, data_set = head_and_data_set(kept.path)
    assert status == statuses.SUCCESS
    assert header.transfer_syntax_uid == syntax
    assert data_set == file.data_set


async def test_a_data_set_that_names_no_study_is_refused_and_leaves_nothing(
    writer: Writer,
) -> None:
    status = await writer.store(CT, "1.2.3", EXPLICIT, b"\x08\x00\x60\x00CS\x02\x00CT")

    assert status == statuses.CANNOT_UNDERSTAND
    assert writer.held() == []
    assert writer.incoming() == []


def data_set_of_study(uid: bytes) -> bytes:
    """A data set of nothing but the UIDs of study and series; the study's of even length."""
    study = b"\x20\x00\x0d\x00UI" + len(uid).to_bytes(2, "little") + uid
    return study + b"\x20\x00\x0e\x00UI\x04\x001.2\0"


@pytest.mark.parametrize("uid", [b"../../x\0", b"..", b".incoming\0", b"a/b\0"])
async def test_a_uid_that_is_a_path_is_refused(writer: Writer, uid: bytes) -> None:
    status = await writer.store(CT, "1.2.3", EXPLICIT, data_set_of_study(uid))

    assert status == statuses.CANNOT_UNDERSTAND
    assert writer.incoming() == []


async def test_a_uid_that_is_none_by_the_standard_is_kept_nevertheless(writer: Writer) -> None:
    status = await writer.store(CT, "1.2.3", EXPLICIT, data_set_of_study(b"Study_01-a"))

    assert status == statuses.SUCCESS
    assert [one.study for one in writer.held()] == ["Study_01-a"]


async def test_who_calls_another_ae_title_is_rejected(writer: Writer) -> None:
    pairs = propose([VERIFICATION])

    with pytest.raises(AssociationRejected):
        async with associate("127.0.0.1", writer.port, "ROUTER", "OTHER", contexts=pairs):
            pass


async def test_the_routers_echo_is_answered(writer: Writer) -> None:
    pairs = propose([VERIFICATION])

    async with associate("127.0.0.1", writer.port, "ROUTER", "WRITER", contexts=pairs) as asked:
        assert await asked.echo() == statuses.SUCCESS


class BreakingSource(MemorySource):
    """A data set whose second half cannot be read."""

    def try_read_into(self, buffer: memoryview, offset: int) -> int | None:
        if offset:
            raise SpoolFailed("the disk is gone")
        return super().try_read_into(buffer, offset)


async def send_half(association: RequestedAssociation) -> None:
    await association.store(CT, "1.2.3", EXPLICIT, BreakingSource(bytes(1_000_000)))


async def test_an_association_that_breaks_in_mid_object_leaves_nothing(writer: Writer) -> None:
    pairs = propose([(CT, EXPLICIT)])

    with pytest.raises((SpoolFailed, AssociationLost)):
        async with associate("127.0.0.1", writer.port, "ROUTER", "WRITER", contexts=pairs) as it:
            await send_half(it)

    with anyio.fail_after(WITHIN_S):
        while writer.incoming():
            await anyio.sleep(0.01)
    assert writer.held() == []
