"""Cases as values: what is sent, what is waited for, and which outcomes are right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.wire.seen import (
    Aborted,
    Accepted,
    Answered,
    Closed,
    Rejected,
    ReleaseConfirmed,
    Seen,
    Silent,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One thing that a peer may do next."""

    text: str
    matches: Callable[[Seen], bool]

    def __str__(self) -> str:
        return self.text


def accepts(*accepted: int, refused: dict[int, int | None] | None = None) -> Outcome:
    """An A-ASSOCIATE-AC: these contexts accepted, each with one syntax; others refused so.

    None as a result stands for any refusal.
    """
    refusals = refused or {}

    def matches(seen: Seen) -> bool:
        return (
            isinstance(seen, Accepted)
            and set(seen.results) == {*accepted, *refusals}
            and all(
                seen.results[number] == 0 and len(seen.syntaxes[number]) == 1 for number in accepted
            )
            and all(
                seen.results[number] == result if result is not None else seen.results[number] > 0
                for number, result in refusals.items()
            )
        )

    listed = [f"{number}:0" for number in accepted[:4]] + ["..."] * (len(accepted) > 4)
    listed += [f"{number}:{'>0' if why is None else why}" for number, why in refusals.items()]
    return Outcome(f"accepted ({' '.join(listed)})", matches)


def accepts_somehow() -> Outcome:
    """An A-ASSOCIATE-AC, whatever the results."""
    return Outcome("accepted", lambda seen: isinstance(seen, Accepted))


def accepts_saying(kind: int, *values: bytes | None) -> Outcome:
    """An A-ASSOCIATE-AC with one of these as its user item of a type; None: without one."""

    def matches(seen: Seen) -> bool:
        if not isinstance(seen, Accepted):
            return False
        found = seen.items.get(kind, ())
        return found[0] in values if found else None in values

    return Outcome(f"accepted with item {kind:02X}", matches)


def accepts_with_items(*kinds: int) -> Outcome:
    """An A-ASSOCIATE-AC with user items of these types, none of them empty."""

    def matches(seen: Seen) -> bool:
        return isinstance(seen, Accepted) and all(seen.items.get(kind, (b"",))[0] for kind in kinds)

    return Outcome(f"accepted with items {' '.join(f'{kind:02X}' for kind in kinds)}", matches)


def accepts_syntax(context_id: int, *syntaxes: str) -> Outcome:
    """An A-ASSOCIATE-AC that takes a context in exactly one of these transfer syntaxes."""

    def matches(seen: Seen) -> bool:
        if not isinstance(seen, Accepted) or seen.results.get(context_id) != 0:
            return False
        chosen = seen.syntaxes[context_id]
        return len(chosen) == 1 and chosen[0].rstrip("\0") in syntaxes

    return Outcome(f"accepted ({context_id}: one syntax)", matches)


def rejects(result: int, source: int, reason: int) -> Outcome:
    """An A-ASSOCIATE-RJ."""
    wanted = Rejected(result, source, reason)
    return Outcome(str(wanted), lambda seen: seen == wanted)


def aborts(source: int | None = None, *reasons: int) -> Outcome:
    """An A-ABORT: of this source, for one of these reasons; of any, where nothing is said."""

    def matches(seen: Seen) -> bool:
        if not isinstance(seen, Aborted):
            return False
        return source is None or (seen.source == source and (not reasons or seen.reason in reasons))

    shown = "" if source is None else f" {source}/{','.join(map(str, reasons)) or '*'}"
    return Outcome(f"aborted{shown}", matches)


def answers(
    command: int, *statuses: int, message_id: int | None = None, longest_pdu: int | None = None
) -> Outcome:
    """A response with one of these statuses (any, where none is given)."""

    def matches(seen: Seen) -> bool:
        return (
            isinstance(seen, Answered)
            and seen.command == command
            and (not statuses or seen.status in statuses)
            and message_id in (None, seen.message_id)
            and (longest_pdu is None or seen.longest_pdu <= longest_pdu)
        )

    shown = ",".join(f"{status:04X}" for status in statuses) or "any"
    return Outcome(f"{command:04X} status {shown}", matches)


def fails_store() -> Outcome:
    """A C-STORE response with a failure."""

    def matches(seen: Seen) -> bool:
        if not isinstance(seen, Answered) or seen.command != 0x8001:
            return False
        return seen.status != 0 and not 0xB000 <= seen.status <= 0xBFFF

    return Outcome("8001 failure", matches)


RELEASED = Outcome("released", lambda seen: isinstance(seen, ReleaseConfirmed))
CLOSED = Outcome("closed", lambda seen: isinstance(seen, Closed))
SILENT = Outcome("silence", lambda seen: isinstance(seen, Silent))
ECHOED = answers(0x8030, 0)
STORED = answers(0x8001, 0)


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes to send; in pieces of ``size`` with ``pause_s`` between them, if given."""

    data: bytes
    size: int = 0
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Expect:
    """Wait for what the peer does next: one of these.

    With ``SILENT`` among them nothing is waited for longer than a moment.
    """

    outcomes: tuple[Outcome, ...]

    def __str__(self) -> str:
        return " or ".join(map(str, self.outcomes))


@dataclass(frozen=True, slots=True)
class Reset:
    """Break the connection (RST)."""


@dataclass(frozen=True, slots=True)
class HalfClose:
    """Send no more (FIN), and listen on."""


@dataclass(frozen=True, slots=True)
class Others:
    """Connections of others, each of which sends what is here for it.

    They are closed one after the other, or stay ``open`` until the case is over.
    """

    contents: tuple[bytes, ...]
    open: bool = False


Step = Send | Expect | Reset | HalfClose | Others


@dataclass(frozen=True, slots=True)
class Case:
    """One conversation over one connection; after it, a C-ECHO on a new one is answered."""

    name: str
    section: str
    steps: tuple[Step, ...]

    @property
    def is_hostile(self) -> bool:
        """Whether it is one of those that hostile or broken peers bring about."""
        return self.section.startswith("hostile")


def case(name: str, section: str, *steps: bytes | Outcome | tuple[Outcome, ...] | Step) -> Case:
    """A case: bytes are sent, outcomes (one, or a tuple of allowed ones) are waited for."""
    return Case(name, section, tuple(map(_step, steps)))


def _step(step: bytes | Outcome | tuple[Outcome, ...] | Step) -> Step:
    if isinstance(step, bytes):
        return Send(step)
    if isinstance(step, Outcome):
        return Expect((step,))
    return Expect(step) if isinstance(step, tuple) else step
