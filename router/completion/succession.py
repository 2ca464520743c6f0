"""Revisions of one study are determined in the order in which they came."""

from __future__ import annotations

from router.domain.study import RevisionKey


class Succession:
    """The revisions that are still to be determined, and who waits behind whom.

    A later revision is an addition or a correction: its deliveries have to be queued behind those
    of the earlier one. An earlier one that fails again and again may be told to ``yield_to_later``.
    """

    def __init__(self) -> None:
        self._unfinished: dict[str, set[RevisionKey]] = {}
        self._yielding: set[RevisionKey] = set()
        self._behind: dict[RevisionKey, set[RevisionKey]] = {}

    def enter(self, revision: RevisionKey) -> None:
        """The revision is to be determined."""
        self._unfinished.setdefault(revision.study_instance_uid, set()).add(revision)

    def has_to_wait(self, revision: RevisionKey) -> bool:
        """Whether an earlier one goes first; then the revision waits until it is given back."""
        ahead = [
            one
            for one in self._unfinished.get(revision.study_instance_uid, ())
            if one.number < revision.number and one not in self._yielding
        ]
        if ahead:
            last = max(ahead, key=lambda one: one.number)
            self._behind.setdefault(last, set()).add(revision)
        return bool(ahead)

    def leave(self, revision: RevisionKey) -> set[RevisionKey]:
        """The revision is determined; those that waited behind it."""
        unfinished = self._unfinished.get(revision.study_instance_uid, set())
        unfinished.discard(revision)
        if not unfinished:
            self._unfinished.pop(revision.study_instance_uid, None)
        self._yielding.discard(revision)
        return self._behind.pop(revision, set())

    def yield_to_later(self, revision: RevisionKey) -> set[RevisionKey]:
        """The revision holds up no other from now on; those that waited behind it."""
        self._yielding.add(revision)
        return self._behind.pop(revision, set())
