"""A writer that is killed while it receives has all that it acknowledged, whatever its index is."""

from __future__ import annotations

import json
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process

from router.dicom import statuses
from router.dicom.negotiation import propose
from router.domain.errors import RouterError
from router.net.requestor import associate
from tests.candidates.areas import Bucket
from tests.candidates.arrivals import CT
from tests.candidates.holdings import held_in
from tests.candidates.indexes import Index, option
from tests.candidates.sources import MemorySource, head_and_data_set
from tests.candidates.test_cli import WITHIN_S, says, started
from tests.candidates.test_verify import dicom_writer_verify
from tests.corpus import make_ct_series
from tests.e2e.stack import free_port

KILLS = 3
SENDERS = 4
BETWEEN_KILLS = 25


class Modality:
    """Sends one data set under ever new UIDs on several associations, and notes what is taken."""

    def __init__(self, port: int, path: Path):
        header, self._data_set = head_and_data_set(path)
        self._syntax = header.transfer_syntax_uid
        self._port = port
        self._sent = 0
        self.acknowledged: list[str] = []
        self.answers: Counter[int] = Counter()

    async def send_until(self, count: int, writer: Process) -> None:
        """Until so many are acknowledged; then the writer is killed in the middle of the others."""
        async with anyio.create_task_group() as senders:
            for _ in range(SENDERS):
                senders.start_soon(self._send)
            with anyio.move_on_after(WITHIN_S):
                while len(self.acknowledged) < count:
                    await anyio.sleep(0.005)
            writer.kill()
        assert len(self.acknowledged) >= count, f"{self.answers} and then none"

    async def _send(self) -> None:
        contexts = propose([(CT, self._syntax)])
        with suppress(RouterError):
            async with associate(
                "127.0.0.1", self._port, "CT1", "WRITER", contexts=contexts
            ) as association:
                while True:
                    self._sent += 1
                    uid = f"1.2.3.4.{self._sent}"
                    source = MemorySource(self._data_set)
                    answer = await association.store(CT, uid, self._syntax, source)
                    self.answers[answer.status] += 1
                    if answer.status == statuses.SUCCESS:
                        self.acknowledged.append(uid)


async def killed_again_and_again(
    tmp_path: Path, index: Index, storage: str, **variables: str
) -> list[str]:
    """What a writer acknowledged before it was killed, and holds: verified by its own command."""
    [path] = make_ct_series(tmp_path / "ct", instances=1, rows=128, columns=128)
    port = free_port()
    modality = Modality(port, path)
    told = {"PORT": str(port), "INDEX": option(index), "STORAGE": storage, **variables}
    for kill in range(1, KILLS + 1):
        async with started(tmp_path, **told) as writer:
            await says(tmp_path, "writer ready")
            await modality.send_until(kill * BETWEEN_KILLS, writer)
    async with started(tmp_path, **told) as writer:
        await says(tmp_path, "writer ready")
        writer.send_signal(signal.SIGTERM)
        with anyio.fail_after(WITHIN_S):
            assert await writer.wait() == 0

    status, out, error = await dicom_writer_verify(
        tmp_path, "--index", option(index), "--json", STORAGE=storage, **variables
    )

    assert status == 0, out + error
    report = json.loads(out)
    assert (report["sound"], report["unfinished"]) == (True, 0)
    held = [uid for (uid,) in index.query("SELECT sop_instance_uid FROM instance")]
    assert len(held) == report["attachments"]
    assert set(held) >= set(modality.acknowledged)
    return held


@pytest.mark.timeout(300)
async def test_a_writer_that_is_killed_again_and_again_loses_nothing(
    tmp_path: Path, index: Index
) -> None:
    held = await killed_again_and_again(tmp_path, index, str(tmp_path / "writer"))

    assert len(held_in(tmp_path / "writer", index)) == len(held)


@pytest.mark.timeout(300)
async def test_a_writer_in_s3_that_is_killed_again_and_again_loses_nothing_and_leaves_nothing(
    tmp_path: Path, index: Index, bucket: Bucket
) -> None:
    held = await killed_again_and_again(
        tmp_path, index, str(bucket.address), **bucket.server.variables
    )

    assert len(bucket.keys()) == len(held)
