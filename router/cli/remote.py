"""Commands that ask a running router over its HTTP API."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import aiohttp
import anyio

from router.cli.output import console, print_json, print_table
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
            f"{item['host']}:{item['port']}",
            item["state"],
            item["origin"],
            item["criteria"] or "every study",
            item["priority"],
            item["required"],
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
    columns = ("Study Instance UID", "state", "revisions", "instances", "deliveries")
    rows = [
        (
            item["study_instance_uid"],
            item["state"],
            item["revisions"],
            item["instances"],
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
            ("candidate", "state", "delivered", "refused", "attempts", "reason"),
            [
                (
                    delivery["ae_title"],
                    delivery["state"],
                    f"{delivery['delivered']}/{delivery['instances']}",
                    delivery["refused"],
                    delivery["attempts"],
                    delivery["reason"],
                )
                for delivery in revision["deliveries"]
            ],
        )


def fetch(url: str, path: str) -> Any:
    """The JSON that the router answers. Raises ``RouterError`` with its explanation."""
    return anyio.run(_fetch, url.rstrip("/") + path)


async def _fetch(url: str) -> Any:
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as session,
            session.get(url) as response,
        ):
            answer = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise RouterError(f"{url}: no router answers there ({error}); is it running?") from error
    if response.status >= 400:
        raise RouterError(f"{url}: {answer.get('detail', answer)}")
    return answer
