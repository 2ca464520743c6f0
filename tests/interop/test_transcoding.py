"""What a candidate refuses reaches it in Explicit VR Little Endian, if it is to be transcoded."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, MRImageStorage, RLELossless
from pynetdicom import AE, evt

from router.delivery.destinations import transcoding
from router.delivery.destinations.dimse import DimseDestination
from router.delivery.destinations.transcoding import decode
from router.domain.candidate import Candidate
from router.domain.delivery import DeliveryItem, Outcome, OutcomeKind
from router.domain.reach import DimseReach
from router.spool.log import LocalSpool
from tests.delivery.spooled import item_of, put, spooled
from tests.e2e.stack import data_set_of
from tests.interop.conftest import dcmsend, live_router, pynetdicom_scp
from tests.peers import dcmtk
from tests.spool.helpers import identity, segments

Decoder = Callable[[str, str], str]

RLE, JPEG_LS = "MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm"


@contextmanager
def writer(*syntaxes: str) -> Iterator[tuple[int, list[tuple[str, bytes]]]]:
    """A writer of MR images that accepts these; transfer syntax and data set of what it got."""
    stored: list[tuple[str, bytes]] = []

    def handle(event: Any) -> int:
        stored.append((event.context.transfer_syntax, event.request.DataSet.getvalue()))
        return 0x0000

    ae = AE("WRITER")
    for sop_class in (MRImageStorage, identity().sop_class_uid):
        ae.add_supported_context(sop_class, list(syntaxes))
    with pynetdicom_scp(ae, {evt.EVT_C_STORE: handle}) as port:
        yield port, stored


async def send(
    destination: DimseDestination, port: int, item: DeliveryItem, *, transcodes: bool = True
) -> Outcome:
    reach = DimseReach(transcodes=transcodes)
    async with destination.open(Candidate("WRITER", "127.0.0.1", port, reach=reach), [item]) as way:
        return await way.send(item)


def real(name: str) -> Path:
    return Path(str(get_testdata_file(name, download=False)))


def read(data_set: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(BytesIO(data_set), force=True)


@pytest.mark.parametrize(("name", "judge"), [(RLE, "dcmdrle"), (JPEG_LS, "dcmdjpls")])
async def test_what_is_refused_arrives_decoded_as_dcmtk_decodes_it(
    destination: DimseDestination, spool: LocalSpool, tmp_path: Path, name: str, judge: str
) -> None:
    item = await spooled(spool, real(name))
    with writer(ExplicitVRLittleEndian) as (port, stored):
        outcome = await send(destination, port, item)

    assert outcome.kind is OutcomeKind.STORED
    assert outcome.reason == (
        f"transfer syntax {item.transfer_syntax_uid} is refused: "
        "transcoded to Explicit VR Little Endian"
    )
    ((syntax, data_set),) = stored
    assert syntax == ExplicitVRLittleEndian
    dcmtk(judge, str(real(name)), str(tmp_path / "judged.dcm"))
    judged, sent = pydicom.dcmread(tmp_path / "judged.dcm"), read(data_set)
    assert sent.PixelData == judged.PixelData
    assert sent.SOPInstanceUID == item.sop_instance_uid


async def test_what_is_accepted_arrives_as_it_came(
    destination: DimseDestination, spool: LocalSpool
) -> None:
    item = await spooled(spool, real(RLE))
    with writer(RLELossless, ExplicitVRLittleEndian) as (port, stored):
        outcome = await send(destination, port, item)

    assert outcome == Outcome(OutcomeKind.STORED, 0x0000, "")
    assert stored == [(RLELossless, data_set_of(real(RLE)))]


async def test_what_is_never_transcoded_is_refused_for_good(
    destination: DimseDestination, spool: LocalSpool
) -> None:
    item = await spooled(spool, real(RLE))
    with writer(ExplicitVRLittleEndian) as (port, stored):
        outcome = await send(destination, port, item, transcodes=False)

    assert outcome.kind is OutcomeKind.PERMANENT
    assert stored == []


async def test_what_cannot_be_decoded_is_refused_for_good_and_says_why(
    destination: DimseDestination, spool: LocalSpool
) -> None:
    broken = data_set_of(real(JPEG_LS))[:-2000] + b"\0" * 2000
    said = identity()
    stored_broken = await put(spool, replace(said, transfer_syntax_uid=str(JPEGLSLossless)), broken)
    with writer(ExplicitVRLittleEndian) as (port, stored):
        outcome = await send(destination, port, item_of(stored_broken, 1))

    assert outcome.kind is OutcomeKind.PERMANENT
    assert "is refused, and it cannot be transcoded: " in outcome.reason
    assert stored == []


async def test_bytes_that_have_changed_are_not_transcoded(
    destination: DimseDestination, spool: LocalSpool, tmp_path: Path
) -> None:
    item = await spooled(spool, real(RLE))
    (segment,) = segments(tmp_path / "spool")
    content = bytearray(segment.read_bytes())
    content[item.ref.data_set_offset + 100] ^= 1
    segment.write_bytes(content)
    with writer(ExplicitVRLittleEndian) as (port, stored):
        outcome = await send(destination, port, item)

    assert outcome.kind is OutcomeKind.PERMANENT
    assert "does not match the checksum" in outcome.reason
    assert stored == []


def dies_of_rle(before: str, after: str) -> str:
    """Decode all but RLE: that kills the process, as a fault in C code does."""
    if pydicom.dcmread(before, stop_before_pixels=True).file_meta.TransferSyntaxUID == RLELossless:
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(before, after)


def hangs_at_rle(before: str, after: str) -> str:
    """Decode all but RLE: that never ends."""
    if pydicom.dcmread(before, stop_before_pixels=True).file_meta.TransferSyntaxUID == RLELossless:
        threading.Event().wait()
    return decode(before, after)


@pytest.mark.parametrize(
    ("decoder", "said"),
    [
        (dies_of_rle, "the process that decodes it broke off"),
        (hangs_at_rle, "decoding it takes too long"),
    ],
)
async def test_a_decoder_that_dies_or_hangs_costs_its_instance_and_the_next_one_goes(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, decoder: Decoder, said: str
) -> None:
    monkeypatch.setattr(transcoding, "decode", decoder)
    if decoder is hangs_at_rle:
        monkeypatch.setattr(transcoding, "DECODE_WITHIN_S", 10.0)
    with writer(ExplicitVRLittleEndian) as (port, stored):
        candidate = f"{{WRITER: {{host: 127.0.0.1, port: {port}, transcode: when-refused}}}}"
        async with live_router(data_folder, candidate) as router:
            await dcmsend(router, real(RLE))
            dead = await router.until(
                "the delivery is dead",
                lambda answer: [one["state"] for one in answer["deliveries"]] == ["dead"],
                "/deliveries",
            )
            await dcmsend(router, real(JPEG_LS))
            await router.until("the next one is there", lambda _: len(stored) == 1, "/deliveries")

    assert dead["deliveries"][0]["reason"] == (
        f"1 of 1 instance refused for good: transfer syntax {RLELossless} is refused, "
        f"and it cannot be transcoded: {said} (1)"
    )
    assert stored[0][0] == ExplicitVRLittleEndian


async def test_the_delivery_says_that_it_was_transcoded(data_folder: Path) -> None:
    with writer(ExplicitVRLittleEndian) as (port, stored):
        candidate = f"{{WRITER: {{host: 127.0.0.1, port: {port}, transcode: when-refused}}}}"
        async with live_router(data_folder, candidate) as router:
            await dcmsend(router, real(RLE))
            await router.settled(studies=1)
            (delivery,) = (await router.get("/deliveries"))["deliveries"]

    assert delivery["reason"] == (
        f"transfer syntax {RLELossless} is refused: transcoded to Explicit VR Little Endian (1)"
    )
    assert len(stored) == 1
