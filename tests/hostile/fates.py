"""What became of objects, as the ledger of a router has it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def fates_in(ledger: Path) -> dict[str, tuple[str, str]]:
    """SOP Instance UID to disposition and reason, of what was kept and of what was not."""
    with closing(sqlite3.connect(ledger)) as connection:
        rows = connection.execute(
            "SELECT sop_instance_uid, disposition, reason FROM instance"
            " UNION ALL SELECT sop_instance_uid, disposition, reason FROM refusal"
        ).fetchall()
    return {uid: (disposition, reason) for uid, disposition, reason in rows}
