"""A dispatcher over a real ledger, with a clock and candidates that the test owns."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count, cycle
from pathlib import Path

import anyio
import pytest

from router.delivery.dispatcher import Dispatcher
from router.delivery.interventions import Interventions
from router.delivery.settings import DeliverySettings
from router.domain.candidate import Candidate
from router.domain.delivery import Delivery, DeliveryState, ItemResult
from router.domain.determination import Choice, Decision
from router.domain.retry import RetryPolicy
from router.domain.study import RevisionKey
from router.domain.views import DeliveryDetail
from router.domain.window import Hours
from router.ledger.database import Database
from router.ledger.ledger import BUSY_TIMEOUT_S, SqlLedger
from router.ports import Destination
from tests.clock import ManualClock
from tests.delivery.writers import Writer, Writers
from tests.ledger.builders import choice, instance, route

CT = "1.2.840.10008.5.1.4.1.1.2"
SR = "1.2.840.10008.5.1.4.1.1.88.11"
STEP_S = 0.05
PATIENCE_S = 20

SETTINGS = DeliverySettings(
    retry=RetryPolicy(first_s=2.0, cap_s=60.0, give_up_after_s=3600.0, draw=lambda: 1.0)
)


class MoodyLedger(SqlLedger):
    """A real ledger that answers with an error where a test wants it."""

    def __init__(self, database: Database):
        super().__init__(database)
        self._moody_database = database

    @property
    def is_busy(self) -> bool:
        """Whether a transaction is under way in a worker thread."""
        return self._moody_database.is_busy

    faults: deque[Exception]
    """Each is raised once, in order, by whatever is asked for the delivery that it is meant for."""
    meant_for: int | None = None

    def trouble(self, delivery: Delivery, *faults: Exception) -> None:
        """Answer so, the next times that anything is asked for a delivery."""
        self.faults, self.meant_for = deque(faults), delivery.id

    def _take_fault(self, delivery_id: int) -> None:
        if delivery_id == self.meant_for and self.faults:
            raise self.faults.popleft()

    async def begin_attempt(
        self, delivery_id: int, at: datetime, state: DeliveryState = DeliveryState.ACTIVE
    ) -> None:
        self._take_fault(delivery_id)
        await super().begin_attempt(delivery_id, at, state)

    async def record_results(self, delivery_id: int, results: Sequence[ItemResult]) -> Delivery:
        self._take_fault(delivery_id)
        return await super().record_results(delivery_id, results)


@dataclass
class Hospital:
    """One router's deliveries: candidates by AE title, studies as the determiner routes them."""

    ledger: MoodyLedger
    clock: ManualClock = field(default_factory=ManualClock)
    writers: Writers = field(default_factory=Writers)
    registered: dict[str, Candidate] = field(default_factory=dict)
    settled: list[RevisionKey] = field(default_factory=list)
    settings: DeliverySettings = SETTINGS
    destinations: dict[str, Destination] = field(default_factory=dict)
    """By kind of candidate; ``test`` are the writers."""
    _segments: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.destinations["test"] = self.writers

    def register(
        self,
        ae_title: str,
        *,
        associations: int = 1,
        kind: str = "test",
        commitment: bool = False,
        window: tuple[Hours, ...] = (),
    ) -> Writer:
        """Make a candidate known."""
        self.registered[ae_title] = Candidate(
            ae_title,
            "localhost",
            104,
            kind=kind,
            associations=associations,
            commitment=commitment,
            window=window,
        )
        return self.writers[ae_title]

    async def route(
        self,
        *to: str | Choice,
        study: str = "1.2.3",
        instances: int = 3,
        sop_class_uids: Sequence[str] = (CT,),
        checksum: str | None = None,
    ) -> list[Delivery]:
        """Let a study arrive and be routed to these candidates; ``checksum`` makes other bytes."""
        segment = f"segment-{next(self._segments)}"
        now = self.clock.now()
        classes = cycle(sop_class_uids)
        arrivals = [
            replace(arrival, identity=replace(arrival.identity, sop_class_uid=next(classes)))
            for arrival in (
                instance(number, study=study, segment=segment, at=now, checksum=checksum)
                for number in range(instances)
            )
        ]
        key = (await self.ledger.record(arrivals))[0]
        assert key is not None
        choices = [choice(name) if isinstance(name, str) else name for name in to]
        return list(await route(self.ledger, key, Decision(tuple(choices)), at=now))

    def dispatcher(self) -> Dispatcher:
        """A dispatcher that has not begun yet."""
        return Dispatcher(
            self.ledger,
            self.destinations,
            self.registered.get,
            self.clock,
            self.settings,
            self.settled.append,
        )

    def interventions(self, dispatcher: Dispatcher) -> Interventions:
        """What a person may decide about deliveries."""
        return Interventions(
            self.ledger,
            self.clock,
            lambda ae_title: self.registered[ae_title],
            dispatcher.intervene,
            self.settled.append,
        )

    @asynccontextmanager
    async def dispatching(self) -> AsyncIterator[Dispatcher]:
        """A dispatcher that runs, restored, as long as the block does."""
        dispatcher = self.dispatcher()
        async with anyio.create_task_group() as tasks:
            await tasks.start(dispatcher.run)
            await dispatcher.restore()
            yield dispatcher
            tasks.cancel_scope.cancel()

    async def detail(self, delivery: Delivery) -> DeliveryDetail:
        """How a delivery stands in the ledger."""
        return await self.ledger.views.delivery(delivery.id)

    async def until(
        self, delivery: Delivery, state: DeliveryState, *, attempts: int = 0, within_s: float = 0
    ) -> Delivery:
        """Wait until a delivery is in this state, letting so much time pass for it."""
        end = self.clock.monotonic() + within_s
        with anyio.fail_after(PATIENCE_S):
            while True:
                await self.at_rest()
                current = (await self.detail(delivery)).delivery
                if current.state is state and current.attempts >= attempts:
                    return current
                if self.clock.monotonic() < end:
                    self.clock.advance(STEP_S)

    async def at_rest(self) -> None:
        """Wait until nothing goes on: every task waits for time, or for what the test will do."""
        with anyio.fail_after(PATIENCE_S):
            while True:
                await anyio.wait_all_tasks_blocked()
                if not self.ledger.is_busy:
                    return

    async def delivered(self, *deliveries: Delivery, within_s: float = 0) -> None:
        """Wait until all of these are delivered."""
        for delivery in deliveries:
            await self.until(delivery, DeliveryState.DELIVERED, within_s=within_s)

    async def retrying(
        self, delivery: Delivery, *, attempts: int = 1, within_s: float = 0
    ) -> Delivery:
        """Wait until so many attempts have failed."""
        return await self.until(
            delivery, DeliveryState.RETRYING, attempts=attempts, within_s=within_s
        )


@pytest.fixture
async def hospital(tmp_path: Path) -> AsyncIterator[Hospital]:
    database = await Database.open(tmp_path / "ledger.db", BUSY_TIMEOUT_S)
    yield Hospital(MoodyLedger(database))
    await database.close()
