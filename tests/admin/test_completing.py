"""Somebody who knows says over HTTP that a study has arrived."""

from __future__ import annotations

from router.completion.declaring import BY_REQUEST
from router.domain.instance import Disposition
from router.ledger.ledger import SqlLedger
from tests.admin.conftest import Client, Serve
from tests.admin.test_studies import routed
from tests.ledger.builders import instance


async def test_an_open_study_is_completed_and_says_by_whom(client: Client) -> None:
    client.arriving.open.add("1.2.3")
    answer = await client.post("/studies/1.2.3/complete")
    assert (answer.status, answer.body) == (200, {"status": "ok"})
    assert client.arriving.completed == {"1.2.3": BY_REQUEST}


async def test_a_study_that_nobody_knows_is_not_found(client: Client) -> None:
    answer = await client.post("/studies/9.9/complete")
    assert answer.status == 404
    assert answer.body["detail"] == "the ledger holds no study 9.9"


async def test_a_study_that_is_complete_is_a_conflict_that_says_so(
    client: Client, ledger: SqlLedger
) -> None:
    await routed(ledger, "XRAY")
    answer = await client.post("/studies/1.2.3/complete")
    assert answer.status == 409
    assert answer.body["detail"] == "nothing of study 1.2.3 is open: it is routed"


async def test_a_study_of_which_all_is_in_quarantine_says_so(
    client: Client, ledger: SqlLedger
) -> None:
    await ledger.record([instance(disposition=Disposition.QUARANTINED, reason="too deep")])
    answer = await client.post("/studies/1.2.3/complete")
    assert answer.status == 409
    assert "in quarantine" in answer.body["detail"]


async def test_completing_needs_the_token(serve: Serve) -> None:
    async with serve(token="secret") as client:
        client.arriving.open.add("1.2.3")
        answer = await client.post("/studies/1.2.3/complete")
    assert answer.status == 401
    assert client.arriving.completed == {}
