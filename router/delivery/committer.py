"""Asks one candidate whether it holds what it was sent: the last step of its deliveries.

A delivery comes here when every instance has been stored, and leaves when the candidate has
committed itself to all of them, or has lost some: those are sent again. Requests wait for reports
side by side, each without an association most of the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import anyio
import structlog
from anyio.abc import TaskGroup

from router.delivery.books import Books
from router.delivery.expected import EXPECTED, told
from router.delivery.settings import DeliverySettings
from router.delivery.verdict import judge
from router.delivery.waiting import NEVER
from router.domain.candidate import Candidate
from router.domain.commitment import Reference, describe_failure, uncommitted
from router.domain.delivery import (
    Delivery,
    DeliveryItem,
    DeliveryState,
    ItemResult,
    Outcome,
    OutcomeKind,
)
from router.domain.errors import StateConflict
from router.ports import Clock, Destination

NOT_COMMITTED = "everything is stored, nothing is committed yet"
AT_ONCE = 16
"""So many requests of one candidate wait for their reports side by side."""

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Committing:
    """A delivery whose instances are stored."""

    delivery: Delivery
    due: float  # monotonic
    failures: int = 0  # requests in a row that got no report
    scope: anyio.CancelScope | None = None  # of the request under way


class Committer:
    """The deliveries of one candidate that it has not committed itself to yet."""

    def __init__(
        self,
        books: Books,
        candidate: Callable[[], Candidate | None],
        destinations: Mapping[str, Destination],
        clock: Clock,
        settings: DeliverySettings,
        send_again: Callable[[Delivery, float], None],
        changed: Callable[[], None],
    ):
        """``send_again`` takes back a delivery of which something is to be sent, and when."""
        self._books = books
        self._candidate = candidate
        self._destinations = destinations
        self._clock = clock
        self._settings = settings
        self._send_again = send_again
        self._changed = changed
        self._waiting: dict[int, Committing] = {}  # by delivery id
        self._lost: dict[int, Counter[int]] = {}  # how often, by delivery id and instance id

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_asking(self) -> bool:
        """Whether a request is under way."""
        return any(entry.scope for entry in self._waiting.values())

    @property
    def next_due(self) -> float:
        """When ``start`` has to be called again (monotonic)."""
        entries = self._waiting.values()
        if sum(entry.scope is not None for entry in entries) >= AT_ONCE:
            return NEVER
        return min((entry.due for entry in entries if entry.scope is None), default=NEVER)

    def add(self, delivery: Delivery, due: float) -> None:
        """Take a delivery on; one that is known already stays as it is."""
        self._waiting.setdefault(delivery.id, Committing(delivery, due))

    def forget(self, delivery_id: int) -> None:
        """A person has ended this delivery."""
        self._lost.pop(delivery_id, None)
        entry = self._waiting.pop(delivery_id, None)
        if entry is not None and entry.scope is not None:
            entry.scope.cancel()

    def wake(self) -> None:
        """Ask now about all that waits for its time."""
        for entry in self._waiting.values():
            entry.due = min(entry.due, self._clock.monotonic())

    def start(self, tasks: TaskGroup) -> None:
        """Begin the requests whose time has come."""
        monotonic = self._clock.monotonic()
        asking = sum(entry.scope is not None for entry in self._waiting.values())
        for entry in list(self._waiting.values()):
            if asking < AT_ONCE and entry.scope is None and entry.due <= monotonic:
                asking += 1
                entry.scope = anyio.CancelScope()
                tasks.start_soon(self._run, entry, entry.scope)

    def abandon(self) -> None:
        """Wait for no report: everything will be asked again after a restart."""
        for entry in self._waiting.values():
            if entry.scope is not None:
                entry.scope.cancel()

    async def _run(self, entry: Committing, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                await self._ask(entry)
        except StateConflict as conflict:
            self._waiting.pop(entry.delivery.id, None)
            log.warning("the delivery was ended by somebody else", error=str(conflict))
        finally:
            entry.scope = None
            self._changed()

    async def _ask(self, entry: Committing) -> None:
        candidate = self._candidate()
        if candidate is None:
            return
        entry.delivery = await self._books.begin_asking(entry.delivery)
        items = await self._books.stored(entry.delivery)
        lost: Mapping[str, int] = {}
        describe = describe_failure
        if candidate.commitment:
            try:
                destination = self._destinations[candidate.kind]
                report = await destination.commit(candidate, entry.delivery, items)
            except Exception as error:
                if not isinstance(error, EXPECTED):
                    log.exception("a candidate could not be asked", ae_title=candidate.ae_title)
                await self._postpone(entry, told(error))
                return
            lost = uncommitted(report, map(Reference.to, items))
            describe = report.describe
        await self._end(entry, self._judged(entry.delivery, items, lost, describe))

    async def _postpone(self, entry: Committing, reason: str) -> None:
        """Nobody knows: ask again after a pause."""
        entry.failures += 1
        retry = self._settings.retry
        entry.due = self._clock.monotonic() + retry.delay_s(entry.failures)
        reason = f"{NOT_COMMITTED}: {reason}"
        state = DeliveryState.COMMITTING
        if self._settings.gives_up(entry.delivery, self._clock.now()):
            state, reason = DeliveryState.DEAD, f"given up: {reason}"
        delivery = await self._books.end_asking(entry.delivery, state, reason, entry.due)
        if state.is_terminal:
            self._leave(delivery)

    def _judged(
        self,
        delivery: Delivery,
        items: Sequence[DeliveryItem],
        lost: Mapping[str, int],
        describe: Callable[[int], str],
    ) -> Sequence[ItemResult]:
        """What is to be sent again, and what has been lost too often for that."""
        results = []
        counts = self._lost.setdefault(delivery.id, Counter())
        for item in items:
            instance_id, status = item.instance_id, lost.get(item.sop_instance_uid)
            if status is not None:
                counts[instance_id] += 1
                is_final = counts[instance_id] > self._settings.drops_allowed
                kind = OutcomeKind.PERMANENT if is_final else OutcomeKind.TEMPORARY
                outcome = Outcome(kind, status, describe(status))
                results.append(ItemResult(instance_id, outcome, self._clock.now()))
        return results

    async def _end(self, entry: Committing, lost: Sequence[ItemResult]) -> None:
        """The candidate has said what it holds."""
        delivery = entry.delivery
        if lost:
            delivery = await self._books.lost(delivery, lost)
        reasons: dict[OutcomeKind, Counter[str]] = {kind: Counter() for kind in OutcomeKind}
        for result in lost:
            reasons[result.outcome.kind][result.outcome.reason] += 1
        state, reason = judge(
            delivery,
            reasons[OutcomeKind.TEMPORARY],
            reasons[OutcomeKind.PERMANENT],
            why_stopped="",
            gives_up=False,
        )
        times = max(self._lost.get(delivery.id, Counter()).values(), default=1)
        due = self._clock.monotonic() + self._settings.retry.delay_s(times)
        delivery = await self._books.end_asking(delivery, state, reason, due)
        if state.is_terminal:
            self._leave(delivery)
        elif self._waiting.pop(delivery.id, None) is not None:
            self._send_again(delivery, due)

    def _leave(self, delivery: Delivery) -> None:
        """The delivery is over."""
        self._waiting.pop(delivery.id, None)
        self._lost.pop(delivery.id, None)
