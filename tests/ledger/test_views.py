from __future__ import annotations

import pytest

from router.domain.delivery import DeliveryState, OutcomeKind
from router.domain.errors import StateConflict, UnknownStudy
from router.domain.instance import Disposition
from router.domain.study import RevisionState
from router.domain.views import Page, StudySummary
from router.ledger.ledger import SqlLedger
from tests.ledger.builders import (
    DATA_SET_LENGTH,
    decision,
    instance,
    later,
    refusal,
    result,
    route,
)


def uids(page: Page[StudySummary]) -> list[str]:
    return [summary.study_instance_uid for summary in page.items]


async def five_studies(ledger: SqlLedger) -> None:
    """Record studies 1.0 to 1.4; route 1.1 and 1.3."""
    keys = await ledger.record(
        [
            instance(n, study=f"1.{n}", at=later(n), facts={"PatientID": (f"P{n % 2}",)})
            for n in range(5)
        ]
    )
    await route(ledger, keys[1], decision("ARCHIVE", "XRAY"))
    await route(ledger, keys[3], decision("ARCHIVE"))


async def test_studies_come_newest_first_page_by_page(ledger: SqlLedger) -> None:
    await five_studies(ledger)
    first = await ledger.views.studies(limit=2)
    second = await ledger.views.studies(limit=2, after=first.next)
    last = await ledger.views.studies(limit=2, after=second.next)
    assert [uids(page) for page in (first, second, last)] == [
        ["1.4", "1.3"],
        ["1.2", "1.1"],
        ["1.0"],
    ]
    assert last.next is None


async def test_a_page_that_is_just_full_is_the_last(ledger: SqlLedger) -> None:
    await five_studies(ledger)
    assert (await ledger.views.studies(limit=5)).next is None


async def test_a_study_that_comes_in_while_paging_moves_nothing(ledger: SqlLedger) -> None:
    await five_studies(ledger)
    first = await ledger.views.studies(limit=2)
    await ledger.record([instance(9, study="1.9")])
    assert uids(await ledger.views.studies(limit=2, after=first.next)) == ["1.2", "1.1"]


async def test_studies_can_be_asked_for_by_state_and_by_patient(ledger: SqlLedger) -> None:
    await five_studies(ledger)
    views = ledger.views
    assert uids(await views.studies(state=RevisionState.ROUTED)) == ["1.3", "1.1"]
    assert uids(await views.studies(patient_id="P0")) == ["1.4", "1.2", "1.0"]
    assert uids(await views.studies(patient_id="P0", state=RevisionState.ROUTED)) == []
    assert uids(await views.studies(patient_id="P1", state=RevisionState.ROUTED, limit=1)) == [
        "1.3"
    ]


async def test_a_summary_counts_what_a_study_has(ledger: SqlLedger) -> None:
    first, _ = await ledger.record(
        [
            instance(0, at=later(1), facts={}),
            instance(1, at=later(2), disposition=Disposition.QUARANTINED),
        ]
    )
    await route(ledger, first, decision("ARCHIVE", "XRAY"))
    await ledger.record([instance(2, at=later(90), facts={"PatientID": ("P7",)})])
    (summary,) = (await ledger.views.studies()).items
    assert summary == StudySummary(
        study_instance_uid="1.2.3",
        patient_id="P7",
        first_arrival_at=later(1),
        last_arrival_at=later(90),
        revisions=2,
        state=RevisionState.OPEN,
        instances=2,
        bytes=2 * DATA_SET_LENGTH,
        quarantined=1,
        deliveries={DeliveryState.PENDING: 2},
    )


async def test_a_study_that_is_all_in_quarantine_has_no_state(ledger: SqlLedger) -> None:
    await ledger.record([instance(0, disposition=Disposition.QUARANTINED)])
    (summary,) = (await ledger.views.studies()).items
    assert (summary.state, summary.revisions, summary.quarantined) == (None, 0, 1)


async def test_a_study_shows_where_its_instances_are(ledger: SqlLedger) -> None:
    keys = await ledger.record([instance(number) for number in range(3)])
    archive, _ = await route(ledger, keys[0], decision("ARCHIVE", "XRAY"))
    items = await ledger.pending_items(archive.id, 10)
    await ledger.record_results(archive.id, [result(item.instance_id) for item in items[:2]])
    await ledger.record([instance(9)])
    detail = await ledger.views.study("1.2.3")
    first, second = detail.revisions
    assert [(d.ae_title, d.delivered, d.instances) for d in first.deliveries] == [
        ("ARCHIVE", 2, 3),
        ("XRAY", 0, 3),
    ]
    assert (second.number, second.deliveries, second.decisions) == (2, (), ())


async def test_a_study_shows_what_the_door_refused_of_it(ledger: SqlLedger) -> None:
    kept = refusal(reason="MODALITY|IS_NULL")
    await ledger.record([instance(0), kept, refusal("9.9")])
    detail = await ledger.views.study("1.2.3")
    assert (detail.refused, [entry.refusal for entry in detail.refusals]) == (1, [kept])


async def test_an_unknown_study_is_an_error_that_names_it(ledger: SqlLedger) -> None:
    with pytest.raises(UnknownStudy, match=r"1\.2\.3"):
        await ledger.views.study("1.2.3")


async def test_deliveries_can_be_asked_for_by_state_and_by_candidate(ledger: SqlLedger) -> None:
    await five_studies(ledger)
    newest, *_ = (await ledger.views.deliveries(ae_title="ARCHIVE")).items
    await ledger.begin_attempt(newest.id, later(1))
    views = ledger.views
    assert len((await views.deliveries()).items) == 3
    assert len((await views.deliveries(ae_title="ARCHIVE")).items) == 2
    assert len((await views.deliveries(state=DeliveryState.PENDING)).items) == 2
    (active,) = (await views.deliveries(state=DeliveryState.ACTIVE, ae_title="ARCHIVE")).items
    assert (active.id, active.study_instance_uid) == (newest.id, "1.3")
    assert (await views.deliveries(state=DeliveryState.ACTIVE, ae_title="XRAY")).items == []


async def test_deliveries_come_newest_first_page_by_page(ledger: SqlLedger) -> None:
    await five_studies(ledger)
    first = await ledger.views.deliveries(limit=2)
    rest = await ledger.views.deliveries(limit=2, after=first.next)
    ids = [delivery.id for delivery in (*first.items, *rest.items)]
    assert ids == sorted(ids, reverse=True)
    assert (len(ids), rest.next) == (3, None)


async def test_a_delivery_shows_the_instances_that_were_answered_badly(ledger: SqlLedger) -> None:
    keys = await ledger.record([instance(number) for number in range(4)])
    (delivery,) = await route(ledger, keys[0], decision("ARCHIVE"))
    stored, busy, refused, _untried = await ledger.pending_items(delivery.id, 10)
    await ledger.record_results(
        delivery.id,
        [
            result(stored.instance_id),
            result(busy.instance_id, OutcomeKind.TEMPORARY, status=None, reason="no answer"),
            result(refused.instance_id, OutcomeKind.PERMANENT, status=0xC000, reason="bad"),
        ],
    )
    detail = await ledger.views.delivery(delivery.id)
    assert [
        (i.sop_instance_uid, i.refused, i.attempts, i.status, i.reason) for i in detail.undelivered
    ] == [
        (busy.sop_instance_uid, False, 1, None, "no answer"),
        (refused.sop_instance_uid, True, 1, 0xC000, "bad"),
    ]


async def test_an_unknown_delivery_is_an_error(ledger: SqlLedger) -> None:
    with pytest.raises(StateConflict, match="no delivery 7"):
        await ledger.views.delivery(7)


async def test_refusals_and_quarantine_come_newest_first(ledger: SqlLedger) -> None:
    await ledger.record([refusal(reason=f"filter {n}") for n in range(3)])
    await ledger.record(
        [instance(n, disposition=Disposition.QUARANTINED, reason=f"depth {n}") for n in range(3)]
    )
    views = ledger.views
    refused = await views.refusals(limit=2)
    assert [entry.refusal.reason for entry in refused.items] == ["filter 2", "filter 1"]
    (oldest,) = (await views.refusals(after=refused.next)).items
    assert oldest.refusal.reason == "filter 0"
    assert (await views.refusals(disposition=Disposition.REFUSED)).items == []
    quarantined = await views.quarantine(limit=2)
    assert [entry.instance.reason for entry in quarantined.items] == ["depth 2", "depth 1"]


async def test_counts_are_of_everything(ledger: SqlLedger) -> None:
    await five_studies(ledger)
    await ledger.record([refusal(), instance(7, disposition=Disposition.QUARANTINED)])
    counts = await ledger.views.counts()
    assert (counts.studies, counts.instances, counts.quarantined) == (6, 5, 1)
    assert counts.bytes == 5 * DATA_SET_LENGTH
    assert counts.revisions == {RevisionState.OPEN: 3, RevisionState.ROUTED: 2}
    assert counts.deliveries == {DeliveryState.PENDING: 3}
    assert counts.refusals == {Disposition.DISCARDED: 1}
