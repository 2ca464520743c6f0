"""Between rows of the ledger and values of the domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from router.domain.delivery import Delivery, DeliveryItem
from router.domain.errors import UnknownDelivery
from router.domain.instance import Facts, Identity, Instance, Provenance, Refusal, SpoolRef
from router.domain.study import RevisionKey
from router.ledger.schema import delivery, delivery_item, instance, revision, segment, study

Values = dict[str, Any]
"""Column name to value, for one row to be written."""


def identity_values(identity: Identity) -> Values:
    """Take the UIDs of an instance or refusal, without its study's."""
    return {
        "sop_class_uid": identity.sop_class_uid,
        "sop_instance_uid": identity.sop_instance_uid,
        "series_instance_uid": identity.series_instance_uid,
        "transfer_syntax_uid": identity.transfer_syntax_uid,
    }


def provenance_values(provenance: Provenance) -> Values:
    """Where and when an instance or refusal came in."""
    return {
        "calling_ae_title": provenance.calling_ae_title,
        "called_ae_title": provenance.called_ae_title,
        "address": provenance.address,
        "association_id": provenance.association_id,
        "received_at": provenance.received_at,
    }


def instance_values(
    arrival: Instance, study_id: int, revision_id: int | None, segment_id: int
) -> Values:
    """One row of ``instance``."""
    ref = arrival.ref
    return {
        "study_id": study_id,
        "revision_id": revision_id,
        **identity_values(arrival.identity),
        **provenance_values(arrival.provenance),
        "segment_id": segment_id,
        "offset": ref.offset,
        "length": ref.length,
        "file_offset": ref.file_offset,
        "file_length": ref.file_length,
        "data_set_skip": ref.data_set_skip,
        "checksum": arrival.checksum,
        "disposition": arrival.disposition,
        "reason": arrival.reason,
        "facts": dict(arrival.facts),
    }


def refusal_values(arrival: Refusal) -> Values:
    """One row of ``refusal``."""
    return {
        **identity_values(arrival.identity),
        "study_instance_uid": arrival.identity.study_instance_uid,
        **provenance_values(arrival.provenance),
        "disposition": arrival.disposition,
        "status": arrival.status,
        "reason": arrival.reason,
        "facts": dict(arrival.facts),
    }


SELECT_REVISION_KEYS: Select[Any] = select(
    revision.c.id, revision.c.number, study.c.study_instance_uid
).join_from(revision, study)

SELECT_INSTANCES: Select[Any] = (
    select(instance, study.c.study_instance_uid, segment.c.name.label("segment"))
    .join_from(instance, study, instance.c.study_id == study.c.id)
    .join(segment, instance.c.segment_id == segment.c.id)
)

SELECT_DELIVERIES: Select[Any] = (
    select(delivery, revision.c.number.label("revision_number"), study.c.study_instance_uid)
    .join_from(delivery, revision, delivery.c.revision_id == revision.c.id)
    .join(study, revision.c.study_id == study.c.id)
)

SELECT_ITEMS: Select[*tuple[Any, ...]] = (
    select(
        instance.c.id,
        instance.c.sop_class_uid,
        instance.c.sop_instance_uid,
        instance.c.transfer_syntax_uid,
        instance.c.calling_ae_title,
        instance.c.offset,
        instance.c.length,
        instance.c.file_offset,
        instance.c.file_length,
        instance.c.data_set_skip,
        instance.c.checksum,
        segment.c.name.label("segment"),
        delivery_item.c.attempts,
        delivery_item.c.drops,
    )
    .join_from(delivery_item, instance, delivery_item.c.instance_id == instance.c.id)
    .join(segment, instance.c.segment_id == segment.c.id)
)


def revision_key(row: Row[Any]) -> RevisionKey:
    """From a row of ``SELECT_REVISION_KEYS``."""
    return RevisionKey(row.id, row.study_instance_uid, row.number)


def spool_ref(row: Row[Any]) -> SpoolRef:
    """From a row that has an instance's columns and its ``segment`` by name."""
    return SpoolRef(
        segment=row.segment,
        offset=row.offset,
        length=row.length,
        file_offset=row.file_offset,
        file_length=row.file_length,
        data_set_skip=row.data_set_skip,
    )


def instance_of(row: Row[Any]) -> Instance:
    """From a row of ``SELECT_INSTANCES``."""
    return Instance(
        identity=_identity(row),
        provenance=_provenance(row),
        facts=_facts(row.facts),
        ref=spool_ref(row),
        checksum=row.checksum,
        disposition=row.disposition,
        reason=row.reason,
    )


def refusal_of(row: Row[Any]) -> Refusal:
    """From a row of ``refusal``."""
    return Refusal(
        identity=_identity(row),
        provenance=_provenance(row),
        disposition=row.disposition,
        status=row.status,
        reason=row.reason,
        facts=_facts(row.facts),
    )


def delivery_of(row: Row[Any]) -> Delivery:
    """From a row of ``SELECT_DELIVERIES``."""
    return Delivery(
        id=row.id,
        revision_id=row.revision_id,
        study_instance_uid=row.study_instance_uid,
        revision_number=row.revision_number,
        ae_title=row.ae_title,
        state=row.state,
        priority=row.priority,
        required=row.required,
        created_at=row.created_at,
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
        reason=row.reason,
        instances=row.instances,
        delivered=row.delivered,
        refused=row.refused,
        total_bytes=row.total_bytes,
        remaining_bytes=row.remaining_bytes,
        revived_at=row.revived_at,
    )


def load_delivery(connection: Connection, delivery_id: int) -> Delivery:
    """Load a delivery as it stands; raises ``UnknownDelivery`` if there is none."""
    row = connection.execute(
        SELECT_DELIVERIES.where(delivery.c.id == delivery_id).with_for_update(of=delivery)
    ).one_or_none()
    if row is None:
        raise UnknownDelivery(f"the ledger holds no delivery {delivery_id}")
    return delivery_of(row)


def item_of(row: Row[*tuple[Any, ...]]) -> DeliveryItem:
    """From a row of ``SELECT_ITEMS``, in its order: there are more of these than of any other."""
    (
        instance_id,
        sop_class,
        sop_instance,
        transfer_syntax,
        calling,
        offset,
        length,
        file_offset,
        file_length,
        data_set_skip,
        checksum,
        segment_name,
        attempts,
        drops,
    ) = row
    return DeliveryItem(
        instance_id=instance_id,
        sop_class_uid=sop_class,
        sop_instance_uid=sop_instance,
        transfer_syntax_uid=transfer_syntax,
        calling_ae_title=calling,
        ref=SpoolRef(segment_name, offset, length, file_offset, file_length, data_set_skip),
        checksum=checksum,
        attempts=attempts,
        drops=drops,
    )


def _identity(row: Row[Any]) -> Identity:
    return Identity(
        sop_class_uid=row.sop_class_uid,
        sop_instance_uid=row.sop_instance_uid,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
    )


def _provenance(row: Row[Any]) -> Provenance:
    return Provenance(
        calling_ae_title=row.calling_ae_title,
        called_ae_title=row.called_ae_title,
        address=row.address,
        association_id=row.association_id,
        received_at=row.received_at,
    )


def _facts(stored: Mapping[str, list[str]]) -> Facts:
    return {name: tuple(values) for name, values in stored.items()}
