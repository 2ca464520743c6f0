"""``dicom-router candidates`` and ``studies`` ask a running router, here its API over a ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from router.admin.api import create_app
from router.admin.routes import Api
from router.completion.declaring import Declarations
from router.domain.candidate import Candidate
from router.domain.delivery import DeliveryState, OutcomeKind
from router.domain.instance import Disposition
from router.http.server import serve_http
from router.ledger.ledger import SqlLedger, open_ledger
from router.registry.request import RegistrationRequest
from router.registry.service import Registry
from router.settings.load import examine_text
from tests.admin.conftest import Arriving, interventions
from tests.cli.command import Ran, dicom_router
from tests.clock import ManualClock
from tests.e2e.stack import free_port
from tests.ledger.builders import NOON, decision, instance, refusal, result, route

YAML = "candidates: {BACKUP: {host: backup-writer, port: 4242}}"
TOKEN = "secret"
COMPOSED = {"all": ["MODALITY|IN|CR,DX", {"not": "INSTITUTION_NAME|IS_NULL"}]}


async def nobody_answers(candidate: Candidate) -> None:
    """Stand for a C-ECHO that these tests never send."""
    raise AssertionError(f"{candidate.ae_title} was probed")


@pytest.fixture
def not_ready() -> list[str]:
    """What speaks against taking instances in; a test may add to it."""
    return []


@pytest.fixture
async def url(tmp_path: Path, not_ready: list[str]) -> AsyncIterator[str]:
    """The API of a router with two candidates and two studies."""
    settings = examine_text(YAML, "router.yaml", tmp_path).settings
    assert settings is not None
    async with open_ledger(tmp_path / "ledger.db") as ledger:
        registry = Registry(settings, ledger, ledger.views, ManualClock(), nobody_answers)
        said = {"aet": "XRAY", "host": "xray-writer", "port": 4243, "routingCriteria": COMPOSED}
        await registry.register(RegistrationRequest.model_validate(said))
        keys = await ledger.record([instance(0, study="1.2.3"), refusal("1.2.3", "too loud")])
        await route(ledger, keys[0], decision("BACKUP", unmatched=("XRAY",)))
        await fail_once(ledger)
        odd = instance(1, study="1.2.4", disposition=Disposition.QUARANTINED, reason="too deep")
        await ledger.record([odd])
        arriving = Arriving({"1.2.5"})
        declarations = Declarations(ledger.views, arriving.complete_now)
        decide = interventions(registry, ledger)
        readiness = not_ready.copy
        app = create_app(Api(registry, ledger.views, decide, declarations, readiness, TOKEN))
        async with serve_http(app, "127.0.0.1", 0) as server:
            yield server.url


async def fail_once(ledger: SqlLedger) -> None:
    """Let the delivery of a third study be refused for now: number 2."""
    (key,) = await ledger.record([instance(2, study="1.2.6")])
    (delivery,) = await route(ledger, key, decision("ARCHIVE"))
    await ledger.begin_attempt(delivery.id, NOON)
    (item,) = await ledger.pending_items(delivery.id, 1)
    busy = result(item.instance_id, OutcomeKind.TEMPORARY, status=0xA700, reason="disk full")
    await ledger.record_results(delivery.id, [busy])
    await ledger.end_attempt(delivery.id, DeliveryState.RETRYING, NOON, None, "1 of 1 to be sent")


def rows(ran: Ran) -> list[list[str]]:
    """The cells of the tables that were printed."""
    return [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in ran.out.splitlines()
        if line.startswith("│")
    ]


async def test_candidates_are_listed_with_what_they_want(url: str) -> None:
    ran = await dicom_router("candidates", "--url", url)

    assert ran.status == 0
    assert [row[:5] for row in rows(ran)] == [
        ["BACKUP", "backup-writer:4242", "live", "configured", "every study"],
        [
            "XRAY",
            "xray-writer:4243",
            "live",
            "registered",
            "(Modality|IN|CR,DX and not InstitutionName|IS_NULL)",
        ],
    ]


async def test_a_narrow_terminal_folds_long_values_and_leaves_words_whole(url: str) -> None:
    ran = await dicom_router("deliveries", "--url", url, columns=80)

    words = {cell for row in rows(ran) for cell in row}
    assert {"BACKUP", "pending", "ARCHIVE", "retrying", "1.2.3", "1.2.6"} <= words
    assert "candidate ┃ state    ┃ delivered ┃ attempts" in ran.out


async def test_a_terminal_that_is_too_narrow_for_that_folds_everything(url: str) -> None:
    ran = await dicom_router("deliveries", "--url", url, columns=30)

    assert "ARCHIVE" in "".join(row[1] for row in rows(ran))


async def test_candidates_can_be_had_as_json(url: str) -> None:
    ran = await dicom_router("candidates", "--json", "--url", url)

    assert [candidate["ae_title"] for candidate in ran.json["candidates"]] == ["BACKUP", "XRAY"]


async def test_studies_are_listed_with_their_deliveries(url: str) -> None:
    ran = await dicom_router("studies", "--url", url)

    listed = {row[0]: row[1:] for row in rows(ran)}
    assert listed["1.2.3"] == ["routed", "1", "1", "0", "1 pending"]
    assert listed["1.2.4"] == ["", "0", "0", "1", ""]


async def test_as_many_studies_are_listed_as_are_asked_for(url: str) -> None:
    ran = await dicom_router("studies", "--limit", 1, "--json", "--url", url)

    assert len(ran.json["studies"]) == 1


async def test_a_study_says_who_gets_it_and_why_and_where_it_is(url: str) -> None:
    ran = await dicom_router("studies", "1.2.3", "--url", url)

    assert ran.status == 0
    assert "revision 1: routed" in ran.out
    assert ["XRAY", "no", "MODALITY is {CT}"] in rows(ran)
    assert ["BACKUP", "pending", "0/1", "0", ""] in rows(ran)
    assert "too loud" in ran.out


async def test_a_study_says_what_of_it_is_in_quarantine(url: str) -> None:
    ran = await dicom_router("studies", "1.2.4", "--url", url)

    assert [row[-1] for row in rows(ran)] == ["too deep"]


async def test_a_study_that_nobody_knows_is_said_to_be_unknown(url: str) -> None:
    ran = await dicom_router("studies", "9.9.9", "--url", url)

    assert ran.status == 2
    assert "9.9.9" in ran.err
    assert "/studies/9.9.9" in ran.err


async def test_deliveries_are_listed_with_their_numbers(url: str) -> None:
    ran = await dicom_router("deliveries", "--candidate", "BACKUP", "--url", url)

    assert rows(ran) == [["1", "BACKUP", "pending", "0/1", "0", "1.2.3"]]


async def test_a_delivery_says_how_each_attempt_ended_and_what_is_missing(url: str) -> None:
    ran = await dicom_router("deliveries", "2", "--url", url)

    assert rows(ran)[:2] == [
        ["2", "ARCHIVE", "retrying", "0/1", "1", "1.2.6"],
        ["", "", "", "", "", "1 of 1 to be sent"],
    ]
    assert [row[-2:] for row in rows(ran)][2] == ["retrying", "1 of 1 to be sent"]
    assert ["1.2.6.1.2", "1", "A700", "no", "disk full"] in rows(ran)


async def test_deliveries_of_another_state_are_left_out(url: str) -> None:
    ran = await dicom_router("deliveries", "--state", "dead", "--json", "--url", url)

    assert ran.json["deliveries"] == []


async def test_a_delivery_is_redirected_then_dismissed_then_sent_again(url: str) -> None:
    asked = ("--url", url, "--token", TOKEN)
    redirected = await dicom_router("redirect", 1, "XRAY", *asked)
    dismissed = await dicom_router("dismiss", 3, "nobody reads it", *asked)
    resent = await dicom_router("resend", "1.2.3", "--to", "BACKUP", *asked)

    states = [row[1:3] for row in rows(redirected) if row[0]]
    assert states == [["BACKUP", "dismissed"], ["XRAY", "pending"]]
    assert [row[-1] for row in rows(dismissed)] == ["1.2.3", "nobody reads it"]
    assert [row[:3] for row in rows(resent)] == [["4", "BACKUP", "pending"]]


async def test_what_a_decision_leads_to_can_be_had_as_json(url: str) -> None:
    asked = ("--json", "--url", url, "--token", TOKEN)

    retried = (await dicom_router("retry", 2, *asked)).json
    redirected = (await dicom_router("redirect", 1, "XRAY", *asked)).json
    dismissed = (await dicom_router("dismiss", 3, "nobody reads it", *asked)).json
    resent = (await dicom_router("resend", "1.2.3", "--to", "BACKUP", *asked)).json
    completed = (await dicom_router("complete", "1.2.5", *asked)).json

    assert retried["delivery"]["id"] == 2
    assert [redirected[key]["id"] for key in ("dismissed", "delivery")] == [1, 3]
    assert dismissed["delivery"]["state"] == "dismissed"
    assert [one["ae_title"] for one in resent["deliveries"]] == ["BACKUP"]
    assert completed == {"status": "ok"}


async def test_a_decision_that_cannot_be_carried_out_says_why(url: str) -> None:
    ran = await dicom_router("retry", 1, "--url", url, "--token", TOKEN)

    assert ran.status == 2
    assert "cannot revive a delivery that is pending" in ran.err


async def test_a_study_is_said_to_be_complete(url: str) -> None:
    ran = await dicom_router("complete", "1.2.5", "--url", url, "--token", TOKEN)

    assert ran.status == 0
    assert "1.2.5 is complete" in ran.out


async def test_a_study_that_is_complete_already_is_not_completed_again(url: str) -> None:
    ran = await dicom_router("complete", "1.2.3", "--url", url, "--token", TOKEN)

    assert ran.status == 2
    assert "nothing of study 1.2.3 is open: it is routed" in ran.err


async def test_a_decision_needs_the_token(url: str) -> None:
    ran = await dicom_router("retry", 1, "--url", url)

    assert ran.status == 2
    assert "token" in ran.err


every_command = pytest.mark.parametrize(
    "command", [("candidates",), ("studies",), ("studies", "1.2.3")], ids=" ".join
)


@every_command
async def test_a_router_that_is_not_there_is_said_so(command: tuple[str, ...]) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"

    ran = await dicom_router(*command, "--url", nowhere)

    assert ran.status == 2
    assert ran.out == ""
    assert f"{nowhere}/{command[0]}" in ran.err
    assert "no router answers there" in ran.err
    assert "is it running?" in ran.err


@every_command
async def test_an_address_that_is_none_is_said_so(command: tuple[str, ...]) -> None:
    ran = await dicom_router(*command, "--url", "router:8080")

    assert ran.status == 2
    assert "router:8080" in ran.err


async def test_another_server_is_not_taken_for_a_router() -> None:
    async with serve_http(web.Application(), "127.0.0.1", 0) as server:
        ran = await dicom_router("candidates", "--url", server.url)

    assert ran.status == 2
    assert "what answers there is no router's HTTP API" in ran.err


async def test_health_says_whether_a_router_takes_instances_in(url: str) -> None:
    ran = await dicom_router("health", "--url", url)

    assert (ran.status, ran.out) == (0, "ready\n")


async def test_health_says_why_a_router_takes_nothing_in(url: str, not_ready: list[str]) -> None:
    not_ready.append("the spool is full")

    ready = await dicom_router("health", "--url", url)
    alive = await dicom_router("health", "--alive", "--url", url)

    assert ready.status == 1
    assert "not ready: the spool is full" in ready.err
    assert (alive.status, alive.out) == (0, "alive\n")


async def test_health_fails_where_nothing_answers() -> None:
    ran = await dicom_router("health", "--url", f"http://127.0.0.1:{free_port()}")

    assert ran.status == 1
    assert "no router answers there" in ran.err
