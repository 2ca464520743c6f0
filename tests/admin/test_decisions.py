"""What people decide about deliveries, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from router.domain.delivery import Delivery, DeliveryState
from router.ledger.ledger import SqlLedger
from tests.admin.conftest import Client, Serve
from tests.admin.test_studies import routed
from tests.ledger.builders import NOON, later

YAML = "candidates: {ARCHIVE: {host: archive, port: 104}}"


async def dead(ledger: SqlLedger) -> Delivery:
    """A delivery that was given up."""
    (delivery,) = await routed(ledger, "XRAY")
    await ledger.begin_attempt(delivery.id, NOON)
    await ledger.end_attempt(delivery.id, DeliveryState.DEAD, later(9), None, "refused")
    return delivery


async def test_a_dead_delivery_is_pending_again(client: Client, ledger: SqlLedger) -> None:
    delivery = await dead(ledger)

    answer = await client.post(f"/deliveries/{delivery.id}/retry")

    assert (answer.status, answer.body["delivery"]["state"]) == (200, "pending")


async def test_a_delivery_goes_to_another_candidate(serve: Serve, ledger: SqlLedger) -> None:
    delivery = await dead(ledger)
    async with serve(YAML) as client:
        answer = await client.post(f"/deliveries/{delivery.id}/redirect", {"aet": "ARCHIVE"})

    new, old = answer.body["delivery"], answer.body["dismissed"]
    assert (new["ae_title"], new["state"], new["instances"]) == ("ARCHIVE", "pending", 2)
    assert (old["id"], old["state"]) == (delivery.id, "dismissed")


async def test_a_dismissed_delivery_says_why_and_its_study_settles(
    client: Client, ledger: SqlLedger
) -> None:
    delivery = await dead(ledger)

    await client.post(f"/deliveries/{delivery.id}/dismiss", {"reason": "the writer is gone"})

    shown = (await client.get(f"/deliveries/{delivery.id}")).body["delivery"]
    assert (shown["state"], shown["reason"]) == ("dismissed", "the writer is gone")
    assert (await client.get("/studies/1.2.3")).body["state"] == "settled"
    assert (await client.get("/deliveries", state="dismissed")).body["deliveries"] == [shown]


async def test_a_study_is_sent_again(serve: Serve, ledger: SqlLedger) -> None:
    await routed(ledger, "XRAY")
    async with serve(YAML) as client:
        answer = await client.post("/studies/1.2.3/resend", {"aet": ["ARCHIVE"]})

    assert [one["ae_title"] for one in answer.body["deliveries"]] == ["ARCHIVE"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/deliveries/4711/retry", None, 404),
        ("/deliveries/none/retry", None, 404),
        ("/deliveries/4711/redirect", {"aet": "ARCHIVE"}, 404),
        ("/deliveries/4711/dismiss", {"reason": "gone"}, 404),
        ("/studies/9.9.9/resend", {}, 404),
        ("/deliveries/1/redirect", {"aet": "NOBODY"}, 404),
        ("/studies/1.2.3/resend", {"aet": ["NOBODY"]}, 404),
        ("/deliveries/1/retry", None, 409),
        ("/studies/1.2.3/resend", {}, 409),
        ("/deliveries/1/dismiss", {"reason": ""}, 422),
        ("/deliveries/1/redirect", {"to": "ARCHIVE"}, 422),
        ("/studies/1.2.3/resend", {"aet": []}, 422),
    ],
)
async def test_what_cannot_be_done_is_said(
    serve: Serve, ledger: SqlLedger, path: str, body: Any, status: int
) -> None:
    await routed(ledger, "XRAY")
    async with serve(YAML) as client:
        assert (await client.post(path, body)).status == status


@pytest.mark.parametrize(
    "path",
    [
        "/deliveries/1/retry",
        "/deliveries/1/redirect",
        "/deliveries/1/dismiss",
        "/studies/1.2.3/resend",
    ],
)
async def test_decisions_need_the_token(serve: Serve, path: str) -> None:
    async with serve(YAML, token="secret") as client:
        assert (await client.post(path, {})).status == 401
