"""Types of columns, and how constraints are called."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Enum,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
)

ROW_ID = BigInteger().with_variant(Integer, "sqlite")
"""The key of a row that the database numbers: SQLite numbers rows only by plain INTEGER."""

_AS_SQLITE_SORTS = Text(collation="C")
TEXT = Text().with_variant(_AS_SQLITE_SORTS, "postgresql")
"""Text that is compared and sorted by its code points, whatever the locale of the database."""


def short_text(length: int) -> String:
    """Type text of a length that is told, and not enforced; compared as ``TEXT`` is."""
    return String(length).with_variant(_AS_SQLITE_SORTS, "postgresql")


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
