"""How deep in a data set a walk is: the sequences and items that it has entered and not left."""

from __future__ import annotations

from dataclasses import dataclass

from router.dicom.harvest import Level
from router.dicom.scan_plan import Target

BYTES_PER_LEVEL = 16
"""An item header and the header of a sequence within: a level of nesting has at least these."""


@dataclass(slots=True)
class Frame:
    """The data set, a sequence, an item, or the fragments of encapsulated pixel data."""

    end: int  # position after it; -1 for undefined length
    implicit: bool
    big_endian: bool
    level: Level | None = None  # of the data set or an item; of nothing else
    target: Target | None = None  # of a sequence
    is_item: bool = False  # or the data set: elements follow, not items
    is_fragments: bool = False
    is_guess: bool = False  # bytes of unknown VR that look like a sequence, and may be none
    items: int = 0  # of a sequence, so far


class Nesting:
    """A stack of frames: the data set at the bottom, then sequences and items in turn."""

    __slots__ = ("_max_depth", "frames")

    def __init__(self, data_set: Frame, max_depth: int) -> None:
        self.frames = [data_set]
        """The innermost last."""
        self._max_depth = max_depth

    @property
    def depth(self) -> int:
        """How many sequences the walk is in."""
        return len(self.frames) // 2

    @property
    def is_outermost(self) -> bool:
        """Whether the walk is in no sequence."""
        return len(self.frames) == 1

    def close_ended(self, position: int) -> None:
        """Leave what ends here by its length; the data set has none."""
        frames = self.frames
        while frames[-1].end == position:
            frames.pop()

    def fits(self, end: int) -> bool:
        """Whether something that ends there lies within the sequence and the item around it."""
        return all(frame.end < 0 or end <= frame.end for frame in self.frames[-2:])

    def has_room(self) -> bool:
        """Whether another sequence may be entered."""
        return self.depth < self._max_depth

    def may_be_too_deep(self, length: int) -> bool:
        """Whether a sequence of so many bytes could hold more levels than are allowed."""
        return self.depth + 1 + length // BYTES_PER_LEVEL > self._max_depth

    def leave_guess(self) -> int | None:
        """Leave the innermost sequence that was only guessed to be one; where it ends."""
        for at in range(len(self.frames) - 1, 0, -1):
            frame = self.frames[at]
            if frame.is_guess:
                del self.frames[at:]
                return frame.end
        return None
