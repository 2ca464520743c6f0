"""Runs cases over plain blocking sockets against any host and port."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from tests.wire import encoding as wire
from tests.wire.expected import SILENT, Case, Expect, HalfClose, Others, Reset, Send
from tests.wire.seen import Answered, Closed, Other, Seen, Silent, read_control, read_response

ECHO_WITHIN_S = 2.0
PATIENCE_S = 5.0
MOMENT_S = 0.4
"""How long to listen for a peer that has nothing to say."""


@dataclass(frozen=True, slots=True)
class Target:
    """The Storage SCP that is measured."""

    host: str
    port: int
    called: str
    patience_s: float = PATIENCE_S
    echo_within_s: float = ECHO_WITHIN_S


@dataclass(frozen=True, slots=True)
class Report:
    """How a case went."""

    case: Case
    seen: tuple[Seen, ...]
    failure: str
    """What was not as it should be; empty: all was."""

    @property
    def passed(self) -> bool:
        """Whether all was as it should be."""
        return not self.failure


class Conversation:
    """One connection to the peer."""

    def __init__(self, target: Target):
        self._target = target
        self._socket = socket.create_connection((target.host, target.port), target.patience_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, step: Send) -> bool:
        """Send, and say whether all was taken; why not is noticed when the peer is listened to."""
        title = self._target.called.encode("latin-1")
        data = step.data.replace(wire.CALLED, title.ljust(16))
        data = data.replace(wire.CALLED_RIGHT, title.rjust(16))
        data = data.replace(wire.CALLED_MIDDLE, (b" " + title).ljust(16)[:16])
        data = data.replace(wire.CALLED_NUL, title.ljust(16, b"\0"))
        self._socket.settimeout(self._target.patience_s)
        with suppress(OSError):
            for piece in wire.pieces(data, step.size or max(len(data), 1)):
                self._socket.sendall(piece)
                if step.pause_s:
                    time.sleep(step.pause_s)  # noqa: TID251 - this is no event loop
            return True
        return False

    def reset(self) -> None:
        """Break the connection."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def finish_sending(self) -> None:
        """Close this direction."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def listen(self, patience_s: float) -> Seen:
        """What the peer does next."""
        self._socket.settimeout(patience_s)
        try:
            return self._read()
        except TimeoutError:
            return Silent()
        except (EOFError, OSError):
            return Closed()

    def _read(self) -> Seen:
        command, longest = b"", 0
        while True:
            kind, length = struct.unpack(">BxI", self._read_exactly(6))
            if length > 1 << 20:
                return Other(f"a PDU of {length} bytes")
            body = self._read_exactly(length)
            if kind != 4:
                return read_control(kind, body)
            longest = max(longest, length)
            position = 0
            while position + 6 <= len(body):
                size, context_id, control = struct.unpack_from(">IBB", body, position)
                if control & wire.COMMAND:
                    command += body[position + 6 : position + 4 + size]
                    if control & wire.LAST:
                        return read_response(context_id, command, longest)
                position += 4 + size

    def _read_exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._socket.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data


def run(case: Case, target: Target) -> Report:
    """Run a case to the first step that is not as it should be, then ask for an echo."""
    seen: list[Seen] = []
    failure = ""
    try:
        with ExitStack() as others, Conversation(target) as conversation:
            for step in case.steps:
                if isinstance(step, Others):
                    _bring(step, target, others)
                    continue
                failure = _follow(step, conversation, target, seen)
                if failure:
                    break
    except OSError as error:
        failure = f"cannot connect: {error}"
    unanswered = echo_failure(target)
    return Report(case, tuple(seen), "; ".join(filter(None, (failure, unanswered))))


def _bring(step: Others, target: Target, kept: ExitStack) -> None:
    """Let others connect; a peer that takes no more of them has the right to."""
    with suppress(OSError):
        for content in step.contents:
            with ExitStack() as briefly:
                other = (kept if step.open else briefly).enter_context(Conversation(target))
                other.send(Send(content))


def _follow(step: object, conversation: Conversation, target: Target, seen: list[Seen]) -> str:
    match step:
        case Send():
            conversation.send(step)
        case Reset():
            conversation.reset()
        case HalfClose():
            conversation.finish_sending()
        case Expect(outcomes):
            happened = conversation.listen(MOMENT_S if SILENT in outcomes else target.patience_s)
            seen.append(happened)
            if not any(outcome.matches(happened) for outcome in outcomes):
                return f"{happened}, not {step}"
    return ""


def echo_failure(target: Target) -> str:
    """Why a fresh C-ECHO is not answered in time; empty: it is."""
    deadline = time.monotonic() + target.echo_within_s
    request = wire.usual(wire.ECHO_CONTEXT)
    try:
        with Conversation(target) as conversation:
            conversation.send(Send(request))
            answer = conversation.listen(max(deadline - time.monotonic(), 0.01))
            conversation.send(Send(wire.echo()))
            echoed = conversation.listen(max(deadline - time.monotonic(), 0.01))
            conversation.send(Send(wire.RELEASE_RQ))
            conversation.listen(1.0)
    except OSError as error:
        return f"no echo: {error.strerror or error}"
    if isinstance(echoed, Answered) and echoed.status == 0:
        return ""
    return f"no echo: {answer}, {echoed}"
