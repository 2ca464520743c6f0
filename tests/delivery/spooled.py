"""Instances in a spool, as the lane hands them to a destination."""

from __future__ import annotations

from pathlib import Path

import pydicom

from router.dicom.part10 import read_file_header
from router.domain.delivery import DeliveryItem
from router.domain.instance import Disposition, Identity, Instance
from router.spool.log import LocalSpool
from tests.spool.helpers import FACTS, PART10_HEADER, PROVENANCE, Outcome, segments


def item_of(instance: Instance, number: int) -> DeliveryItem:
    """Give an instance of the spool as one that is to be sent."""
    return DeliveryItem(
        instance_id=number,
        sop_class_uid=instance.identity.sop_class_uid,
        sop_instance_uid=instance.identity.sop_instance_uid,
        transfer_syntax_uid=instance.identity.transfer_syntax_uid,
        calling_ae_title="CT1",
        ref=instance.ref,
        checksum=instance.checksum,
        attempts=0,
    )


async def spooled(spool: LocalSpool, path: Path, number: int = 0) -> DeliveryItem:
    """Store the data set of a file, as if it had arrived."""
    content = path.read_bytes()
    header = read_file_header(content)
    read = pydicom.dcmread(path, stop_before_pixels=True)
    identity = Identity(
        header.sop_class_uid,
        header.sop_instance_uid,
        read.StudyInstanceUID,
        read.SeriesInstanceUID,
        header.transfer_syntax_uid,
    )
    return item_of(await put(spool, identity, content[header.data_set_offset :]), number)


async def put(spool: LocalSpool, identity: Identity, data: bytes) -> Instance:
    """Store any bytes under any name."""
    writer, outcome = spool.create(PART10_HEADER), Outcome()
    writer.write([memoryview(data)])
    writer.seal(identity, PROVENANCE, FACTS, Disposition.ACCEPTED, "", outcome)
    return await outcome.instance()


def damage(folder: Path, data: bytes) -> None:
    """Change one byte in the middle of a data set that stands in the only segment of a spool."""
    (segment,) = segments(folder)
    content = bytearray(segment.read_bytes())
    at = content.find(data)
    assert at >= 0, "the data set is not in the spool"
    content[at + len(data) // 2] ^= 1
    segment.write_bytes(content)
