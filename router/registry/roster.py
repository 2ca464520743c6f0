"""Who is known at the moment, in memory: static candidates, registrations, what they make."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import replace

import anyio

from router.domain.candidate import Candidate
from router.domain.errors import StateConflict, UnknownCandidate
from router.registry.entry import Entry
from router.registry.overlay import NOTHING_SAID, registered_candidate, static_candidate
from router.settings.candidate import CandidateSection


class Roster:
    """Entries by AE title, the candidates that they make, and who waits for a change of either."""

    def __init__(self, yaml: Mapping[str, CandidateSection], associations: int):
        """``associations`` to a candidate, where nobody says how many."""
        self._yaml = yaml
        self._associations = associations
        self._entries: dict[str, Entry] = {}
        self._candidates = {
            ae_title: static_candidate(ae_title, section, associations)
            for ae_title, section in yaml.items()
            if section.is_static
        }
        self._static = dict(self._candidates)
        self._snapshot: tuple[Candidate, ...] | None = None
        self._version = 0
        self._rerouted = anyio.Event()
        self._stirred = anyio.Event()

    def candidates(self) -> tuple[Candidate, ...]:
        """All candidates by AE title; made anew only after a change."""
        if self._snapshot is None:
            self._snapshot = tuple(self._candidates[title] for title in sorted(self._candidates))
        return self._snapshot

    def candidate(self, ae_title: str) -> Candidate:
        """One candidate; raises ``UnknownCandidate``."""
        try:
            return self._candidates[ae_title]
        except KeyError:
            raise UnknownCandidate(f"no candidate {ae_title} is known; register it") from None

    def find(self, ae_title: str) -> Entry | None:
        """The registration of this AE title, if there is one."""
        return self._entries.get(ae_title)

    def entry(self, ae_title: str) -> Entry:
        """The same; raises ``UnknownCandidate``, or ``StateConflict`` for a static candidate."""
        entry = self._entries.get(ae_title)
        if entry is not None:
            return entry
        if ae_title in self._static:
            raise StateConflict(f"{ae_title} is a static candidate: change it in the routing YAML")
        raise UnknownCandidate(f"no candidate {ae_title} is registered; register it (again)")

    def leased(self) -> Iterator[Entry]:
        """The registrations whose lease counts: those of static candidates have none."""
        return (entry for title, entry in self._entries.items() if title not in self._static)

    def put(self, entry: Entry) -> None:
        """Take an entry in, in place of the one of its AE title."""
        ae_title = entry.request.aet
        self._entries[ae_title] = entry
        section = self._yaml.get(ae_title, NOTHING_SAID)
        self._replace(
            ae_title,
            registered_candidate(entry.request, entry.standing, section, self._associations),
        )

    def drop(self, ae_title: str) -> None:
        """Forget a registration; a static candidate of its AE title stays."""
        del self._entries[ae_title]
        self._replace(ae_title, self._static.get(ae_title))

    async def changes(self) -> AsyncGenerator[tuple[Candidate, ...], None]:
        """The candidates now, and after each change of what is sent where.

        Changes between two looks are taken together, so a slow listener misses none and holds
        nobody up. A renewed lease is no such change.
        """
        while True:
            seen = self._version
            yield self.candidates()
            while seen == self._version:
                await self._rerouted.wait()

    @property
    def stirred(self) -> anyio.Event:
        """Set as soon as any entry changes, its lease included."""
        return self._stirred

    def _replace(self, ae_title: str, candidate: Candidate | None) -> None:
        before = self._candidates.pop(ae_title, None)
        if candidate is not None:
            self._candidates[ae_title] = candidate
        self._snapshot = None
        self._stirred.set()
        self._stirred = anyio.Event()
        # a writer that registers anew has started anew: what waits for it need not wait longer
        if _without_lease(before) != _without_lease(candidate):
            self._version += 1
            self._rerouted.set()
            self._rerouted = anyio.Event()


def _without_lease(candidate: Candidate | None) -> Candidate | None:
    if candidate is None:
        return None
    return replace(candidate, lease_expires_at=None)
