"""How messages may be cut into PDVs, PDUs and segments, and how not (PS3.8 9.3.5, annex E)."""

from __future__ import annotations

import struct

from tests.wire import encoding as wire
from tests.wire.encoding import COMMAND, LAST, p_data, pdv, pieces, request
from tests.wire.expected import (
    CLOSED,
    ECHOED,
    RELEASED,
    SILENT,
    STORED,
    Case,
    Outcome,
    Send,
    Step,
    aborts,
    accepts,
    answers,
    case,
)

ECHO = wire.command(*wire.echo_elements())
INSTANCE = "1.2.826.99.1"
STORE = wire.command(*wire.store_elements(INSTANCE))
IMAGE = wire.image(INSTANCE, "1.2.826.99")
FRAGMENTS = "PS3.8 annex E.2: fragments"
HEADERS = "PS3.8 9.3.5.1: PDV items"
UNEXPECTED = aborts(2, 5, 2, 6, 0)
MALFORMED = aborts(2, 6, 0)


def after_acceptance(
    name: str, section: str, *steps: bytes | Outcome | tuple[Outcome, ...] | Step
) -> Case:
    """A case on an association with contexts 1 (verification) and 3 (CT)."""
    return case(name, section, request(), accepts(1, 3), *steps)


def commands(parts: list[bytes], context_id: int = 1) -> list[bytes]:
    """PDVs of the parts of a command set."""
    last = len(parts) - 1
    return [pdv(context_id, COMMAND | LAST * (at == last), part) for at, part in enumerate(parts)]


def data(parts: list[bytes], context_id: int = 3) -> list[bytes]:
    """PDVs of the parts of a data set."""
    last = len(parts) - 1
    return [pdv(context_id, LAST * (at == last), part) for at, part in enumerate(parts)]


RIGHT = (
    after_acceptance("a command in one PDV", FRAGMENTS, p_data(*commands([ECHO])), ECHOED),
    after_acceptance("a command in PDUs of one byte", FRAGMENTS,
                     b"".join(map(p_data, commands(pieces(ECHO, 1)))), ECHOED),
    after_acceptance("a command in PDVs of one byte in one PDU", FRAGMENTS,
                     p_data(*commands(pieces(ECHO, 1))), ECHOED),
    after_acceptance("a command whose last fragment is empty", FRAGMENTS,
                     p_data(*commands([ECHO, b""])), ECHOED),
    after_acceptance("a command whose first fragment is empty", FRAGMENTS,
                     p_data(*commands([b"", ECHO])), ECHOED),
    after_acceptance("a command with an empty fragment in the middle", FRAGMENTS,
                     b"".join(map(p_data, commands([ECHO[:9], b"", ECHO[9:]]))), ECHOED),
    after_acceptance("reserved bits of the message control header", FRAGMENTS,
                     p_data(pdv(1, 0xFC | COMMAND | LAST, ECHO)), (ECHOED, MALFORMED)),
    after_acceptance("a reserved byte of the PDU header", HEADERS,
                     b"\4\xff" + p_data(*commands([ECHO]))[2:], ECHOED),
    after_acceptance("a command and its data set in one PDU", FRAGMENTS,
                     p_data(*commands([STORE], 3), *data([IMAGE])), STORED),
    after_acceptance("a data set in PDUs of one byte", FRAGMENTS,
                     p_data(*commands([STORE], 3)),
                     b"".join(map(p_data, data(pieces(IMAGE, 1)))), STORED),
    after_acceptance("a data set in PDVs of two bytes in one PDU", FRAGMENTS,
                     p_data(*commands([STORE], 3)), p_data(*data(pieces(IMAGE, 2))), STORED),
    after_acceptance("a data set whose last fragment is empty", FRAGMENTS,
                     p_data(*commands([STORE], 3)), p_data(*data([IMAGE])[:-1], pdv(3, 0, IMAGE)),
                     p_data(pdv(3, LAST)), STORED),
    after_acceptance("a PDU as long as was allowed", FRAGMENTS, p_data(*commands([STORE], 3)),
                     p_data(pdv(3, 0, IMAGE), pdv(3, LAST, wire.element(
                         0xFFFC, 0xFFFC, bytes(16384 - len(IMAGE) - 20)))), STORED),
    after_acceptance("two echoes in one PDU", FRAGMENTS,
                     p_data(*commands([ECHO]), *commands([ECHO])), ECHOED, ECHOED),
    after_acceptance("a hundred echoes without waiting", "PS3.7 D.3.3.3",
                     b"".join(wire.echo(number) for number in range(1, 101)),
                     *(answers(0x8030, 0, message_id=number) for number in range(1, 101)),
                     wire.RELEASE_RQ, RELEASED),
    after_acceptance("an echo byte by byte", "PS3.8 9.1", Send(wire.echo(), 1, 0.001), ECHOED),
    after_acceptance("segments that end inside each header", "PS3.8 9.1",
                     Send(wire.store(INSTANCE, IMAGE), 5, 0.0005), STORED),
)  # fmt: skip

WRONG_ORDER = (
    after_acceptance("data of a context that was never proposed", FRAGMENTS,
                     p_data(pdv(99, COMMAND | LAST, ECHO)), aborts(2, 5, 6, 0)),
    after_acceptance("data of context 0", FRAGMENTS, p_data(pdv(0, COMMAND | LAST, ECHO)),
                     aborts(2, 5, 6, 0)),
    case("data of a context that was refused", FRAGMENTS,
         wire.usual(wire.ECHO_CONTEXT, wire.context(3, wire.FILM_SESSION)),
         accepts(1, refused={3: 3}), p_data(pdv(3, COMMAND | LAST, ECHO)), aborts(2, 5, 6, 0)),
    after_acceptance("a data set without a command", FRAGMENTS, p_data(*data([IMAGE])),
                     UNEXPECTED),
    after_acceptance("a data set for a command that has none", FRAGMENTS,
                     p_data(*commands([ECHO]), *data([IMAGE], 1)), (ECHOED, UNEXPECTED),
                     (UNEXPECTED, CLOSED)),
    after_acceptance("a command in the middle of a data set", FRAGMENTS,
                     p_data(*commands([STORE], 3)), p_data(pdv(3, 0, IMAGE[:20])),
                     p_data(*commands([ECHO])), UNEXPECTED),
    after_acceptance("a data fragment in the middle of a command", FRAGMENTS,
                     p_data(pdv(1, COMMAND, ECHO[:8])), p_data(pdv(1, LAST, ECHO[8:])),
                     UNEXPECTED),
    after_acceptance("a data set in another context than its command", FRAGMENTS,
                     p_data(*commands([STORE], 3)), p_data(*data([IMAGE], 1)), UNEXPECTED),
    after_acceptance("a command that changes its context", FRAGMENTS,
                     p_data(pdv(1, COMMAND, ECHO[:8])), p_data(pdv(3, COMMAND | LAST, ECHO[8:])),
                     UNEXPECTED),
    after_acceptance("a release in the middle of a command", "PS3.8 9.2 Sta6 Evt12",
                     p_data(pdv(1, COMMAND, ECHO[:8])), wire.RELEASE_RQ, (RELEASED, aborts())),
    after_acceptance("an abort in the middle of a data set", "PS3.8 9.2 Sta6 Evt16",
                     p_data(*commands([STORE], 3)), p_data(pdv(3, 0, IMAGE[:20])), wire.ABORT,
                     CLOSED),
)  # fmt: skip

WRONG_LENGTHS = (
    *(
        after_acceptance(f"a P-DATA-TF of {size} bytes", HEADERS, wire.pdu(4, bytes(size)),
                         MALFORMED)
        for size in (0, 3, 5)
    ),
    after_acceptance("a PDV of length 0", HEADERS, p_data(pdv(1, 3, b"", length=0)), MALFORMED),
    after_acceptance("a PDV of length 1", HEADERS, p_data(struct.pack(">IB", 1, 1) + b"\3"),
                     MALFORMED),
    after_acceptance("a PDV one byte longer than its PDU", HEADERS,
                     p_data(pdv(1, 3, ECHO, length=len(ECHO) + 3)), MALFORMED),
    after_acceptance("a PDV of 4 GB in a small PDU", HEADERS,
                     p_data(pdv(1, 3, ECHO, length=0xFFFFFFFF)), MALFORMED),
    after_acceptance("a PDV whose length looks negative", HEADERS,
                     p_data(pdv(1, 3, ECHO, length=0x80000000)), MALFORMED),
    *(
        after_acceptance(f"{size} bytes behind the last PDV of a PDU", HEADERS,
                         p_data(*commands([ECHO]), bytes(size)),
                         (MALFORMED, ECHOED), (MALFORMED, CLOSED))
        for size in (1, 5)
    ),
    after_acceptance("a PDU longer than was allowed", "PS3.8 D.1", p_data(*commands([STORE], 3)),
                     p_data(pdv(3, 0, IMAGE), pdv(3, LAST, wire.element(
                         0xFFFC, 0xFFFC, bytes(300_000)))), (STORED, MALFORMED, CLOSED)),
    after_acceptance("a P-DATA-TF of 4 GB that begins well", HEADERS,
                     wire.pdu(4, *[pdv(1, 3, ECHO)], length=0xFFFFFFF0),
                     (ECHOED, MALFORMED, CLOSED, SILENT)),
    after_acceptance("a command set without end", HEADERS,
                     b"".join(p_data(pdv(1, COMMAND, bytes(16000))) for _ in range(40)),
                     (MALFORMED, CLOSED)),
)  # fmt: skip

CASES: tuple[Case, ...] = (*RIGHT, *WRONG_ORDER, *WRONG_LENGTHS)
