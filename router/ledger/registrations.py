"""Self-registered candidates, in their own words."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from router.domain.candidate import Registration
from router.ledger.dialect import upsert
from router.ledger.schema import registration


def save(connection: Connection, value: Registration) -> None:
    """See ``ports.Ledger.save_registration``."""
    values = {column.name: getattr(value, column.name) for column in registration.columns}
    connection.execute(
        upsert(connection.dialect.name, registration)
        .values(values)
        .on_conflict_do_update(index_elements=[registration.c.ae_title], set_=values)
    )


def remove(connection: Connection, ae_title: str) -> bool:
    """See ``ports.Ledger.remove_registration``."""
    done = connection.execute(delete(registration).where(registration.c.ae_title == ae_title))
    return done.rowcount > 0


def load_all(connection: Connection) -> Sequence[Registration]:
    """See ``ports.Ledger.registrations``; in the order of their AE titles."""
    rows = connection.execute(select(registration).order_by(registration.c.ae_title))
    return [
        Registration(
            ae_title=row.ae_title,
            body=row.body,
            registered_at=row.registered_at,
            last_seen_at=row.last_seen_at,
            lease_expires_at=row.lease_expires_at,
            draining=row.draining,
        )
        for row in rows
    ]
