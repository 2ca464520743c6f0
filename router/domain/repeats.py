"""An instance that comes again: with the same bytes, or with others under the same name.

PS3.3 C.12.1.1.1 lets a SOP Instance UID name one instance for ever. Modalities repeat what they
are not sure of, and some correct an instance without a new UID; the second is a conflict, which
only policy can decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from router.domain.instance import Disposition, Instance


class OnConflict(StrEnum):
    """Which bytes are delivered where instances with one SOP Instance UID differ."""

    KEEP_FIRST = "keep-first"
    KEEP_LAST = "keep-last"
    KEEP_BOTH = "keep-both"  # one after the other, in order of arrival


@dataclass(frozen=True, slots=True)
class Content:
    """What makes two data sets the same."""

    checksum: str
    length: int
    transfer_syntax_uid: str

    @classmethod
    def of(cls, instance: Instance) -> Content:
        """The content of an instance."""
        return cls(
            instance.checksum,
            instance.ref.data_set_length,
            instance.identity.transfer_syntax_uid,
        )


@dataclass(frozen=True, slots=True)
class Copy:
    """An accepted instance that the spool holds, as the next one of its name is compared to it."""

    content: Content
    received_at: datetime
    is_open: bool  # its revision is: it can still be taken out


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an instance whose name is known."""

    disposition: Disposition
    reason: str = ""
    supersedes_open: bool = False
    """Whether the copies in the open revision are not to be delivered any more."""
    conflicts_with: Copy | None = None


def judge(
    arrival: Instance, held: Sequence[Copy], policy: OnConflict, *, in_order: bool = True
) -> Verdict:
    """Decide about an accepted arrival, given what is held of the same name, oldest first.

    As instances arrive, the arrival is the last; no clock has a say, for clocks step back. While
    a ledger is rebuilt from the spool, segment by segment, they come out of order (``in_order`` is
    false): then the time of reception decides, so that the same bytes are kept as before.
    """
    content, received_at = Content.of(arrival), arrival.provenance.received_at
    copies = held if in_order else sorted(held, key=lambda copy: copy.received_at)
    first, last = copies[0], copies[-1]
    same = [copy for copy in copies if copy.content == content]
    if last in same or (same and policy is not OnConflict.KEEP_LAST):
        return Verdict(
            Disposition.DUPLICATE,
            f"the same bytes as the instance received at {same[-1].received_at.isoformat()}",
        )
    if policy is OnConflict.KEEP_BOTH:
        reason = f"{_differs(content, last)}; both are delivered"
        return Verdict(Disposition.ACCEPTED, reason, conflicts_with=last)
    if policy is OnConflict.KEEP_LAST:
        rival, is_kept = last, in_order or received_at >= last.received_at
    else:
        is_earlier = not in_order and received_at < first.received_at
        rival, is_kept = first, is_earlier and first.is_open
    if is_kept:
        reason = f"{_differs(content, rival)}; these are delivered ({policy})"
        return Verdict(Disposition.ACCEPTED, reason, supersedes_open=True, conflicts_with=rival)
    reason = f"{_differs(content, rival)}; those are delivered ({policy})"
    return Verdict(Disposition.SUPERSEDED, reason, conflicts_with=rival)


def _differs(content: Content, rival: Copy) -> str:
    return (
        f"other bytes (checksum {content.checksum}) than the instance of the same SOP Instance UID "
        f"received at {rival.received_at.isoformat()} (checksum {rival.content.checksum})"
    )
