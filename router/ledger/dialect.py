"""All that the ledger knows of one particular database; everything else is dialect-neutral SQL."""

from __future__ import annotations

import sqlite3
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import Table, make_url
from sqlalchemy.exc import ArgumentError

from router.domain.errors import ConfigurationError, LedgerFailed
from router.sql.sqlite import Faults

_WITH_UPSERT = ("sqlite", "postgresql")


def upsert(dialect_name: str, table: Table) -> Any:
    """Begin an INSERT that has ``on_conflict_do_update`` and ``on_conflict_do_nothing``."""
    if dialect_name not in _WITH_UPSERT:
        raise ValueError(f"{dialect_name} has no upsert that is known here")
    return import_module(f"sqlalchemy.dialects.{dialect_name}").insert(table)


def ledger_file(url_or_path: str | Path) -> Path:
    """The SQLite file that is named; raises ``ConfigurationError`` for anything else."""
    if isinstance(url_or_path, Path) or "://" not in url_or_path:
        return Path(url_or_path)
    try:
        url = make_url(url_or_path)
    except ArgumentError as error:
        raise ConfigurationError(f"{url_or_path!r} is not a database URL") from error
    is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    if not is_file or url.query:
        raise ConfigurationError(
            f"the ledger cannot live in {url.render_as_string()}: "
            "give the path of a SQLite file, or sqlite:///path"
        )
    return Path(url.database or "")


_DAMAGED = (
    "; the file is damaged or no ledger at all: move it away and start the router again, "
    "which rebuilds the ledger from the spool"
)
FAULTS = Faults(
    database="ledger",
    failed=LedgerFailed,
    advice={
        sqlite3.SQLITE_CORRUPT: _DAMAGED,
        sqlite3.SQLITE_NOTADB: _DAMAGED,
        sqlite3.SQLITE_FULL: "; the disk is full: make room, the router goes on by itself",
    },
)
