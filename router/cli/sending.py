"""The command ``send``: a modality at the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from router.cli.output import fail, messages, print_json, print_table
from router.dicom import statuses
from router.domain.errors import ConfigurationError
from router.domain.identifiers import ae_title
from router.modality.media import find_below
from router.modality.sender import OutgoingFile, Report, Target, send_files
from router.settings.values import parse_peer

NO_DICOM_FILES = "No DICOM files (Part 10, with a File Meta group) were found there."


def send(
    paths: Sequence[Path], to: str, called: str, calling: str, associations: int, as_json: bool
) -> bool:
    """Send the files with a progress bar; whether all of them were accepted.

    What is no DICOM file is passed over; a DICOM file that cannot be read was not accepted.
    """
    target = parse_target(to, called, calling)
    found = [one for one in find_below(paths) if one.is_dicom]
    if not found:
        fail(NO_DICOM_FILES)
        return False
    files = [one.file for one in found if one.file is not None]
    report = send_with_progress(files, target, associations) if files else Report()
    report.failures += [(Path(one.name), one.reason) for one in found if one.file is None]
    if as_json:
        print_json(_as_json(report, len(found)))
    else:
        _print(report, len(found))
    return report.sent == len(found)


def parse_target(to: str, called: str, calling: str) -> Target:
    """``host:port`` and AE titles, checked. Raises ``ConfigurationError``."""
    try:
        where = parse_peer(to)
    except ValueError as error:
        raise ConfigurationError(f"--to {error}") from None
    return Target(where.host, where.port, ae_title(called), ae_title(calling))


def send_with_progress(files: Sequence[OutgoingFile], target: Target, associations: int) -> Report:
    """Send the files; a progress bar on stderr says how far it is."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=messages) as progress:
        task = progress.add_task(f"sending to {target.called_ae_title}", total=len(files))

        def advance(file: OutgoingFile) -> None:
            progress.advance(task)

        return anyio.run(send_files, files, target, associations, advance)


def _as_json(report: Report, files: int) -> dict[str, object]:
    return {
        "files": files,
        "sent": report.sent,
        "bytes": report.bytes,
        "statuses": {f"{status:04X}": count for status, count in sorted(report.statuses.items())},
        "failures": [{"file": str(path), "reason": why} for path, why in report.failures],
    }


def _print(report: Report, files: int) -> None:
    rows = [
        (f"{status:04X}", statuses.describe(status), count)
        for status, count in sorted(report.statuses.items())
    ]
    print_table(f"accepted: {report.sent} of {files}", ("status", "meaning", "instances"), rows)
    for reason, paths in _by_reason(report).items():
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        fail(f"{paths[0]}{more}: {reason}")


def _by_reason(report: Report) -> dict[str, list[Path]]:
    """A thousand files that fail for one reason are one line to a person."""
    reasons: dict[str, list[Path]] = {}
    for path, reason in report.failures:
        reasons.setdefault(reason, []).append(path)
    return reasons
