"""Sends as a modality does, and says what was acknowledged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.stack import RouterProcess, data_set_of

PATIENCE_S = 90.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What the modality saw."""

    acknowledged: set[Path]  # answered 0000
    failed: list[Path]
    statuses: dict[str, int]


def sending(router: RouterProcess, paths: Sequence[Path], associations: int = 3) -> list[str]:
    """The command that sends the files once."""
    return [
        *(sys.executable, "-m", "router.cli.main", "send", "--json"),
        *("--associations", str(associations)),
        *("--to", f"127.0.0.1:{router.dicom_port}", *map(str, paths)),
    ]


def send(router: RouterProcess, paths: Sequence[Path], associations: int = 3) -> Sent:
    """Send the files once, with ``dicom-router send``."""
    command = sending(router, paths, associations)
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
    report = json.loads(done.stdout)
    failed = [Path(failure["file"]) for failure in report["failures"]]
    return Sent(set(paths) - set(failed), failed, report["statuses"])


def data_sets(paths: Sequence[Path]) -> dict[str, bytes]:
    """SOP Instance UID to data set of files that are named after their UID."""
    return {path.stem: data_set_of(path) for path in paths}
