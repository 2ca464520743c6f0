from __future__ import annotations

from collections.abc import Sequence

import pytest

from router.domain.delivery import Delivery, DeliveryState, OutcomeKind
from router.domain.instance import Disposition
from router.ledger.ledger import SqlLedger
from tests.admin.conftest import Client
from tests.ledger.builders import NOON, decision, instance, refusal, result, route


async def routed(ledger: SqlLedger, *candidates: str, study: str = "1.2.3") -> Sequence[Delivery]:
    """Record and route a study of two instances."""
    keys = await ledger.record(
        [instance(0, study=study, segment=study), instance(1, study=study, segment=study)]
    )
    return await route(ledger, keys[0], decision(*candidates, unmatched=("OTHER",)))


async def test_a_study_shows_its_revisions_decisions_and_deliveries(
    client: Client, ledger: SqlLedger
) -> None:
    (delivery,) = await routed(ledger, "XRAY")
    items = await ledger.pending_items(delivery.id, 10)
    await ledger.begin_attempt(delivery.id, NOON)
    await ledger.record_results(delivery.id, [result(items[0].instance_id)])

    study = (await client.get("/studies/1.2.3")).body

    assert (study["study_instance_uid"], study["state"], study["instances"]) == (
        "1.2.3",
        "routed",
        2,
    )
    (revision,) = study["revisions"]
    (determined,) = revision["decisions"]
    assert [(choice["ae_title"], choice["matched"]) for choice in determined["choices"]] == [
        ("XRAY", True),
        ("OTHER", False),
    ]
    assert determined["choices"][0]["reason"] == "MODALITY is {CT}"
    (shown,) = revision["deliveries"]
    assert (shown["ae_title"], shown["state"]) == ("XRAY", "active")
    assert (shown["delivered"], shown["instances"]) == (1, 2)


async def test_a_study_shows_what_did_not_enter(client: Client, ledger: SqlLedger) -> None:
    quarantined = instance(0, disposition=Disposition.QUARANTINED, reason="nested too deeply")
    await ledger.record([quarantined, refusal(reason="MODALITY is null")])

    study = (await client.get("/studies/1.2.3")).body

    assert study["state"] is None
    assert [entry["reason"] for entry in study["quarantine"]] == ["nested too deeply"]
    assert [entry["reason"] for entry in study["refusals"]] == ["MODALITY is null"]


async def test_an_unknown_study_is_not_found(client: Client) -> None:
    answer = await client.get("/studies/1.2.3")
    assert answer.status == 404
    assert answer.body["detail"] == "the ledger holds no study 1.2.3"


async def test_studies_are_listed_newest_first_page_by_page(
    client: Client, ledger: SqlLedger
) -> None:
    for number in range(5):
        await routed(ledger, "XRAY", study=f"1.2.{number}")

    listed = []
    page = (await client.get("/studies", limit=2)).body
    listed += page["studies"]
    page = (await client.get("/studies", limit=2, after=page["next"])).body
    listed += page["studies"]
    page = (await client.get("/studies", limit=2, after=page["next"])).body
    listed += page["studies"]

    assert page["next"] is None
    assert [study["study_instance_uid"] for study in listed] == [
        "1.2.4",
        "1.2.3",
        "1.2.2",
        "1.2.1",
        "1.2.0",
    ]
    assert listed[0]["deliveries"] == {"pending": 1}


async def test_studies_are_found_by_state(client: Client, ledger: SqlLedger) -> None:
    await routed(ledger, "XRAY")
    await ledger.record([instance(9, study="1.9")])
    answer = await client.get("/studies", state="open")
    assert [study["study_instance_uid"] for study in answer.body["studies"]] == ["1.9"]


async def test_deliveries_are_found_by_candidate_and_state(
    client: Client, ledger: SqlLedger
) -> None:
    await routed(ledger, "XRAY", "BACKUP")

    everything = (await client.get("/deliveries")).body["deliveries"]
    of_backup = (await client.get("/deliveries", candidate="BACKUP")).body["deliveries"]
    dead = (await client.get("/deliveries", state="dead")).body["deliveries"]

    assert {delivery["ae_title"] for delivery in everything} == {"XRAY", "BACKUP"}
    assert [delivery["ae_title"] for delivery in of_backup] == ["BACKUP"]
    assert dead == []


async def test_a_delivery_shows_its_attempts_and_what_was_refused(
    client: Client, ledger: SqlLedger
) -> None:
    (delivery,) = await routed(ledger, "XRAY")
    items = await ledger.pending_items(delivery.id, 10)
    await ledger.begin_attempt(delivery.id, NOON)
    refused = result(
        items[0].instance_id, OutcomeKind.PERMANENT, status=0xA900, reason="does not match"
    )
    await ledger.record_results(delivery.id, [refused])
    await ledger.end_attempt(delivery.id, DeliveryState.DEAD, NOON, None, "one was refused")

    shown = (await client.get(f"/deliveries/{delivery.id}")).body

    assert shown["delivery"]["state"] == "dead"
    assert [attempt["reason"] for attempt in shown["attempts"]] == ["one was refused"]
    assert [item["reason"] for item in shown["undelivered"]] == ["does not match"]


@pytest.mark.parametrize("number", ["1", "x", "-1", "99999999"])
async def test_an_unknown_delivery_is_not_found(client: Client, number: str) -> None:
    answer = await client.get(f"/deliveries/{number}")
    assert answer.status == 404
    assert answer.body["detail"] == f"the ledger holds no delivery {number}"


async def test_a_study_shows_what_came_again_and_what_was_made_of_it(
    client: Client, ledger: SqlLedger
) -> None:
    original, again = instance(0), instance(0, segment="segment-2")
    corrected = instance(0, segment="segment-3", checksum="b" * 16)
    await ledger.record([original, again, corrected])

    shown = (await client.get("/studies/1.2.3")).body

    assert (shown["instances"], shown["repeated"]) == (1, 3)
    assert [(one["disposition"], one["checksum"]) for one in shown["repeats"]] == [
        ("accepted", corrected.checksum),
        ("duplicate", original.checksum),
        ("superseded", original.checksum),
    ]
    assert original.checksum in shown["repeats"][0]["reason"]


async def test_refusals_are_listed_with_status_and_reason(
    client: Client, ledger: SqlLedger
) -> None:
    await ledger.record([refusal(reason="MODALITY is null")])

    (entry,) = (await client.get("/refusals")).body["refusals"]
    assert (entry["disposition"], entry["dimse_status"], entry["reason"]) == (
        "discarded",
        "0000",
        "MODALITY is null",
    )
    assert (await client.get("/refusals", disposition="refused")).body["refusals"] == []


async def test_quarantine_is_listed_with_the_reason(client: Client, ledger: SqlLedger) -> None:
    await ledger.record(
        [instance(0, disposition=Disposition.QUARANTINED, reason="nested too deeply")]
    )
    (entry,) = (await client.get("/quarantine")).body["quarantine"]
    assert (entry["study_instance_uid"], entry["reason"]) == ("1.2.3", "nested too deeply")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"after": "-1"}, "after"),
        ({"state": "lost"}, "state"),
        ({"stat": "open"}, "stat"),
    ],
)
async def test_a_bad_query_is_named(client: Client, query: dict[str, str], name: str) -> None:
    answer = await client.get("/studies", **query)
    assert answer.status == 422
    assert answer.body["detail"] == f"the query cannot be used: look at {name}"
