from __future__ import annotations

from router.domain.instance import Disposition
from router.domain.study import RevisionKey
from router.ledger.ledger import SqlLedger
from tests.ledger.builders import (
    DATA_SET_LENGTH,
    RECORD_LENGTH,
    decision,
    instance,
    later,
    refusal,
    route,
)


async def record_one(ledger: SqlLedger, number: int = 0, study: str = "1.2.3") -> RevisionKey:
    (key,) = await ledger.record([instance(number, study=study)])
    assert key is not None
    return key


async def test_the_first_instance_of_a_study_opens_its_first_revision(ledger: SqlLedger) -> None:
    key = await record_one(ledger)
    assert (key.study_instance_uid, key.number) == ("1.2.3", 1)
    assert [revision.key for revision in await ledger.open_revisions()] == [key]


async def test_further_instances_join_the_open_revision(ledger: SqlLedger) -> None:
    first = await record_one(ledger, 0)
    assert await ledger.record([instance(1), instance(2)]) == [first, first]


async def test_one_batch_may_hold_many_studies(ledger: SqlLedger) -> None:
    keys = await ledger.record([instance(n, study=f"1.2.{n % 2}") for n in range(4)])
    assert [key and key.study_instance_uid for key in keys] == ["1.2.0", "1.2.1", "1.2.0", "1.2.1"]
    assert len({key and key.id for key in keys}) == 2


async def test_a_batch_larger_than_one_in_list_is_recorded_whole(ledger: SqlLedger) -> None:
    arrivals = [instance(n, study=f"1.2.{n}", segment=f"s{n}") for n in range(1200)]
    keys = await ledger.record(arrivals)
    assert len(set(keys)) == 1200
    assert await ledger.record(arrivals) == keys
    assert (await ledger.views.counts()).instances == 1200


async def test_a_late_instance_opens_the_next_revision(ledger: SqlLedger) -> None:
    first = await record_one(ledger, 0)
    await route(ledger, first, decision("ARCHIVE"))
    second = await record_one(ledger, 1)
    assert (second.id, second.number) == (second.id, 2)
    assert second.id != first.id


async def test_recording_a_spool_record_twice_changes_nothing(ledger: SqlLedger) -> None:
    arrivals = [instance(0), instance(1)]
    keys = await ledger.record(arrivals)
    assert await ledger.record([*arrivals, instance(2)]) == [*keys, keys[0]]
    assert keys[0] is not None
    assert len(await ledger.instances(keys[0].id)) == 3
    (revision,) = (await ledger.views.study("1.2.3")).revisions
    assert (revision.instances, revision.bytes) == (3, 3 * DATA_SET_LENGTH)


async def test_the_same_record_twice_in_one_batch_is_recorded_once(ledger: SqlLedger) -> None:
    first, second = await ledger.record([instance(0), instance(0)])
    assert first is not None
    assert first == second
    assert len(await ledger.instances(first.id)) == 1


async def test_a_repeated_record_gets_the_revision_it_joined_even_when_that_is_closed(
    ledger: SqlLedger,
) -> None:
    first = await record_one(ledger, 0)
    await route(ledger, first, decision("ARCHIVE"))
    assert await ledger.record([instance(0)]) == [first]
    assert await ledger.open_revisions() == []


async def test_instances_come_back_as_they_were_in_order_of_arrival(ledger: SqlLedger) -> None:
    arrivals = [
        instance(
            n, facts={"PatientName": ("Müller^Jörg",), "BodyPartExamined": (), "Rows": ("1", "2")}
        )
        for n in (3, 1, 2)
    ]
    keys = await ledger.record(arrivals)
    assert keys[0] is not None
    numbered = await ledger.instances(keys[0].id)
    assert [arrival for _, arrival in numbered] == arrivals
    assert [number for number, _ in numbered] == sorted(number for number, _ in numbered)


async def test_a_quarantined_instance_is_kept_with_its_reason_and_joins_no_revision(
    ledger: SqlLedger,
) -> None:
    arrival = instance(0, disposition=Disposition.QUARANTINED, reason="nested 4000 deep")
    assert await ledger.record([arrival]) == [None]
    assert await ledger.open_revisions() == []
    study = await ledger.views.study("1.2.3")
    assert study.summary.quarantined == 1
    assert [entry.instance for entry in study.quarantine] == [arrival]


async def test_recording_a_quarantined_record_twice_changes_nothing(ledger: SqlLedger) -> None:
    arrival = instance(0, disposition=Disposition.QUARANTINED, reason="nested 4000 deep")
    await ledger.record([arrival])
    assert await ledger.record([arrival]) == [None]
    assert (await ledger.views.counts()).quarantined == 1
    assert (await ledger.views.study("1.2.3")).summary.quarantined == 1


async def test_a_quarantined_instance_is_in_no_delivery(ledger: SqlLedger) -> None:
    key, _ = await ledger.record([instance(0), instance(1, disposition=Disposition.QUARANTINED)])
    assert key is not None
    (delivery,) = await route(ledger, key, decision("ARCHIVE"))
    assert delivery.instances == 1


async def test_a_refusal_is_kept_with_its_reason_and_has_no_revision(ledger: SqlLedger) -> None:
    arrival = refusal(reason="MODALITY|IS_NULL", PatientID=("7",))
    keys = await ledger.record([arrival, instance(0)])
    assert keys[0] is None
    assert keys[1] is not None
    assert [entry.refusal for entry in (await ledger.views.refusals()).items] == [arrival]


async def test_an_empty_batch_is_nothing(ledger: SqlLedger) -> None:
    assert await ledger.record([]) == []


async def test_each_segment_is_recorded_through_the_end_of_its_last_record(
    ledger: SqlLedger,
) -> None:
    assert await ledger.recorded_through() == {}
    await ledger.record(
        [instance(0, segment="a"), instance(1, segment="a"), instance(0, segment="b")]
    )
    await ledger.record([instance(2, segment="a", disposition=Disposition.QUARANTINED)])
    await ledger.record([instance(0, segment="a")])
    assert await ledger.recorded_through() == {"a": 3 * RECORD_LENGTH, "b": RECORD_LENGTH}


async def test_an_open_revision_knows_its_times_its_senders_and_its_size(
    ledger: SqlLedger,
) -> None:
    await ledger.record([instance(0, at=later(5)), instance(1, calling="CT2", at=later(9))])
    await ledger.record([instance(2, at=later(7)), instance(0, study="9.9", segment="other")])
    revision, other = await ledger.open_revisions()
    assert revision.opened_at == later(5)
    assert revision.last_instance_at == later(9)
    assert revision.instances == 3
    assert revision.calling_ae_titles == {"CT1", "CT2"}
    assert other.key.study_instance_uid == "9.9"
