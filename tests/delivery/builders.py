"""Deliveries and items with everything that a test does not care about filled in."""

from __future__ import annotations

from datetime import datetime

from router.domain.delivery import Delivery, DeliveryItem, DeliveryState
from router.domain.instance import SpoolRef
from tests.clock import NOON

BYTES = 1000


def delivery(
    number: int = 1,
    *,
    study: int = 0,
    revision: int = 1,
    priority: int = 10,
    instances: int = 3,
    delivered: int = 0,
    refused: int = 0,
    remaining_bytes: int | None = None,
    created_at: datetime = NOON,
) -> Delivery:
    """Give the ``number``-th delivery of a queue: by default, of a study of its own."""
    left = instances - delivered - refused
    return Delivery(
        id=number,
        revision_id=number,
        study_instance_uid=f"1.2.{study or number}",
        revision_number=revision,
        ae_title="XRAY",
        state=DeliveryState.PENDING,
        priority=priority,
        required=True,
        created_at=created_at,
        attempts=0,
        next_attempt_at=None,
        reason="",
        instances=instances,
        delivered=delivered,
        refused=refused,
        total_bytes=instances * BYTES,
        remaining_bytes=left * BYTES if remaining_bytes is None else remaining_bytes,
    )


def item(instance_id: int) -> DeliveryItem:
    """Give one instance that is to be sent."""
    return DeliveryItem(
        instance_id=instance_id,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid=f"1.2.3.1.{instance_id}",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        calling_ae_title="CT1",
        ref=SpoolRef("segment-1", 0, BYTES + 400, 64, BYTES + 300, 300),
        checksum="0" * 16,
        attempts=0,
    )


def items(*instance_ids: int) -> list[DeliveryItem]:
    """Give several instances that are to be sent."""
    return [item(instance_id) for instance_id in instance_ids]
