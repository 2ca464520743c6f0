"""From the first fragment to the answer, over a real spool and a real ledger."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from router.dicom import uids
from router.dicom.dimse import CFindRQ, Message
from router.dicom.handlers import AssociationEnd, PeerAddress
from router.dicom.negotiation import AcceptedContext
from router.dicom.pdu import AssociateAC, AssociateRJ, AssociateRQ, UserInformation
from router.dicom.scanner import ScanLimits
from router.domain.attributes import parse_attribute
from router.domain.instance import Disposition
from router.ingress.judgement import DoorPolicy
from tests.corpus import nested_sequences
from tests.ingress.doorway import (
    CT,
    PLAIN,
    SERIES,
    STUDY,
    Answered,
    DeadLedger,
    a_doorway,
    attributes,
    begin,
    encoded,
    release,
    sop_instance,
    store,
    write,
)

SYNTAXES = [
    uids.IMPLICIT_VR_LITTLE_ENDIAN,
    uids.EXPLICIT_VR_LITTLE_ENDIAN,
    uids.EXPLICIT_VR_BIG_ENDIAN,
    uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
]
DEFLATED = uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN


def nested(levels: int, transfer_syntax: str = PLAIN) -> bytes:
    """A data set with sequences nested so deep, behind everything that names it."""
    whole = encoded(attributes(PixelData=None))
    if transfer_syntax != DEFLATED:
        return whole + nested_sequences(levels)
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(whole + nested_sequences(levels)) + deflate.flush()


@pytest.mark.parametrize("syntax", SYNTAXES, ids=uids.name)
async def test_an_accepted_instance_is_durable_byte_for_byte_when_it_is_answered(
    tmp_path: Path, syntax: str
) -> None:
    data = encoded(attributes(), syntax)
    async with a_doorway(tmp_path) as doorway:
        assert await store(doorway.associate(), data, transfer_syntax=syntax).status() == 0x0000
        [instance] = await doorway.in_ledger()
        assert doorway.bytes_of(instance) == data
        assert instance.identity.study_instance_uid == STUDY
        assert instance.identity.series_instance_uid == SERIES
        assert instance.identity.transfer_syntax_uid == syntax
        assert instance.provenance.calling_ae_title == "CT1"
        assert instance.provenance.address == "10.0.0.7"


async def test_each_instance_of_an_association_gets_its_own_status(tmp_path: Path) -> None:
    async with a_doorway(tmp_path, discard=["MODALITY|IS_NULL"]) as doorway:
        association = doorway.associate()
        statuses = [
            await store(association, attributes(1)).status(),
            await store(association, attributes(2, Modality=None)).status(),
            await store(association, attributes(3), instance="9.9").status(),
            await store(association, attributes(4, StudyInstanceUID=None)).status(),
            await store(association, nested(100)).status(),
            await store(association, attributes(6)).status(),
        ]
        assert statuses == [0x0000, 0x0000, 0xA900, 0xC000, 0x0000, 0x0000]
        accepted = await doorway.in_ledger()
        assert [one.identity.sop_instance_uid for one in accepted] == [
            sop_instance(1),
            sop_instance(6),
        ]
        assert [entry.refusal.disposition for entry in await doorway.refusals()] == [
            Disposition.REFUSED,
            Disposition.REFUSED,
            Disposition.DISCARDED,
        ]
        [quarantined] = await doorway.quarantine()
        assert "nested 65 levels deep" in quarantined.instance.reason


async def test_a_discarded_instance_leaves_no_bytes_but_a_reason(tmp_path: Path) -> None:
    async with a_doorway(tmp_path, discard=["MODALITY|IS_NULL"]) as doorway:
        answered = store(doorway.associate(), attributes(Modality=None))
        assert await answered.status() == 0x0000
        assert answered.comment == ""
        assert doorway.spool.used_bytes == 0
        [entry] = await doorway.refusals()
        assert entry.refusal.reason == "discard filter: Modality has no value; IS_NULL: yes"
        assert entry.refusal.identity.study_instance_uid == STUDY


async def test_a_discarded_instance_may_be_answered_as_not_authorised(tmp_path: Path) -> None:
    policy = DoorPolicy(refuse_discarded=True)
    async with a_doorway(tmp_path, discard=["MODALITY|IS_NULL"], policy=policy) as doorway:
        answered = store(doorway.associate(), attributes(Modality=None))
        assert await answered.status() == 0x0124
        assert answered.comment.startswith("discard filter")


@pytest.mark.parametrize("syntax", [PLAIN, DEFLATED], ids=uids.name)
async def test_a_quarantined_instance_keeps_its_bytes(tmp_path: Path, syntax: str) -> None:
    data = nested(100, syntax)
    async with a_doorway(tmp_path) as doorway:
        assert await store(doorway.associate(), data, transfer_syntax=syntax).status() == 0x0000
        [entry] = await doorway.quarantine()
        assert doorway.bytes_of(entry.instance) == data
        assert entry.instance.identity.study_instance_uid == STUDY
        assert await doorway.in_ledger() == []


@pytest.mark.parametrize("syntax", [PLAIN, DEFLATED], ids=uids.name)
async def test_a_malformed_instance_is_refused_where_policy_says_so(
    tmp_path: Path, syntax: str
) -> None:
    async with a_doorway(tmp_path, policy=DoorPolicy(refuse_malformed=True)) as doorway:
        answered = store(doorway.associate(), nested(100, syntax), transfer_syntax=syntax)
        assert await answered.status() == 0xC000
        assert doorway.spool.used_bytes == 0


async def test_a_malformed_instance_that_does_not_say_its_study_is_refused(tmp_path: Path) -> None:
    async with a_doorway(tmp_path) as doorway:
        data = nested_sequences(100) + encoded(attributes())
        assert await store(doorway.associate(), data).status() == 0xC000
        assert await doorway.quarantine() == []
        assert doorway.spool.used_bytes == 0


async def test_a_deflate_bomb_is_kept_from_everybody(tmp_path: Path) -> None:
    limits = ScanLimits(max_inflated_bytes=100_000)
    data = encoded(attributes(PixelData=bytes(1_000_000)), DEFLATED)
    async with a_doorway(tmp_path, scan_limits=limits) as doorway:
        answered = store(doorway.associate(), data, transfer_syntax=DEFLATED)
        assert await answered.status() == 0x0000
        [entry] = await doorway.quarantine()
        assert "inflate to more than 100000" in entry.instance.reason


async def test_what_is_not_deflated_although_it_says_so_is_not_understood(tmp_path: Path) -> None:
    async with a_doorway(tmp_path) as doorway:
        answered = store(
            doorway.associate(), b"\xff" * 5000, instance="1.2", transfer_syntax=DEFLATED
        )
        assert await answered.status() == 0xC000


async def test_a_message_without_a_data_set_is_not_understood(tmp_path: Path) -> None:
    async with a_doorway(tmp_path) as doorway:
        answered = Answered()
        begin(doorway.associate()).finish(answered)
        assert await answered.status() == 0xC000


async def test_a_refusal_with_absurd_uids_is_recorded_as_far_as_it_can_be(tmp_path: Path) -> None:
    async with a_doorway(tmp_path) as doorway:
        answered = store(doorway.associate(), b"", instance="1." * 20_000)
        assert await answered.status() == 0xC000
        [entry] = await doorway.refusals()
        assert len(entry.refusal.identity.sop_instance_uid) == 64


async def test_recorded_facts_say_what_was_asked_for_in_vain(tmp_path: Path) -> None:
    asked = [parse_attribute("DoseReferenceUID"), parse_attribute('(0009,"ACME",01)')]
    async with a_doorway(tmp_path, asked=asked) as doorway:
        await store(doorway.associate(), attributes(DoseReferenceUID="1.9")).status()
        [instance] = await doorway.in_ledger()
        assert instance.facts["DoseReferenceUID"] == ("1.9",)
        assert instance.facts['(0009,"ACME",01)'] == ()
        assert "StationName" not in instance.facts


@contextmanager
def unwritable(descriptor: int) -> Iterator[None]:
    """The disk under a file refuses writes: the descriptor is one that can only be read."""
    kept = os.dup(descriptor)
    broken = os.open("/dev/null", os.O_RDONLY)
    os.dup2(broken, descriptor)
    try:
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)
        os.close(broken)


# -- faults ----------------------------------------------------------------------------------------


async def test_a_full_spool_refuses_as_out_of_resources_and_recovers(tmp_path: Path) -> None:
    async with a_doorway(tmp_path, max_bytes=1 << 20) as doorway:
        association = doorway.associate()
        big = attributes(1, PixelData=bytes(1 << 20))
        assert await store(association, big).status() == 0x0000
        refused = store(association, attributes(2))
        assert await refused.status() == 0xA700
        assert "spool.max_bytes" in refused.comment
        [first] = await doorway.in_ledger()
        await doorway.spool.reclaim([first.ref])
        assert await store(association, attributes(2)).status() == 0x0000
        [entry] = await doorway.refusals()
        assert entry.refusal.status == 0xA700


async def test_a_spool_that_fails_in_mid_object_refuses_that_instance_only(tmp_path: Path) -> None:
    async with a_doorway(tmp_path) as doorway:
        association = doorway.associate()
        data = encoded(attributes(1, PixelData=bytes(400_000)))
        reception = begin(association)
        write(reception, data[:200_000])
        [segment] = doorway.spool._open.values()
        with unwritable(segment.file.descriptor):
            write(reception, data[200_000:])
        answered = Answered()
        reception.finish(answered)
        assert await answered.status() == 0xA700
        assert await store(association, attributes(2)).status() == 0x0000
        assert [one.identity.sop_instance_uid for one in await doorway.in_ledger()] == [
            sop_instance(2)
        ]


async def test_an_instance_that_is_given_up_in_mid_object_leaves_nothing(tmp_path: Path) -> None:
    async with a_doorway(tmp_path) as doorway:
        association = doorway.associate()
        reception = begin(association)
        write(reception, encoded(attributes())[:1000])
        reception.abandon()
        association.closed(AssociationEnd.LOST)
        await doorway.settle()
        assert doorway.spool.used_bytes == 0
        assert doorway.recorded == []
        assert await doorway.refusals() == []


async def test_a_complete_data_set_is_kept_though_its_sender_vanished(tmp_path: Path) -> None:
    async with a_doorway(tmp_path) as doorway:
        association = doorway.associate()
        answered = store(association, attributes())
        association.closed(AssociationEnd.LOST)
        await answered.status()
        assert len(await doorway.in_ledger()) == 1


async def test_a_complete_deflated_data_set_is_kept_though_its_sender_vanished(
    tmp_path: Path,
) -> None:
    async with a_doorway(tmp_path) as doorway:
        association = doorway.associate()
        answered = store(association, attributes(), transfer_syntax=DEFLATED)
        association.closed(AssociationEnd.LOST)
        await answered.status()
        assert len(await doorway.in_ledger()) == 1
        assert doorway.watched.events == [
            ("associated",),
            ("receiving",),
            ("broken off",),
            ("recognised", STUDY),
            ("acknowledged", STUDY),
            ("answered",),
        ]


async def test_an_instance_that_is_given_up_while_it_is_inspected_leaves_nothing(
    tmp_path: Path,
) -> None:
    async with a_doorway(tmp_path) as doorway:
        reception = begin(doorway.associate(), transfer_syntax=DEFLATED)
        write(reception, encoded(attributes(), DEFLATED))
        answered = Answered()
        reception.finish(answered)
        reception.abandon()
        other = store(doorway.associate(), attributes(2), transfer_syntax=DEFLATED)
        assert await other.status() == 0x0000
        assert answered.answers == []
        assert [one.identity.sop_instance_uid for one in await doorway.in_ledger()] == [
            sop_instance(2)
        ]


async def test_deflated_instances_are_refused_once_the_router_stops(tmp_path: Path) -> None:
    async with a_doorway(tmp_path) as doorway:
        association = doorway.associate()
    answered = store(association, attributes(), transfer_syntax=DEFLATED)
    assert await answered.status() == 0xA700


async def test_while_the_ledger_lags_too_far_instances_are_refused_and_the_log_says_so(
    tmp_path: Path,
) -> None:
    async with a_doorway(tmp_path, ledger=DeadLedger(), limit=2) as doorway:
        association = doorway.associate()
        assert await store(association, attributes(1)).status() == 0x0000
        assert await store(association, attributes(2)).status() == 0x0000
        with capture_logs() as logs:
            refused = store(association, attributes(3))
            assert await refused.status() == 0xA700
        assert "ledger lags behind" in refused.comment
        assert doorway.recorder.lag == 2
        [line] = [line for line in logs if line["event"] == "instance refused"]
        assert line["log_level"] == "warning"
        assert line["sop_instance_uid"] == sop_instance(3)


# -- what the completion service is told -----------------------------------------------------------


async def test_an_instance_is_in_flight_from_its_first_byte_to_its_answer(tmp_path: Path) -> None:
    async with a_doorway(tmp_path) as doorway:
        association = doorway.associate()
        answered = store(association, attributes())
        assert doorway.watched.events == [
            ("associated",),
            ("receiving",),
            ("recognised", STUDY),
        ]
        await answered.status()
        release(association)
        assert doorway.watched.events[3:] == [
            ("acknowledged", STUDY),
            ("answered",),
            ("released",),
        ]


async def test_its_study_is_known_as_soon_as_the_data_set_says_it(tmp_path: Path) -> None:
    async with a_doorway(tmp_path) as doorway:
        reception = begin(doorway.associate())
        data = encoded(attributes())
        at = data.index(STUDY.encode()) - 8  # its element's header
        write(reception, data[:at])
        assert ("recognised", STUDY) not in doorway.watched.events
        write(reception, data[at : at + 100])
        assert doorway.watched.events[-1] == ("recognised", STUDY)
        write(reception, data[at + 100 :])
        assert doorway.watched.events[-1] == ("recognised", STUDY)
        reception.abandon()


@pytest.mark.parametrize(
    "data",
    [
        encoded(attributes(StudyInstanceUID=None)),
        nested(100),
        b"",
        encoded(attributes(Modality=None)),
    ],
    ids=["refused", "quarantined", "empty", "discarded"],
)
async def test_an_instance_that_joins_no_revision_is_over_with_its_answer(
    tmp_path: Path, data: bytes
) -> None:
    async with a_doorway(tmp_path, discard=["MODALITY|IS_NULL"]) as doorway:
        await store(doorway.associate(), data).status()
        events = [event for event in doorway.watched.events if event[0] != "recognised"]
        assert events == [("associated",), ("receiving",), ("answered",)]


async def test_an_instance_that_found_no_room_is_over_with_its_answer(tmp_path: Path) -> None:
    async with a_doorway(tmp_path, max_bytes=0) as doorway:
        await store(doorway.associate(), attributes()).status()
        assert doorway.watched.events[1:] == [("receiving",), ("answered",)]


async def test_the_next_instance_may_begin_within_the_answer_to_the_last(tmp_path: Path) -> None:
    async with a_doorway(tmp_path) as doorway:
        association = doorway.associate()
        begun = anyio.Event()

        def begin_the_next(status: int, comment: str) -> None:
            begin(association, instance=sop_instance(2))
            begun.set()

        reception = begin(association)
        write(reception, encoded(attributes()))
        reception.finish(begin_the_next)
        with anyio.fail_after(10):
            await begun.wait()
        assert doorway.watched.events[-2:] == [("answered",), ("receiving",)]


# -- associations ----------------------------------------------------------------------------------


async def test_an_association_for_another_ae_title_is_rejected_and_logged(tmp_path: Path) -> None:
    async with a_doorway(tmp_path) as doorway:
        request = AssociateRQ("OTHER", "CT1", (), UserInformation())
        with capture_logs() as logs:
            answer = doorway.ingress.requested(request, PeerAddress("10.0.0.7", 1))
        assert isinstance(answer, AssociateRJ)
        [line] = logs
        assert (line["event"], line["calling_ae_title"]) == ("association rejected", "CT1")
        ours = AssociateRQ("ROUTER", "CT1", (), UserInformation())
        assert isinstance(doorway.ingress.requested(ours, PeerAddress("10.0.0.7", 1)), AssociateAC)


async def test_no_other_operation_is_offered(tmp_path: Path) -> None:
    async with a_doorway(tmp_path) as doorway:
        context = AcceptedContext(1, CT, PLAIN)
        asked: list[Message] = []

        def respond(message: Message, data: bytes | None = None) -> None:
            asked.append(message)

        assert not doorway.associate().request(CFindRQ(1, CT), context, b"", respond)
        assert asked == []
