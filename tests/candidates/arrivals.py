"""Instances that have arrived at a writer and are not committed."""

from __future__ import annotations

from datetime import UTC, datetime

from candidates.writer.area import StorageArea
from candidates.writer.index.recording import Arrival

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


def arrived(
    storage: StorageArea,
    content: bytes,
    instance: str = "1.2.3.4",
    *,
    series: str = "1.2.3",
    study: str = "1.2",
    at: datetime = NOON,
    **facts: str,
) -> Arrival:
    """Receive and seal an instance; ``facts`` are more attributes of it, by keyword."""
    file = storage.begin(b"header ")
    file.write([memoryview(content)])
    named = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "PatientID": "P1", **facts}
    values = {keyword: (value,) for keyword, value in named.items() if value}
    return Arrival(CT, instance, EXPLICIT, "ROUTER", at, values, storage.seal(file))
