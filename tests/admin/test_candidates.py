from __future__ import annotations

import io
from typing import Any

import pytest

from router.domain.criteria import parse_criteria
from router.domain.reach import WebReach
from router.ledger.ledger import SqlLedger
from tests.admin.conftest import Client, Serve

SEED = {
    "aet": "XRAY",
    "host": "xray-writer",
    "port": 4242,
    "routingCriteria": {
        "routableAttribute": "MODALITY",
        "operator": "IN",
        "value": ["CR", "DX"],
    },
}
BACKUP = {"aet": "BACKUP", "host": "backup-writer", "port": 4242}


async def test_the_body_of_orthanc_simple_router_works_unchanged(client: Client) -> None:
    answer = await client.post("/candidates", SEED)

    assert answer.status == 200
    assert answer.body["status"] == "ok"
    assert answer.body["candidate"]["ae_title"] == "XRAY"
    assert client.registry.candidate("XRAY").criteria == parse_criteria("MODALITY|IN|CR,DX")


async def test_a_registration_is_answered_with_lease_and_heartbeat(serve: Serve) -> None:
    async with serve("registration: {lease: 2m, heartbeat: 30s}") as client:
        answer = await client.post("/candidates", SEED)
        assert (answer.body["lease_s"], answer.body["heartbeat_s"]) == (120, 30)


@pytest.mark.parametrize("more", [{}, {"routingCriteria": None}])
async def test_a_writer_without_criteria_is_a_backup_writer(
    client: Client, more: dict[str, Any]
) -> None:
    answer = await client.post("/candidates", {**BACKUP, **more})
    assert answer.body["candidate"]["criteria"] is None


@pytest.mark.parametrize(
    "criteria",
    [
        "MODALITY|IN|CR,DX",
        "MODALITY\\|IN\\|CR,DX",
        {"any": ["MODALITY|EQUAL|CR", {"all": ["MODALITY|EQUAL|DX"]}]},
        {"not": "MODALITY|NOT_IN|CR,DX"},
    ],
)
async def test_criteria_may_be_text_or_composed(client: Client, criteria: Any) -> None:
    answer = await client.post("/candidates", {**BACKUP, "routingCriteria": criteria})
    assert answer.status == 200
    assert client.registry.candidate("BACKUP").criteria == parse_criteria(criteria)


async def test_optional_fields_are_taken_over(client: Client) -> None:
    answer = await client.post(
        "/candidates",
        {
            **SEED,
            "kind": "dimse",
            "level": "series",
            "priority": "urgent",
            "required": False,
            "associations": 4,
            "discard": ["BODY_PART_EXAMINED|EQUAL|PHANTOM"],
        },
    )
    candidate = answer.body["candidate"]
    assert candidate["level"] == "series"
    assert candidate["priority"] == "urgent"
    assert candidate["required"] is False
    assert candidate["associations"] == 4
    assert len(candidate["discard"]) == 1


async def test_a_writer_that_is_reached_over_http_registers_with_its_url(client: Client) -> None:
    body = {"aet": "VNA", "kind": "stow-rs", "url": "https://vna.example/dicom-web/"}

    answer = await client.post("/candidates", body)

    assert answer.status == 200
    shown = answer.body["candidate"]
    assert (shown["kind"], shown["address"]) == ("stow-rs", "https://vna.example/dicom-web")
    assert (shown["host"], shown["port"]) == ("vna.example", 443)
    assert client.registry.candidate("VNA").reach == WebReach("https://vna.example/dicom-web")


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"url": None}, ["url"]),
        ({"url": "file:///etc/passwd"}, ["url"]),
        ({"url": "https://user:word@vna"}, ["url"]),
        ({"host": "vna"}, ["host"]),
        ({"port": 104}, ["port"]),
    ],
)
async def test_a_registration_says_what_its_kind_needs_and_nothing_else(
    client: Client, change: dict[str, Any], loc: list[str]
) -> None:
    body = {"aet": "VNA", "kind": "stow-rs", "url": "https://vna.example/dicom-web", **change}

    answer = await client.post("/candidates", body)

    assert (answer.status, [wrong["loc"] for wrong in answer.body["errors"]]) == (422, [loc])


async def test_the_router_is_no_candidate_of_its_own_over_http_either(client: Client) -> None:
    body = {"aet": "VNA", "kind": "stow-rs", "url": "http://localhost:8080/dicom-web"}

    answer = await client.post("/candidates", body)

    assert (answer.status, client.registry.candidates()) == (403, ())


async def test_registering_twice_makes_one_candidate(client: Client) -> None:
    await client.post("/candidates", SEED)
    await client.post("/candidates", SEED)
    answer = await client.get("/candidates")
    assert [candidate["ae_title"] for candidate in answer.body["candidates"]] == ["XRAY"]


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"aet": "A_NAME_THAT_IS_TOO_LONG"}, ["aet"]),
        ({"aet": 5}, ["aet"]),
        ({"host": ""}, ["host"]),
        ({"host": "http://writer"}, ["host"]),
        ({"port": 0}, ["port"]),
        ({"port": 65536}, ["port"]),
        ({"port": "4242"}, ["port"]),
        ({"kind": "carrier-pigeon"}, ["kind"]),
        ({"kind": "folder"}, ["kind"]),
        ({"kind": "chris"}, ["kind"]),
        ({"path": "/etc"}, ["path"]),
        ({"url": "https://vna/dicom-web"}, ["url"]),
        ({"auth": {"token_file": "/etc/passwd"}}, ["auth"]),
        ({"tls": {"certificate": "/etc/passwd"}}, ["tls"]),
        ({"level": "patient"}, ["level"]),
        ({"priority": "soon"}, ["priority"]),
        ({"associations": 0}, ["associations"]),
        ({"required": "yes"}, ["required"]),
        ({"routingCriteria": "MODALITY|IS|CT"}, ["routingCriteria"]),
        ({"routingCriteria": {"operator": "IN"}}, ["routingCriteria"]),
        ({"routingCriteria": 5}, ["routingCriteria"]),
        ({"discard": ["MODALITY|IS_NULL", "nonsense"]}, ["discard", 1]),
        ({"routingCritera": "MODALITY|EQUAL|CT"}, ["routingCritera"]),
    ],
)
async def test_a_bad_field_is_named_and_nothing_is_registered(
    client: Client, ledger: SqlLedger, change: dict[str, Any], loc: list[str | int]
) -> None:
    answer = await client.post("/candidates", {**BACKUP, **change})

    assert answer.status == 422
    assert answer.content_type == "application/problem+json"
    assert [wrong["loc"] for wrong in answer.body["errors"]] == [loc]
    assert client.registry.candidates() == ()
    assert await ledger.registrations() == []


async def test_all_bad_fields_are_named_at_once(client: Client) -> None:
    answer = await client.post("/candidates", {"aet": "", "prot": 1})

    assert answer.body["status"] == 422
    assert answer.body["detail"] == "the body cannot be used: look at aet, host, port, prot"
    messages = {wrong["loc"][0]: wrong["message"] for wrong in answer.body["errors"]}
    assert messages["host"] == 'key "host" is missing'
    assert messages["prot"] == 'unknown key "prot" (did you mean "port"?)'


@pytest.mark.parametrize("body", ["[]", '"text"', "5", "null"])
async def test_a_body_that_is_no_object_is_refused(client: Client, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await client.ask("POST", "/candidates", data=body, headers=headers)
    assert answer.status == 422
    assert answer.body["errors"][0]["message"].startswith("must be a mapping of keys")


async def test_a_body_that_is_not_json_is_refused(client: Client) -> None:
    headers = {"Content-Type": "application/json"}
    for data in (b"{", b"", b"\xff\xfe", b"[" * 100_000):
        answer = await client.ask("POST", "/candidates", data=data, headers=headers)
        assert answer.status == 400
        assert answer.body["detail"].startswith("the body is not JSON")


async def test_a_body_of_another_type_is_refused(client: Client) -> None:
    answer = await client.ask("POST", "/candidates", data={"aet": "XRAY"})
    assert answer.status == 415
    assert "application/json" in answer.body["detail"]


async def test_a_body_that_is_too_large_is_refused(client: Client) -> None:
    body = io.BytesIO(b'{"aet": "' + b"X" * 1024**2 + b'"}')
    headers = {"Content-Type": "application/json"}
    answer = await client.ask("POST", "/candidates", data=body, headers=headers)
    assert answer.status == 413
    assert "1 MiB" in answer.body["detail"]


async def test_a_heartbeat_of_a_known_writer_renews_its_lease(client: Client) -> None:
    await client.post("/candidates", SEED)
    answer = await client.post("/candidates/XRAY/heartbeat")
    assert answer.status == 200
    assert answer.body["candidate"]["state"] == "live"


async def test_a_heartbeat_needs_no_body(client: Client) -> None:
    await client.post("/candidates", SEED)
    assert (await client.ask("POST", "/candidates/XRAY/heartbeat")).status == 200


async def test_a_heartbeat_of_an_unknown_writer_tells_it_to_register_again(client: Client) -> None:
    answer = await client.post("/candidates/XRAY/heartbeat")
    assert answer.status == 404
    assert "register it" in answer.body["detail"]


async def test_a_candidate_can_be_looked_at(client: Client) -> None:
    await client.post("/candidates", SEED)
    answer = await client.get("/candidates/XRAY")
    assert answer.status == 200
    assert (answer.body["host"], answer.body["port"]) == ("xray-writer", 4242)
    assert (answer.body["origin"], answer.body["state"]) == ("registered", "live")
    assert parse_criteria(answer.body["criteria"]) == parse_criteria("MODALITY|IN|CR,DX")


async def test_an_ae_title_may_have_blanks_and_slashes(client: Client) -> None:
    await client.post("/candidates", {**BACKUP, "aet": "A / B"})
    assert (await client.ask("GET", "/candidates/A%20%2F%20B")).body["ae_title"] == "A / B"


async def test_a_static_candidate_is_listed_with_its_origin(serve: Serve) -> None:
    async with serve("candidates: {PACS: {host: pacs, port: 104}}") as client:
        (candidate,) = (await client.get("/candidates")).body["candidates"]
        assert (candidate["origin"], candidate["lease_expires_at"]) == ("configured", None)


async def test_a_candidate_can_be_drained(client: Client) -> None:
    await client.post("/candidates", SEED)
    assert (await client.post("/candidates/XRAY/drain")).body["state"] == "draining"


async def test_a_candidate_can_be_removed(client: Client) -> None:
    await client.post("/candidates", SEED)
    assert (await client.ask("DELETE", "/candidates/XRAY")).status == 200
    assert (await client.get("/candidates/XRAY")).status == 404


async def test_a_static_candidate_cannot_be_removed(serve: Serve) -> None:
    async with serve("candidates: {PACS: {host: pacs, port: 104}}") as client:
        answer = await client.ask("DELETE", "/candidates/PACS")
        assert answer.status == 409
        assert "routing YAML" in answer.body["detail"]


async def test_a_writer_that_is_not_on_the_list_is_refused(serve: Serve) -> None:
    async with serve("registration: {open: false}") as client:
        assert (await client.post("/candidates", SEED)).status == 403


async def test_two_writers_that_claim_one_ae_title_are_visible(client: Client) -> None:
    await client.post("/candidates", SEED)
    await client.post("/candidates", {**SEED, "host": "other-writer"})
    answer = await client.get("/candidates/XRAY")
    assert answer.body["host"] == "other-writer"
    assert answer.body["displaced"] == "xray-writer:4242"


@pytest.mark.parametrize(
    "authorization", ["", "Bearer wrong", "Basic secret", "Bearer", "secret", "Bearer sécret"]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/candidates"),
        ("POST", "/candidates/XRAY/heartbeat"),
        ("POST", "/candidates/XRAY/drain"),
        ("DELETE", "/candidates/XRAY"),
    ],
)
async def test_without_the_token_nothing_can_be_changed(
    serve: Serve, method: str, path: str, authorization: str
) -> None:
    async with serve(token="secret") as client:
        answer = await client.ask(method, path, json=SEED, headers={"Authorization": authorization})
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "secret" not in str(answer.body)
        assert client.registry.candidates() == ()


async def test_with_the_token_a_writer_registers(serve: Serve) -> None:
    async with serve(token="secret") as client:
        headers = {"Authorization": "Bearer secret"}
        assert (await client.post("/candidates", SEED, headers=headers)).status == 200


async def test_looking_needs_no_token(serve: Serve) -> None:
    async with serve(token="secret") as client:
        assert (await client.get("/candidates")).status == 200
