"""Arrivals, decisions and results with everything that a test does not care about filled in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from router.domain.delivery import Delivery, ItemResult, Outcome, OutcomeKind
from router.domain.determination import Choice, Decision
from router.domain.instance import (
    Disposition,
    Facts,
    Identity,
    Instance,
    Provenance,
    Refusal,
    SpoolRef,
)
from router.domain.study import RevisionKey
from router.ports import Ledger

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RECORD_LENGTH = 1200
DATA_SET_LENGTH = 800


def later(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def identity(study: str = "1.2.3", number: int = 0) -> Identity:
    """UIDs of the ``number``-th instance of a study."""
    return Identity(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid=f"{study}.1.{number}",
        study_instance_uid=study,
        series_instance_uid=f"{study}.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )


def provenance(calling: str = "CT1", at: datetime = NOON) -> Provenance:
    """Name an association from a modality."""
    return Provenance(calling, "ROUTER", "10.0.0.7:53312", "association-7", at)


def instance(
    number: int = 0,
    *,
    study: str = "1.2.3",
    segment: str = "segment-1",
    calling: str = "CT1",
    at: datetime = NOON,
    disposition: Disposition = Disposition.ACCEPTED,
    reason: str = "",
    facts: Facts | None = None,
    checksum: str | None = None,
) -> Instance:
    """Build the ``number``-th record of a segment, the ``number``-th instance of its study."""
    offset = number * RECORD_LENGTH
    return Instance(
        identity=identity(study, number),
        provenance=provenance(calling, at),
        facts={"Modality": ("CT",)} if facts is None else facts,
        ref=SpoolRef(segment, offset, RECORD_LENGTH, offset + 64, DATA_SET_LENGTH + 300, 300),
        checksum=checksum or f"{number:016x}",
        disposition=disposition,
        reason=reason,
    )


def refusal(
    study: str = "1.2.3", reason: str = "MODALITY|IS_NULL", **facts: tuple[str, ...]
) -> Refusal:
    """Discard an instance."""
    return Refusal(identity(study), provenance(), Disposition.DISCARDED, 0, reason, facts)


def choice(
    ae_title: str,
    *,
    matched: bool = True,
    required: bool = True,
    priority: int = 10,
    instance_ids: tuple[int, ...] | None = None,
) -> Choice:
    """Decide about one candidate."""
    return Choice(ae_title, matched, "MODALITY is {CT}", priority, required, instance_ids)


def decision(*ae_titles: str, unmatched: tuple[str, ...] = ()) -> Decision:
    """Send the whole revision to these required candidates."""
    return Decision(
        (
            *(choice(ae_title) for ae_title in ae_titles),
            *(choice(ae_title, matched=False) for ae_title in unmatched),
        )
    )


def result(
    instance_id: int,
    kind: OutcomeKind = OutcomeKind.STORED,
    *,
    status: int | None = 0,
    reason: str = "",
    at: datetime = NOON,
) -> ItemResult:
    """Answer for one instance as a candidate does."""
    return ItemResult(instance_id, Outcome(kind, status, reason), at)


async def route(
    ledger: Ledger, key: RevisionKey | None, wanted: Decision, at: datetime = NOON
) -> Sequence[Delivery]:
    """Complete a revision and route it, both at one time."""
    assert key is not None
    await ledger.complete(key, at, "stable")
    return await ledger.route(key, at, wanted)
