"""What has arrived of a study, as its completion policy wants to know it."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, func, select, union

from router.domain.instance import Disposition
from router.domain.study import RevisionState
from router.ledger.schema import IN_QUARANTINE, instance, refusal, revision, study


def study_values(
    connection: Connection, study_instance_uid: str, names: Collection[str], after: int
) -> tuple[dict[str, set[str]], int]:
    """See ``ports.Ledger.study_values``."""
    values: dict[str, set[str]] = {}
    last = after
    rows = connection.execute(
        select(instance.c.id, instance.c.facts)
        .join_from(instance, revision, instance.c.revision_id == revision.c.id)
        .join(study, revision.c.study_id == study.c.id)
        .where(
            study.c.study_instance_uid == study_instance_uid,
            revision.c.state != RevisionState.DISCARDED,
            instance.c.id > after,
        )
    )
    for row in rows:
        last = max(last, row.id)
        for name in names:
            values.setdefault(name, set()).update(row.facts.get(name, ()))
    return values, last


def arrived_instances(connection: Connection, study_instance_uid: str) -> int:
    """See ``ports.Ledger.arrived_instances``; each part has an index of its own.

    What only repeats another needs no part: the one that is kept has the same name.
    """
    study_id = connection.execute(
        select(study.c.id).where(study.c.study_instance_uid == study_instance_uid)
    ).scalar_one_or_none()
    named = select(instance.c.sop_instance_uid)
    delivered = named.join_from(instance, revision, instance.c.revision_id == revision.c.id).where(
        revision.c.study_id == study_id, revision.c.state != RevisionState.DISCARDED
    )
    arrived = union(
        delivered,
        named.where(instance.c.study_id == study_id, IN_QUARANTINE),
        select(refusal.c.sop_instance_uid).where(
            refusal.c.study_instance_uid == study_instance_uid,
            refusal.c.disposition == Disposition.DISCARDED,
        ),
    ).subquery()
    count: int = connection.execute(select(func.count()).select_from(arrived)).scalar_one()
    return count
