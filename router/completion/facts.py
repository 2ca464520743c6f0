"""The facts of a revision's instances, where need be with what their arrival did not ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import anyio

from router.dicom.scan_stored import scan_stored
from router.dicom.scanner import ScanLimits, ScanPlan
from router.domain.attributes import BASE_ATTRIBUTES, Attribute
from router.domain.instance import Facts, Instance
from router.ports import Spool, SpoolReader

AT_ONCE = 64
"""Instances that are opened and read together, in one turn of a worker thread."""

_BASE = frozenset(attribute.name for attribute in BASE_ATTRIBUTES)

Numbered = tuple[int, Instance]
"""An instance with its ledger id."""


async def gather_facts(
    spool: Spool,
    limits: ScanLimits,
    instances: Sequence[Numbered],
    wanted: Iterable[Attribute],
) -> Mapping[int, Facts]:
    """Facts by ledger id, in which every wanted attribute is answered.

    What was read when an instance arrived is taken as it was recorded. An instance whose arrival
    did not ask about all that is wanted, because a candidate came later or the configuration was
    another one, is read from the spool. Raises ``SpoolFailed`` when that cannot be read.
    """
    facts = {number: instance.facts for number, instance in instances}
    beyond = [one for one in wanted if not one.is_pseudo and one.name not in _BASE]
    lacking = [
        (number, instance)
        for number, instance in instances
        if any(one.name not in instance.facts for one in beyond)
    ]
    if not lacking:
        return facts
    plan = ScanPlan.compile(beyond)
    for start in range(0, len(lacking), AT_ONCE):
        facts |= await _read_again(spool, plan, limits, lacking[start : start + AT_ONCE])
    return facts


async def _read_again(
    spool: Spool, plan: ScanPlan, limits: ScanLimits, instances: Sequence[Numbered]
) -> Mapping[int, Facts]:
    """Readers are opened and closed on the event loop, and read in a thread."""
    opened: list[tuple[int, Instance, SpoolReader]] = []
    try:
        for number, instance in instances:
            opened.append((number, instance, spool.open(instance.ref)))

        def read() -> Mapping[int, Facts]:
            return {
                number: _facts(plan, limits, instance, reader)
                for number, instance, reader in opened
            }

        return await anyio.to_thread.run_sync(read)
    finally:
        for _, _, reader in opened:
            reader.close()


def _facts(plan: ScanPlan, limits: ScanLimits, instance: Instance, reader: SpoolReader) -> Facts:
    scan = scan_stored(
        plan,
        instance.identity.transfer_syntax_uid,
        limits,
        reader.read,
        instance.ref.data_set_length,
    )
    return {**scan.facts, **instance.facts}
