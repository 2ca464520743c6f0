"""What a completion policy must know of a study's instances, read when a study is looked at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field

from router.domain.attributes import Attribute
from router.domain.instance import Facts

ReadValues = Callable[
    [str, Collection[str], int], Awaitable[tuple[Mapping[str, Collection[str]], int]]
]
"""``ports.RevisionLedger.study_values``."""


@dataclass(slots=True)
class _Values:
    through: int = 0  # the ledger id of the last instance that was read
    by_name: dict[str, set[str]] = field(default_factory=dict)


class StudyFacts:
    """The values of open studies, as far as rules ask for them; each instance is read once.

    Nothing is read while instances arrive, and nothing at all if no rule asks.
    """

    def __init__(self, read: ReadValues, attributes: Collection[Attribute]):
        self._read = read
        self._names = frozenset(attribute.name for attribute in attributes)
        self._values: dict[str, _Values] = {}

    async def of(self, study_instance_uid: str) -> Facts:
        """The set of values of a study so far; raises ``LedgerFailed``."""
        if not self._names:
            return {}
        known = self._values.setdefault(study_instance_uid, _Values())
        more, known.through = await self._read(study_instance_uid, self._names, known.through)
        for name, values in more.items():
            known.by_name.setdefault(name, set()).update(values)
        return {name: tuple(values) for name, values in known.by_name.items()}

    def forget(self, study_instance_uid: str) -> None:
        """Nothing of the study is open any more."""
        self._values.pop(study_instance_uid, None)
