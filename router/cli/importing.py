"""The command ``import``: what is on media goes to the router, and every file is accounted for."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from router.cli.output import fail, print_json, print_table
from router.cli.sending import NO_DICOM_FILES, parse_target, send_with_progress
from router.modality.media import NOT_DICOM, Found, find, room_for
from router.modality.sender import Report

STORED, REFUSED, PASSED_OVER = "stored", "not stored", "not DICOM"


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one file."""

    name: str
    outcome: str
    reason: str = ""


def import_media(
    paths: Sequence[Path],
    to: str,
    called: str,
    calling: str,
    associations: int,
    max_unpacked: int,
    as_json: bool,
) -> bool:
    """Send all that is there; whether every DICOM file was stored, and there was any."""
    target = parse_target(to, called, calling)
    with tempfile.TemporaryDirectory(prefix="dicom-router-import-") as folder:
        found: list[Found] = []
        for number, path in enumerate(paths):
            unpacked = Path(folder, str(number))
            unpacked.mkdir()
            found += find(path, unpacked, room_for(unpacked, max_unpacked))
        files = list({one.file.path: one.file for one in found if one.file is not None}.values())
        report = send_with_progress(files, target, associations) if files else Report()
    fates = _fates(found, report)
    if as_json:
        print_json(_as_json(fates))
    else:
        _print(fates)
    counted = Counter(fate.outcome for fate in fates)
    return counted[STORED] > 0 and not counted[REFUSED]


def _fates(found: Sequence[Found], report: Report) -> list[Fate]:
    failed = dict(report.failures)
    fates = []
    for one in found:
        if one.file is None:
            outcome = PASSED_OVER if one.reason == NOT_DICOM else REFUSED
            fates.append(Fate(one.name, outcome, one.reason))
        elif one.file.path in failed:
            fates.append(Fate(one.name, REFUSED, failed[one.file.path]))
        else:
            fates.append(Fate(one.name, STORED))
    return fates


def _as_json(fates: Sequence[Fate]) -> dict[str, object]:
    counted = Counter(fate.outcome for fate in fates)
    return {
        "stored": counted[STORED],
        "not_stored": counted[REFUSED],
        "not_dicom": counted[PASSED_OVER],
        "files": [
            {"file": fate.name, "outcome": fate.outcome, "reason": fate.reason} for fate in fates
        ],
    }


def _print(fates: Sequence[Fate]) -> None:
    counted = Counter(fate.outcome for fate in fates)
    rows = [(outcome, counted[outcome]) for outcome in (STORED, REFUSED, PASSED_OVER)]
    print_table("imported", ("outcome", "files"), rows)
    for fate in fates:
        if fate.outcome != STORED:
            fail(f"{fate.name}: {fate.reason}")
    if not counted[STORED] and not counted[REFUSED]:
        fail(NO_DICOM_FILES)
