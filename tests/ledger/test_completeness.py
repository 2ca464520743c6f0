"""What has arrived of a study, for its completion policy."""

from __future__ import annotations

from router.domain.instance import Disposition
from router.ledger.ledger import SqlLedger
from tests.ledger.builders import NOON, instance, refusal

STUDY = "1.2.3"


async def test_values_are_read_once_each_and_of_all_revisions(ledger: SqlLedger) -> None:
    [key, _] = await ledger.record(
        [instance(0, facts={"Modality": ("MR",)}), instance(1, facts={"Modality": ("SR",)})]
    )
    assert key is not None
    values, last = await ledger.study_values(STUDY, ["Modality", "BodyPart"], 0)
    assert values == {"Modality": {"MR", "SR"}, "BodyPart": set()}
    await ledger.complete(key, NOON, "quiet")
    await ledger.record([instance(2, facts={"Modality": ("CT",)})])
    more, _ = await ledger.study_values(STUDY, ["Modality"], last)
    assert more == {"Modality": {"CT"}}
    everything, _ = await ledger.study_values(STUDY, ["Modality"], 0)
    assert everything == {"Modality": {"MR", "SR", "CT"}}


async def test_values_of_other_studies_and_of_what_is_not_delivered_do_not_count(
    ledger: SqlLedger,
) -> None:
    await ledger.record(
        [
            instance(0, study="9.9", facts={"Modality": ("US",)}),
            instance(1, disposition=Disposition.QUARANTINED, reason="deep", facts={"Modality": ()}),
        ]
    )
    assert await ledger.study_values(STUDY, ["Modality"], 0) == ({}, 0)


async def test_everything_that_the_source_has_and_sent_is_counted_once(ledger: SqlLedger) -> None:
    again = instance(0, segment="segment-2", checksum=instance(0).checksum)
    other_bytes = instance(1, segment="segment-3", checksum="f" * 16)
    await ledger.record(
        [
            instance(0),
            instance(1),
            instance(2, disposition=Disposition.QUARANTINED, reason="too deep"),
            refusal(),  # a discard filter matched instance 0 of an earlier association
            again,
            other_bytes,
        ]
    )
    assert await ledger.arrived_instances(STUDY) == 3


async def test_late_instances_are_counted_with_the_revision_before(ledger: SqlLedger) -> None:
    [key] = await ledger.record([instance(0)])
    assert key is not None
    await ledger.complete(key, NOON, "quiet")
    await ledger.record([instance(1)])
    assert await ledger.arrived_instances(STUDY) == 2


async def test_what_was_discarded_with_its_revision_would_have_to_come_again(
    ledger: SqlLedger,
) -> None:
    [key] = await ledger.record([instance(0)])
    assert key is not None
    await ledger.discard(key, NOON, "took too long")
    assert await ledger.arrived_instances(STUDY) == 0
    assert await ledger.study_values(STUDY, ["Modality"], 0) == ({}, 0)


async def test_of_a_study_that_nobody_knows_nothing_has_arrived(ledger: SqlLedger) -> None:
    assert await ledger.arrived_instances("7.7.7") == 0
