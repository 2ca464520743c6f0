"""Candidate determination: which candidates get a complete revision, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """One candidate's part of a decision.

    ``instance_ids`` is ``None`` when the candidate gets every instance of the revision.
    """

    ae_title: str
    matched: bool
    reason: str
    priority: int
    required: bool
    instance_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for one revision, candidate by candidate, with the reasons."""

    choices: tuple[Choice, ...]

    @property
    def chosen(self) -> tuple[Choice, ...]:
        """The candidates that shall get something."""
        return tuple(choice for choice in self.choices if choice.matched)
