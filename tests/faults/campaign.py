"""A seeded campaign of kills: who is killed when, and the evidence that is read afterwards."""

from __future__ import annotations

import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.candidates.holdings import held_in
from tests.e2e.stack import Process, RouterProcess, WriterProcess
from tests.faults import modality
from tests.faults.journaling_writer import JOURNAL

UP_S = (0.2, 2.6)
"""Between two kills; a router needs about one second to start, so that some kills hit that."""
DOWN_S = (0.0, 0.4)
OPEN = ("pending", "active", "retrying", "committing")


def journaling_writer(
    directory: Path, ae_title: str, router_url: str, criteria: str | None
) -> WriterProcess:
    """An embedded writer that notes all that it is given."""
    writer = WriterProcess(directory, ae_title, router_url, criteria)
    writer.arguments = ["tests.faults.journaling_writer"]
    return writer


@dataclass(slots=True)
class Killer:
    """Kills the router more often than the writers, and starts what it has killed again."""

    draw: random.Random
    router: Process
    writers: Sequence[Process]
    kills: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def strike(self) -> None:
        """One kill: it may hit a process that is still starting."""
        time.sleep(self.draw.uniform(*UP_S))  # noqa: TID251 - the moment shall be a random one
        victim = self.router if self.draw.random() < 0.6 else self.draw.choice(self.writers)
        assert victim.child.poll() is None, f"{victim.name} ended by itself:\n{_tail(victim.log)}"
        victim.kill()
        self.kills[victim.name] += 1
        time.sleep(self.draw.uniform(*DOWN_S))  # noqa: TID251 - the same
        Process.start(victim)  # without waiting until it is ready


def _tail(log: Path) -> str:
    return "\n".join(log.read_text().splitlines()[-30:])


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One instance that was answered 0000."""

    instance: str
    study: str
    modality: str
    digest: str
    offers: int  # how often it was among those to be sent


def read_record(folder: Path) -> dict[str, Acknowledged]:
    """What the modality saw acknowledged, by SOP Instance UID."""
    lines = (folder / modality.RECORD).read_text().splitlines()
    return {one.instance: one for one in (Acknowledged(**json.loads(line)) for line in lines)}


def read_journal(writer: WriterProcess) -> dict[str, list[str]]:
    """The digests of all that reached a writer whole, by SOP Instance UID."""
    given = defaultdict(list)
    for line in (writer.storage / JOURNAL).read_text().splitlines():
        instance, digest = line.split()
        given[instance].append(digest)
    return given


def all_of(router: RouterProcess, what: str) -> Iterator[Any]:
    """Every entry of a list of the API, page by page."""
    after = ""
    while True:
        page = router.get(f"/{what}?limit=1000{after}")
        yield from page[what]
        if page["next"] is None:
            return
        after = f"&after={page['next']}"


def is_at_rest(router: RouterProcess) -> bool:
    """Whether every revision is complete and every delivery has come to its end."""
    studies = list(all_of(router, "studies"))
    return bool(studies) and all(
        study["state"] in ("settled", "reclaimed") and not study["deliveries"].keys() & set(OPEN)
        for study in studies
    )


def overstated(router: RouterProcess, writer: WriterProcess) -> list[str]:
    """Studies of which more is called delivered than the writer holds; there must be none."""
    claimed: dict[str, int] = defaultdict(int)
    for delivery in all_of(router, "deliveries"):
        if delivery["ae_title"] == writer.ae_title and delivery["state"] == "delivered":
            claimed[delivery["study_instance_uid"]] += delivery["instances"]
    held_of = Counter(one.study for one in held_in(writer.storage))
    return [
        f"{study}: {count} claimed, {held} held"
        for study, count in claimed.items()
        if (held := held_of[study]) < count
    ]
