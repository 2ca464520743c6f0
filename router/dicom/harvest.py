"""What a walk brings home: which elements of a level are wanted, and their values as text."""

from __future__ import annotations

from dataclasses import dataclass, field

from router.dicom.scan_plan import ALWAYS, Node, Target, both
from router.dicom.text import DEFAULT_ENCODING, Encodings, encodings_of, values_of

VALUE_BYTES = 64
_NAMING = frozenset(attribute.name for attribute in ALWAYS)


@dataclass(slots=True)
class Level:
    """The data set or an item: what is wanted of it, and which private blocks it reserves."""

    node: Node | None
    creators: dict[int, str] = field(default_factory=dict)  # (group << 8 | block) to creator

    def target(self, tag: int) -> Target | None:
        """What is wanted of an element of this level."""
        node = self.node
        if node is None:
            return None
        target = node.elements.get(tag)
        if node.private and (tag >> 16) & 1:
            creator = self.creators.get((tag >> 16) << 8 | (tag >> 8 & 0xFF))
            private = node.private.get((tag >> 16, creator, tag & 0xFF)) if creator else None
            return both(target, private) if private is not None else target
        return target

    def is_creator(self, tag: int) -> bool:
        """Whether an element reserves a private block in which something may be wanted."""
        if self.node is None or not self.node.private or not (tag >> 16) & 1:
            return False
        return 0x10 <= tag & 0xFFFF <= 0xFF

    def reserve(self, tag: int, raw: bytes) -> None:
        """Remember a private creator (PS3.5 section 7.8.1)."""
        self.creators[(tag >> 16) << 8 | (tag & 0xFF)] = raw.decode("latin-1").strip(" \0")


class Harvest:
    """The values of the wanted elements; the character set is that of the data set itself.

    At most ``max_bytes`` of values are kept, each counted as ``VALUE_BYTES`` at least: thousands of
    items, or of elements that are all as long as they may be, must not fill the memory. The UIDs
    that name the instance are kept whatever came before them.
    """

    __slots__ = ("_encodings", "_room", "facts", "left_out")

    def __init__(self, max_bytes: int) -> None:
        self.facts: dict[str, tuple[str, ...]] = {}
        self.left_out = ""
        """The last attribute of which a value was not kept; empty: all were."""
        self._room = max_bytes
        self._encodings: Encodings = (DEFAULT_ENCODING,)

    def keep(
        self, target: Target, vr: str, raw: bytes, *, big_endian: bool, outermost: bool
    ) -> None:
        """Add the values of an element to those that its target has already."""
        kind = target.vr if vr in ("UN", "") and target.vr else vr or "LO"
        values: tuple[str, ...] | None = None
        for name in target.names:
            self._room -= max(len(raw), VALUE_BYTES)
            if self._room < 0 and (name not in _NAMING or name in self.facts):
                self.left_out = name
                return
            if values is None:
                values = values_of(kind, raw, self._encodings, big_endian=big_endian)
            self.facts[name] = self.facts.get(name, ()) + values
            if name == "SpecificCharacterSet" and outermost:
                self._encodings = encodings_of(values)
