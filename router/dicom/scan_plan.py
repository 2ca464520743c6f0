"""What a scan looks for, compiled once from attributes and used for every instance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from router.domain.attributes import BASE_ATTRIBUTES, Attribute, Step, parse_attribute

ALWAYS = tuple(
    parse_attribute(name)
    for name in (
        "SpecificCharacterSet",
        "SOPClassUID",
        "SOPInstanceUID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
    )
)

_BASE = frozenset(attribute.name for attribute in BASE_ATTRIBUTES)

PrivateKey = tuple[int, str, int]
"""Group, creator, low byte of the element."""


@dataclass(slots=True)
class Target:
    """What is wanted of one element: its values, or something in its items."""

    names: tuple[str, ...] = ()  # several: as of one item and of any, by tag and by creator
    vr: str = ""
    into: dict[int | None, Node] = field(default_factory=dict)  # item index, None for any

    @property
    def is_plain(self) -> bool:
        """Whether the values are all that is wanted."""
        return bool(self.names) and not self.into


@dataclass(slots=True)
class Node:
    """What is wanted at one level: of the data set, or of an item."""

    elements: dict[int, Target] = field(default_factory=dict)  # by tag
    private: dict[PrivateKey, Target] = field(default_factory=dict)

    def target(self, step: Step) -> Target:
        """The target of a step, made if it is not there."""
        if step.creator is not None:
            key = (step.group, step.creator, step.element)
            return self.private.setdefault(key, Target())
        return self.elements.setdefault((step.group << 16) | step.element, Target())


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """A tree of targets; immutable once compiled."""

    root: Node
    unanswered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The facts of a data set that has nothing of what is read beyond the base attributes.

    Kept with an instance below its own facts, they say that it was asked about these attributes.
    """

    @classmethod
    def compile(cls, attributes: Iterable[Attribute]) -> ScanPlan:
        """The plan for these attributes; the UIDs and the character set are always in it."""
        root = Node()
        wanted = {one.name: one for one in (*ALWAYS, *attributes) if not one.is_pseudo}
        for attribute in wanted.values():
            _insert(root, attribute)
        return cls(root, dict.fromkeys(sorted(wanted.keys() - _BASE), ()))


def _insert(root: Node, attribute: Attribute) -> None:
    node = root
    for step in attribute.steps[:-1]:
        node = node.target(step).into.setdefault(step.item, Node())
    leaf = node.target(attribute.steps[-1])
    leaf.names, leaf.vr = (attribute.name,), attribute.vr


def merged(nodes: list[Node]) -> Node | None:
    """One node that wants what all of these want."""
    if len(nodes) <= 1:
        return nodes[0] if nodes else None
    union = Node()
    for node in nodes:
        for tag, target in node.elements.items():
            union.elements[tag] = both(union.elements.get(tag), target)
        for key, target in node.private.items():
            union.private[key] = both(union.private.get(key), target)
    return union


def both(one: Target | None, other: Target) -> Target:
    """What wants what both of these want."""
    if one is None:
        return other
    into = dict(one.into)
    for item, node in other.into.items():
        into[item] = merged([into[item], node]) or node if item in into else node
    return Target(one.names + other.names, one.vr or other.vr, into)
