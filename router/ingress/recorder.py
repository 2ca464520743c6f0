"""Writes arrivals to the ledger in batches, behind their acknowledgement.

An acknowledged instance is safe without the ledger: the spool alone can restore it. So the
recorder may lag, but not without bound: past ``limit`` arrivals, or ``limit_bytes`` of what is
known of them, the door refuses new ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import anyio
import structlog
from anyio.abc import TaskStatus

from router.domain.errors import RouterError
from router.domain.instance import Instance, Refusal
from router.domain.study import Joined, RevisionKey
from router.ports import ArrivalLedger, Clock

Arrival = Instance | Refusal

BATCH = 1000
BATCH_BYTES = 4 << 20
LULL_S = 0.05
"""A batch to which nothing was added for so long does not grow any more."""
RETRY_AFTER_S = 1.0
LOG_EVERY = 60
"""A ledger that stays away is reported with its first failure, and then once for so many."""

log = structlog.get_logger(__name__)


class Recorder:
    """The queue between the door and the ledger, and the one task that empties it."""

    def __init__(
        self,
        ledger: ArrivalLedger,
        clock: Clock,
        recorded: Callable[[Sequence[Joined]], None],
        *,
        limit: int = 20_000,
        limit_bytes: int = 64 << 20,
        gather_s: float = 0.0,
    ):
        """``limit``: so many arrivals may wait; ``gather_s``: so long a batch may take to grow.

        ``limit_bytes``: so long may their facts be, as text.
        """
        self._ledger = ledger
        self._gather_s = gather_s
        self._clock = clock
        self._recorded = recorded
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._waiting: deque[Arrival] = deque()
        self._writing = 0
        self._handed_over = 0
        self._more = anyio.Event()
        self._written = anyio.Event()
        self._hurry = anyio.Event()

    @property
    def is_behind(self) -> bool:
        """Whether the ledger lags so far that nothing more may be let in."""
        return self.lag >= self._limit or self._bytes >= self._limit_bytes

    @property
    def lag(self) -> int:
        """Arrivals that are not in the ledger yet."""
        return len(self._waiting) + self._writing

    def put(self, arrival: Arrival) -> None:
        """Hand over an arrival; returns at once. The door checks ``is_behind`` beforehand."""
        self._waiting.append(arrival)
        self._handed_over += 1
        self._bytes += text_size(arrival)
        self._more.set()

    async def flush(self) -> None:
        """Wait until everything that was handed over by now is in the ledger; do not gather for it.

        What is handed over meanwhile is not waited for: under load, something always is.
        """
        wanted = self._handed_over
        while self._handed_over - self.lag < wanted:
            self._hurry.set()
            await self._written.wait()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Write batches until cancelled; a failing ledger is retried, nothing is dropped."""
        task_status.started()
        while True:
            await self._more.wait()
            self._more = anyio.Event()
            while self._waiting:
                await self._gather()
                await self._write_one_batch()
                self._written.set()
                self._written = anyio.Event()

    async def _gather(self) -> None:
        """Let a batch grow while more comes: a transaction takes the processor from the door.

        For one arrival it takes it about as long as for fifty.
        """
        with anyio.move_on_after(self._gather_s):
            while len(self._waiting) < BATCH and not self._hurry.is_set():
                before = len(self._waiting)
                with anyio.move_on_after(LULL_S):
                    await self._hurry.wait()
                if len(self._waiting) == before:
                    break
        self._hurry = anyio.Event()

    async def _write_one_batch(self) -> None:
        batch, size = self._take_batch()
        self._writing = len(batch)
        keys = await self._record_until_it_succeeds(batch)
        self._writing = 0
        self._bytes -= size
        self._recorded(
            [
                (arrival, key)
                for arrival, key in zip(batch, keys, strict=True)
                if isinstance(arrival, Instance)
            ]
        )

    def _take_batch(self) -> tuple[list[Arrival], int]:
        """The next arrivals, bounded in number and in size; what their size is."""
        batch: list[Arrival] = []
        size = 0
        while self._waiting and len(batch) < BATCH and size < BATCH_BYTES:
            batch.append(self._waiting.popleft())
            size += text_size(batch[-1])
        return batch, size

    async def _record_until_it_succeeds(
        self, batch: Sequence[Arrival]
    ) -> Sequence[RevisionKey | None]:
        failures = 0
        while True:
            try:
                keys = await self._ledger.record(batch)
            except RouterError as error:
                if failures % LOG_EVERY == 0:
                    log.error(
                        "the ledger cannot be written; arrivals stay safe in the spool",
                        error=str(error),
                        waiting=self.lag,
                    )
                failures += 1
                await self._clock.sleep(RETRY_AFTER_S)
            else:
                if failures:
                    log.info("the ledger is written again", failures=failures, waiting=self.lag)
                return keys


def text_size(arrival: Arrival) -> int:
    """About how many bytes of text an arrival carries; a refusal has little of it."""
    return arrival.ref.length - arrival.ref.file_length if isinstance(arrival, Instance) else 0
