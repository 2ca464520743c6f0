"""Commands that ask a running router over its HTTP API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import anyio

from router.cli.output import console, print_json, print_table
from router.domain.criteria import parse_criteria
from router.domain.errors import RouterError

TIMEOUT = aiohttp.ClientTimeout(total=30)


def candidates(url: str, as_json: bool) -> None:
    """Print all candidates."""
    answer = fetch(url, "/candidates")
    if as_json:
        print_json(answer)
        return
    columns = ("AE title", "address", "state", "origin", "criteria", "priority", "required")
    rows = [
        (
            item["ae_title"],
            item["address"],
            item["state"],
            item["origin"],
            "every study" if item["criteria"] is None else parse_criteria(item["criteria"]),
            item["priority"],
            "yes" if item["required"] else "no",
        )
        for item in answer["candidates"]
    ]
    print_table("candidates", columns, rows)


def studies(url: str, limit: int, as_json: bool) -> None:
    """Print the newest studies."""
    answer = fetch(url, f"/studies?limit={limit}")
    if as_json:
        print_json(answer)
        return
    columns = ("study", "state", "revisions", "instances", "quarantined", "deliveries")
    rows = [
        (
            item["study_instance_uid"],
            item["state"],
            item["revisions"],
            item["instances"],
            item["quarantined"],
            ", ".join(f"{count} {state}" for state, count in item["deliveries"].items()),
        )
        for item in answer["studies"]
    ]
    print_table("studies", columns, rows)


def study(url: str, study_instance_uid: str, as_json: bool) -> None:
    """Print one study: each revision with its decision, and where its instances are."""
    answer = fetch(url, f"/studies/{quote(study_instance_uid, safe='')}")
    if as_json:
        print_json(answer)
        return
    for revision in answer["revisions"]:
        _print_revision(revision)
    for kept_apart in ("quarantine", "repeats", "refusals"):
        if answer[kept_apart]:
            _print_instances(kept_apart, answer[kept_apart])


def _print_revision(revision: dict[str, Any]) -> None:
    console.rule(f"revision {revision['number']}: {revision['state']}")
    for decision in revision["decisions"][-1:]:
        print_table(
            "decision",
            ("candidate", "gets it", "because"),
            [
                (choice["ae_title"], "yes" if choice["matched"] else "no", choice["reason"])
                for choice in decision["choices"]
            ],
        )
    print_table(
        "deliveries",
        ("candidate", "state", "delivered", "attempts", "reason"),
        [
            (
                delivery["ae_title"],
                delivery["state"],
                _progress(delivery),
                delivery["attempts"],
                delivery["reason"],
            )
            for delivery in revision["deliveries"]
        ],
    )


def deliveries(
    url: str, state: str | None, candidate: str | None, limit: int, as_json: bool
) -> None:
    """Print the newest deliveries."""
    wanted = {"limit": limit, "state": state, "candidate": candidate}
    query = urlencode({key: value for key, value in wanted.items() if value is not None})
    answer = fetch(url, f"/deliveries?{query}")
    if as_json:
        print_json(answer)
    else:
        _print_deliveries("deliveries", answer["deliveries"])


def delivery(url: str, number: int, as_json: bool) -> None:
    """Print one delivery: how each attempt ended, and what the candidate does not hold."""
    answer = fetch(url, f"/deliveries/{number}")
    if as_json:
        print_json(answer)
        return
    _print_deliveries("delivery", [answer["delivery"]])
    print_table(
        "attempts",
        ("number", "began", "ended", "outcome", "reason"),
        [
            (
                attempt["number"],
                attempt["began_at"],
                attempt["ended_at"] or "",
                attempt["outcome"] or "under way",
                attempt["reason"],
            )
            for attempt in answer["attempts"]
        ],
    )
    if answer["undelivered"]:
        print_table(
            "not delivered",
            ("SOP Instance UID", "attempts", "status", "for good", "reason"),
            [
                (
                    item["sop_instance_uid"],
                    item["attempts"],
                    "" if item["status"] is None else f"{item['status']:04X}",
                    "yes" if item["refused"] else "no",
                    item["reason"],
                )
                for item in answer["undelivered"]
            ],
        )


def retry(url: str, delivery: int, token: str | None, as_json: bool) -> None:
    """Have a delivery attempted again."""
    answer = change(url, f"/deliveries/{delivery}/retry", None, token)
    _print_changed("attempted now", [answer["delivery"]], answer, as_json)


def redirect(url: str, delivery: int, ae_title: str, token: str | None, as_json: bool) -> None:
    """Have another candidate get what a delivery holds."""
    answer = change(url, f"/deliveries/{delivery}/redirect", {"aet": ae_title}, token)
    _print_changed("redirected", [answer["dismissed"], answer["delivery"]], answer, as_json)


def dismiss(url: str, delivery: int, reason: str, token: str | None, as_json: bool) -> None:
    """Say that a delivery is not needed."""
    answer = change(url, f"/deliveries/{delivery}/dismiss", {"reason": reason}, token)
    _print_changed("dismissed", [answer["delivery"]], answer, as_json)


def resend(
    url: str, study_instance_uid: str, to: Sequence[str], token: str | None, as_json: bool
) -> None:
    """Have a study sent again."""
    body = {"aet": list(to)} if to else {}
    path = f"/studies/{quote(study_instance_uid, safe='')}/resend"
    answer = change(url, path, body, token)
    _print_changed("sent again", answer["deliveries"], answer, as_json)


def complete(url: str, study_instance_uid: str, token: str | None, as_json: bool) -> None:
    """Say that all of a study has arrived."""
    answer = change(url, f"/studies/{quote(study_instance_uid, safe='')}/complete", None, token)
    if as_json:
        print_json(answer)
        return
    console.print(f"study {study_instance_uid} is complete, and on its way to its candidates")


def _print_changed(
    title: str, changed: Sequence[dict[str, Any]], answer: Mapping[str, Any], as_json: bool
) -> None:
    """Print what a decision has led to, or the answer as it came."""
    if as_json:
        print_json(answer)
    else:
        _print_deliveries(title, changed)


def _print_deliveries(title: str, found: Sequence[dict[str, Any]]) -> None:
    print_table(
        title,
        ("id", "candidate", "state", "delivered", "attempts", "study, and reason"),
        [
            (
                delivery["id"],
                delivery["ae_title"],
                delivery["state"],
                _progress(delivery),
                delivery["attempts"],
                "\n".join(filter(None, (delivery["study_instance_uid"], delivery["reason"]))),
            )
            for delivery in found
        ],
    )


def _progress(delivery: Mapping[str, Any]) -> str:
    """How many instances are delivered, of how many; and how many are refused, if any are."""
    delivered = f"{delivery['delivered']}/{delivery['instances']}"
    return f"{delivered}, {delivery['refused']} refused" if delivery["refused"] else delivered


def _print_instances(title: str, instances: Sequence[dict[str, Any]]) -> None:
    print_table(
        title,
        ("SOP Instance UID", "from", "received", "because"),
        [
            (
                instance["sop_instance_uid"],
                instance["calling_ae_title"],
                instance["received_at"],
                instance["reason"],
            )
            for instance in instances
        ],
    )


def fetch(url: str, path: str) -> dict[str, Any]:
    """The JSON object that the router answers. Raises ``RouterError`` with its explanation."""
    return anyio.run(_ask, "GET", url.rstrip("/") + path, None, None)


def change(url: str, path: str, body: Mapping[str, Any] | None, token: str | None) -> Any:
    """Ask for a change; the JSON object that the router answers. Raises as ``fetch`` does."""
    return anyio.run(_ask, "POST", url.rstrip("/") + path, body, token)


async def _ask(
    method: str, url: str, body: Mapping[str, Any] | None, token: str | None
) -> dict[str, Any]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as session,
            session.request(method, url, json=body, headers=headers) as response,
        ):
            answer = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        raise RouterError(f"{url}: no router answers there ({reason}); is it running?") from error
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise RouterError(f"{url}: what answers there is no router's HTTP API")
    if response.status >= 400:
        raise RouterError(f"{url}: {answer.get('detail', answer)}")
    return answer
