"""Runs ``dicom-router`` as a user does."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

WITHIN_S = 60
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its standard output, which is one JSON document."""
        return json.loads(self.out)


async def dicom_router(*arguments: object, columns: int = 300) -> Ran:
    """Run a command on a terminal of so many columns; it may not end with a traceback."""
    command = [sys.executable, "-m", "router.cli.main", *map(str, arguments)]
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {"COLUMNS": str(columns), "TERMINAL_WIDTH": str(columns)}
    with anyio.fail_after(WITHIN_S):
        done = await anyio.run_process(command, check=False, env=environment, cwd=ROOT)
    ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in ran.err, ran.err
    return ran
