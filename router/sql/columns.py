"""Types of columns, and how constraints are called."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import BigInteger, DateTime, Dialect, Enum, Integer, MetaData, TypeDecorator

ROW_ID = BigInteger().with_variant(Integer, "sqlite")
"""The key of a row that the database numbers: SQLite numbers rows only by plain INTEGER."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, kept and given back in UTC. Refuses naive values with ``ValueError``."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Into UTC, on the way in."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("only aware datetimes are kept")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Into UTC, on the way out; SQLite itself knows no time zones."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def words(kind: type[StrEnum]) -> Enum:
    """Type a column by the words of ``kind``, as text: a new word needs no migration."""
    return Enum(
        kind, native_enum=False, length=16, values_callable=lambda words: [w.value for w in words]
    )


def empty_metadata() -> MetaData:
    """Metadata without tables, which names each index and constraint by what it is about."""
    return MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
