"""What was acknowledged and not recorded is in the ledger after the next start."""

from __future__ import annotations

from pathlib import Path

from router.domain.instance import Disposition
from router.ingress.recovery import recover
from router.ledger.ledger import open_ledger
from router.spool.log import open_spool
from tests.corpus import nested_sequences
from tests.ingress.doorway import DeadLedger, a_doorway, attributes, encoded, store


async def acknowledge(directory: Path, *numbers: int, dead: bool) -> None:
    """A run of the router in which these instances are acknowledged, recorded or not."""
    async with a_doorway(directory, ledger=DeadLedger() if dead else None) as doorway:
        association = doorway.associate()
        for number in numbers:
            assert await store(association, attributes(number)).status() == 0
        if not dead:
            await doorway.settle()


async def recovered(directory: Path) -> tuple[int, list[str]]:
    """What a start recovers, and what the open revisions hold then."""
    async with (
        open_spool(directory / "spool", min_free_bytes=0) as spool,
        open_ledger(directory / "ledger.db") as ledger,
    ):
        count = await recover(spool, ledger)
        return count, [
            instance.identity.sop_instance_uid.rpartition(".")[2]
            for revision in await ledger.open_revisions()
            for _, instance in await ledger.instances(revision.key.id)
        ]


async def test_acknowledged_instances_join_their_revision_at_the_next_start(
    tmp_path: Path,
) -> None:
    await acknowledge(tmp_path, 1, 2, dead=False)
    await acknowledge(tmp_path, 3, 4, dead=True)
    assert await recovered(tmp_path) == (2, ["1", "2", "3", "4"])
    assert await recovered(tmp_path) == (0, ["1", "2", "3", "4"])


async def test_a_new_ledger_learns_everything_from_the_spool(tmp_path: Path) -> None:
    await acknowledge(tmp_path, 1, 2, dead=False)
    await acknowledge(tmp_path, 3, dead=False)
    for path in tmp_path.glob("ledger.db*"):
        path.unlink()
    count, held = await recovered(tmp_path)
    assert (count, sorted(held)) == (3, ["1", "2", "3"])


async def test_quarantined_instances_stay_in_quarantine(tmp_path: Path) -> None:
    async with a_doorway(tmp_path, ledger=DeadLedger()) as doorway:
        data = encoded(attributes(PixelData=None)) + nested_sequences(100)
        assert await store(doorway.associate(), data).status() == 0
    assert await recovered(tmp_path) == (1, [])
    async with open_ledger(tmp_path / "ledger.db") as ledger:
        [entry] = (await ledger.views.quarantine()).items
    assert entry.instance.disposition is Disposition.QUARANTINED
    assert "nested" in entry.instance.reason


async def test_a_start_with_an_empty_spool_recovers_nothing(tmp_path: Path) -> None:
    assert await recovered(tmp_path) == (0, [])
