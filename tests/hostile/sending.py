"""Sends one object over a plain socket, and says what came back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from tests.hostile.expected import HostileObject, Uids
from tests.wire import encoding as wire
from tests.wire.encoding import COMMAND, LAST, p_data, pdv
from tests.wire.expected import Send
from tests.wire.runner import Conversation, Target
from tests.wire.seen import Accepted, Answered, Closed, Seen

PIECE = 16_000
ANSWERS_WITHIN_S = 60.0
CONTEXT = 3


def pieces(content: Iterable[bytes]) -> Iterator[bytes]:
    """The content in fragments that any receiver takes."""
    held = bytearray()
    for one in content:
        held += one
        start = 0
        while len(held) - start > PIECE:
            yield bytes(held[start : start + PIECE])
            start += PIECE
        del held[:start]
    yield bytes(held)


def pdus(hostile: HostileObject, uids: Uids) -> Iterator[bytes]:
    """The C-STORE request, and the data set behind it."""
    instance = hostile.announced or uids.instance
    command = wire.command(*wire.store_elements(instance))
    yield p_data(pdv(CONTEXT, COMMAND | LAST, command))
    parts = pieces(hostile.content(uids))
    waiting = next(parts)
    for part in chain(parts, [None]):
        yield p_data(pdv(CONTEXT, 0 if part is not None else LAST, waiting))
        waiting = part or b""


def send(
    hostile: HostileObject, uids: Uids, target: Target, within_s: float = ANSWERS_WITHIN_S
) -> Seen:
    """What the receiver does: answers, aborts, hangs up, or nothing within the time."""
    proposed = wire.usual(wire.ECHO_CONTEXT, wire.context(CONTEXT, wire.CT, hostile.syntax))
    try:
        with Conversation(target) as conversation:
            conversation.send(Send(proposed))
            answer = conversation.listen(target.patience_s)
            if not isinstance(answer, Accepted) or answer.results.get(CONTEXT) != 0:
                return answer
            all(conversation.send(Send(each)) for each in pdus(hostile, uids))
            stored = conversation.listen(within_s)
            if isinstance(stored, Answered):
                conversation.send(Send(wire.RELEASE_RQ))
                conversation.listen(target.patience_s)
            return stored
    except OSError:
        return Closed()
