"""A ledger, and a spool, with a past: as many studies and instances as years would bring.

The rows are those that the router itself writes, put in directly, a chunk in a statement. Spool
files have their real size on the disk, but only their headers are written.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio

from bench.generator import CT_IMAGE
from router.dicom import uids
from router.domain.errors import RouterError
from router.domain.instance import Disposition, Identity, Instance, Provenance
from router.ledger.ledger import open_ledger
from router.spool.format import NONCE_BYTES, pack_segment_header
from router.spool.log import open_spool
from router.spool.segment import segment_path

CHUNK = 500
SEGMENT_BYTES = 256 << 20
OPEN_STUDIES, PENDING_STUDIES = 50, 500
"""The last studies are not complete, those before them wait for a candidate that is away."""


@dataclass(frozen=True)
class History:
    """How much there is."""

    studies: int
    instances_each: int
    record_bytes: int = 10_240

    @property
    def segments(self) -> int:
        """Spool files that hold all of it."""
        return -(-self.studies * self.instances_each * self.record_bytes // SEGMENT_BYTES)


def fill_ledger(path: Path, history: History) -> None:
    """Make a ledger with this history; all but the last studies are settled."""
    anyio.run(_migrate, path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous=OFF")
    with connection:
        connection.executemany(
            "INSERT INTO segment (id, name, recorded_through) VALUES (?, ?, ?)",
            [(number + 1, _name(number), SEGMENT_BYTES) for number in range(history.segments)],
        )
        for first in range(0, history.studies, CHUNK):
            _insert_studies(connection, history, range(first, min(first + CHUNK, history.studies)))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def _migrate(path: Path) -> None:
    async with open_ledger(path):
        pass


def _name(number: int) -> str:
    return f"{number:020d}-000001"


def _insert_studies(connection: sqlite3.Connection, history: History, which: range) -> None:
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(" ")
    tables: dict[str, list[dict[str, object]]] = {
        name: [] for name in ("study", "revision", "instance", "decision", "delivery")
    }
    items: list[dict[str, object]] = []
    for number in which:
        is_open = number >= history.studies - OPEN_STUDIES
        is_pending = not is_open and number >= history.studies - OPEN_STUDIES - PENDING_STUDIES
        count = history.instances_each
        size = count * (history.record_bytes - 1024)
        key = number + 1
        tables["study"].append(_study(key, now))
        tables["revision"].append(
            {
                "id": key,
                "study_id": key,
                "number": 1,
                "state": "open" if is_open else "routed" if is_pending else "settled",
                "opened_at": now,
                "last_instance_at": now,
                "instances": count,
                "bytes": size,
                "completed_at": None if is_open else now,
                "completed_by": "" if is_open else "released and quiet",
                "settled_at": None if is_open or is_pending else now,
                "reclaimed_at": None,
            }
        )
        rows = list(_instances(history, number, now))
        tables["instance"] += rows
        if is_open:
            continue
        tables["decision"].append(
            {"id": key, "revision_id": key, "decided_at": now, "choices": _CHOICES}
        )
        tables["delivery"].append(_delivery(key, now, count, size, is_pending=is_pending))
        items += [
            {
                "delivery_id": key,
                "instance_id": row["id"],
                "state": "pending" if is_pending else "delivered",
                "attempts": 0 if is_pending else 1,
                "status": None if is_pending else 0,
                "reason": "",
                "answered_at": None if is_pending else now,
            }
            for row in rows
        ]
    for name, rows in [*tables.items(), ("delivery_item", items)]:
        if rows:
            columns = ", ".join(f'"{column}"' for column in rows[0])
            values = ", ".join(f":{column}" for column in rows[0])
            connection.executemany(f"INSERT INTO {name} ({columns}) VALUES ({values})", rows)


def _study(key: int, now: str) -> dict[str, object]:
    return {
        "id": key,
        "study_instance_uid": f"1.2.826.0.1.3680043.10.99.{key}",
        "patient_id": f"P{key // 3}",
        "first_arrival_at": now,
        "last_arrival_at": now,
        "quarantined": 0,
    }


_CHOICES = json.dumps(
    [
        {
            "ae_title": "WRITER",
            "matched": True,
            "reason": "no criteria: it receives every study",
            "priority": 10,
            "required": True,
            "instances": None,
        }
    ]
)


def _delivery(key: int, now: str, count: int, size: int, *, is_pending: bool) -> dict[str, object]:
    return {
        "id": key,
        "revision_id": key,
        "ae_title": "WRITER",
        "state": "pending" if is_pending else "delivered",
        "priority": 10,
        "required": True,
        "created_at": now,
        "attempts": 0 if is_pending else 1,
        "next_attempt_at": None,
        "revived_at": None,
        "reason": "",
        "instances": count,
        "delivered": 0 if is_pending else count,
        "refused": 0,
        "total_bytes": size,
        "remaining_bytes": size if is_pending else 0,
    }


def _facts(study_uid: str) -> dict[str, list[str]]:
    return {
        "SOPClassUID": [CT_IMAGE],
        "StudyDate": ["20260101"],
        "StudyTime": ["101500"],
        "AccessionNumber": ["A123456"],
        "Modality": ["CT"],
        "Manufacturer": ["Maker"],
        "InstitutionName": ["Bench Hospital"],
        "StudyDescription": ["Thorax"],
        "SeriesDescription": ["Axial 1.0"],
        "PatientName": ["Bench^Patient"],
        "PatientID": ["B-1"],
        "BodyPartExamined": ["CHEST"],
        "StudyInstanceUID": [study_uid],
        "SeriesInstanceUID": [study_uid + ".1"],
        "SourceAETitle": ["CT1"],
        "CalledAETitle": ["ROUTER"],
        "SourceAddress": ["10.0.0.7:50000"],
        "TransferSyntaxUID": [uids.EXPLICIT_VR_LITTLE_ENDIAN],
    }


def _instances(history: History, number: int, now: str) -> Iterator[dict[str, object]]:
    study_uid = f"1.2.826.0.1.3680043.10.99.{number + 1}"
    facts = json.dumps(_facts(study_uid))
    per_segment = SEGMENT_BYTES // history.record_bytes
    for index in range(history.instances_each):
        position = number * history.instances_each + index
        segment, place = divmod(position, per_segment)
        offset = 64 + place * history.record_bytes
        yield {
            "id": position + 1,
            "study_id": number + 1,
            "revision_id": number + 1,
            "sop_class_uid": CT_IMAGE,
            "sop_instance_uid": f"{study_uid}.1.{index}",
            "series_instance_uid": f"{study_uid}.1",
            "transfer_syntax_uid": uids.EXPLICIT_VR_LITTLE_ENDIAN,
            "calling_ae_title": "CT1",
            "called_ae_title": "ROUTER",
            "address": "10.0.0.7:50000",
            "association_id": "a-1",
            "received_at": now,
            "segment_id": segment + 1,
            "offset": offset,
            "length": history.record_bytes,
            "file_offset": offset + 128,
            "file_length": history.record_bytes - 640,
            "data_set_skip": 384,
            "checksum": f"{position:016x}",
            "disposition": "accepted",
            "reason": "",
            "facts": facts,
            "reclaimed_at": None,
        }


def fill_spool(directory: Path, history: History) -> None:
    """Spool files for this history: allocated to their full size, with a valid header."""
    directory.mkdir(parents=True)
    for number in range(history.segments):
        descriptor = os.open(segment_path(directory, _name(number)), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, SEGMENT_BYTES)
            os.pwrite(descriptor, pack_segment_header(os.urandom(NONCE_BYTES)), 0)
        finally:
            os.close(descriptor)


def add_unrecorded(directory: Path, count: int, size: int, study_uid: str) -> None:
    """Acknowledge so many instances that the ledger does not get to know: as before a crash."""
    anyio.run(partial(_store, directory, count, size, study_uid))


async def _store(directory: Path, count: int, size: int, study_uid: str) -> None:
    provenance = Provenance("CT1", "ROUTER", "10.0.0.7:50000", "a-9", datetime.now(UTC))
    facts = {name: tuple(values) for name, values in _facts(study_uid).items()}
    async with open_spool(directory) as spool:
        for number in range(count):
            identity = Identity(
                CT_IMAGE,
                f"{study_uid}.1.{number}",
                study_uid,
                study_uid + ".1",
                uids.EXPLICIT_VR_LITTLE_ENDIAN,
            )
            is_durable = anyio.Event()

            def sealed(result: Instance | RouterError, done: anyio.Event = is_durable) -> None:
                if isinstance(result, RouterError):
                    raise result
                done.set()

            writer = spool.create(bytes(384))
            writer.write([memoryview(bytes(size))])
            writer.seal(identity, provenance, facts, Disposition.ACCEPTED, "", sealed)
            await is_durable.wait()
