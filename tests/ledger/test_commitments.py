"""The records of storage commitment transactions."""

from __future__ import annotations

from router.domain.commitment import (
    CommitmentRequest,
    Reference,
    Requester,
    Transaction,
    TransactionState,
)
from router.ledger.ledger import SqlLedger
from tests.ledger.builders import NOON, later

MODALITY = Requester("CT1", "ROUTER", "192.0.2.1")
CT = "1.2.840.10008.5.1.4.1.1.2"


def asked(number: int) -> CommitmentRequest:
    """A request about two instances."""
    return CommitmentRequest(f"1.2.77.{number}", (Reference(CT, "1.2.3"), Reference(CT, "1.2.4")))


async def begun(ledger: SqlLedger, number: int) -> Transaction:
    transaction = await ledger.begin_commitment(asked(number), MODALITY, NOON)
    assert transaction is not None
    return transaction


async def ended(ledger: SqlLedger, number: int, state: TransactionState) -> Transaction:
    """One that is over since noon."""
    transaction = await begun(ledger, number)
    await ledger.end_commitment(transaction.id, state, NOON, [0, 0], "")
    return transaction


async def test_what_is_over_is_forgotten_a_few_at_a_time_and_what_is_open_stays(
    ledger: SqlLedger,
) -> None:
    waits = await begun(ledger, 0)
    for number in range(1, 4):
        await ended(ledger, number, TransactionState.REPORTED)
    gone = await ended(ledger, 4, TransactionState.ABANDONED)

    assert await ledger.forget_commitments(NOON, 3) == 0
    assert await ledger.forget_commitments(later(1), 3) == 3
    assert await ledger.forget_commitments(later(1), 3) == 1

    assert await ledger.open_commitments() == [waits]
    assert len(await ledger.references(waits.id)) == 2
    assert await ledger.references(gone.id) == []


async def test_a_transaction_uid_can_be_used_for_others_when_it_has_been_forgotten(
    ledger: SqlLedger,
) -> None:
    others = CommitmentRequest(asked(1).transaction_uid, (Reference(CT, "1.2.9"),))
    await ended(ledger, 1, TransactionState.REPORTED)
    assert await ledger.begin_commitment(others, MODALITY, later(1)) is None

    await ledger.forget_commitments(later(1), 10)

    assert await ledger.begin_commitment(others, MODALITY, later(1)) is not None


async def test_a_repeated_request_counts_from_then_on_and_is_answered_where_it_came_from(
    ledger: SqlLedger,
) -> None:
    transaction = await begun(ledger, 1)
    await ledger.postpone_report(transaction.id, later(5), "no connection")
    await ledger.end_commitment(transaction.id, TransactionState.ABANDONED, later(9), (), "gone")
    moved = Requester("CT1", "ROUTER", "192.0.2.99")

    again = await ledger.begin_commitment(asked(1), moved, later(10))

    assert again == Transaction(
        id=transaction.id,
        transaction_uid=transaction.transaction_uid,
        requester=moved,
        requested_at=later(10),
        state=TransactionState.OPEN,
        attempts=0,
        next_attempt_at=None,
        reason="",
    )
