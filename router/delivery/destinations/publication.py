"""What ``folder`` and ``s3`` publish: names from a template, and a manifest of checksums.

The manifest is what ``sha256sum -c`` reads: a checksum and a path, relative to its study's folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import anyio

from router.dicom.findings import ScanLimits
from router.dicom.scan_plan import ScanPlan
from router.dicom.scan_stored import scan_stored
from router.domain.delivery import Delivery, DeliveryItem
from router.domain.paths import PathTemplate
from router.ports import Spool

SUCCESS = "_SUCCESS"
"""The name of a manifest; a study is whole where it stands."""
PUBLISHING = "_PUBLISHING"
"""The former manifest while a study's folder is changed."""

Names = Sequence[tuple[str, ...]]
"""The components of the path of each instance."""

_LINE = re.compile(r"([0-9a-f]{64})  (\S+)")


async def names_of(
    spool: Spool, template: PathTemplate, delivery: Delivery, items: Sequence[DeliveryItem]
) -> Names:
    """A path for each instance, no two of them the same. Raises ``SpoolFailed``."""
    plan = ScanPlan.compile(template.attributes)
    names: list[tuple[str, ...]] = []
    taken: set[tuple[str, ...]] = set()
    for item in items:
        name = template.render(await values_of(spool, plan, delivery, item))
        name = name if name not in taken else _another(name, taken)
        taken.add(name)
        names.append(name)
    return names


async def values_of(
    spool: Spool, plan: ScanPlan, delivery: Delivery, item: DeliveryItem
) -> dict[str, str]:
    """The first value of each attribute of a plan that an instance has.

    Study and instance have the UIDs that the router knows them by. Raises ``SpoolFailed``.
    """
    reader = spool.open(item.ref)
    try:
        scan = await anyio.to_thread.run_sync(
            scan_stored,
            plan,
            item.transfer_syntax_uid,
            ScanLimits(),
            reader.read,
            item.ref.data_set_length,
        )
    finally:
        reader.close()
    found = {name: values[0] for name, values in scan.facts.items() if values}
    found["StudyInstanceUID"] = delivery.study_instance_uid
    found["SOPInstanceUID"] = item.sop_instance_uid
    return found


def _another(name: tuple[str, ...], taken: set[tuple[str, ...]]) -> tuple[str, ...]:
    """A name beside one that is taken: two instances of one SOP Instance UID are both kept."""
    *folders, file = name
    stem, dot, ending = file.rpartition(".")
    number = 2
    while True:
        other = f"{stem}-{number}{dot}{ending}" if stem else f"{file}-{number}"
        if (*folders, other) not in taken:
            return (*folders, other)
        number += 1


def manifest(sums: Mapping[str, str]) -> str:
    """The text of a manifest: checksums by path."""
    return "".join(f"{sums[path]}  {path}\n" for path in sorted(sums))


def read_manifest(text: str) -> dict[str, str]:
    """Checksums by path; lines that are none are left out."""
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return {line[2]: line[1] for line in found if line}


def by_study(
    template: PathTemplate, names: Iterable[tuple[str, ...]], sums: Iterable[str]
) -> dict[tuple[str, ...], dict[str, str]]:
    """For each study's folder, the checksums of what is new in it, by path below it."""
    studies: dict[tuple[str, ...], dict[str, str]] = {}
    for name, checksum in zip(names, sums, strict=True):
        folder, rest = name[: template.study_depth], name[template.study_depth :]
        studies.setdefault(folder, {})["/".join(rest)] = checksum
    return studies
