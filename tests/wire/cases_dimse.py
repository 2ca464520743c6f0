"""Command sets and operations, right and odd (PS3.7 sections 9, 10, annexes C and E)."""

from __future__ import annotations

import struct

from tests.wire import encoding as wire
from tests.wire.cases_pdata import after_acceptance
from tests.wire.encoding import (
    command,
    echo_elements,
    element,
    message,
    store_elements,
    ui,
    us,
)
from tests.wire.expected import (
    CLOSED,
    ECHOED,
    RELEASED,
    SILENT,
    STORED,
    Case,
    aborts,
    answers,
    fails_store,
)

ROOT = "1.2.826.99.2"
BROKEN = aborts()
SETS = "PS3.7 6.3, annex E: command sets"
OPERATIONS = "PS3.7 9, annex C: operations"
STORAGE = "PS3.4 B.2.3: statuses of C-STORE"
HEAD = echo_elements()
MISSING = 0x0120
LIVES_ON = wire.echo(77), answers(0x8030, 0, message_id=77)


def study(number: int) -> str:
    """A Study Instance UID of these cases."""
    return f"{ROOT}.{number}"


def instance(number: int) -> str:
    """A SOP Instance UID in that study."""
    return f"{ROOT}.{number}.9"


def plain(number: int) -> bytes:
    """A small CT of that study."""
    return wire.image(instance(number), study(number))


ECHOES = (
    after_acceptance("a group length that is wrong", SETS,
                     message(1, command(*HEAD, group_length=3)), (ECHOED, BROKEN)),
    after_acceptance("no group length", SETS, message(1, b"".join(HEAD)), (ECHOED, BROKEN)),
    after_acceptance("an unknown element of group 0000", SETS,
                     message(1, command(*HEAD, element(0, 0x9999, b"??"))), ECHOED),
    after_acceptance("retired elements of group 0000", SETS,
                     message(1, command(ui(2, wire.VERIFICATION), element(0, 0x10, b"ACR-NEMA"),
                                        *HEAD[1:], element(0, 0x5110, b"x "))), ECHOED),
    after_acceptance("elements out of order", SETS, message(1, command(*reversed(HEAD))),
                     (ECHOED, BROKEN)),
    after_acceptance("an element twice", SETS, message(1, command(*HEAD, HEAD[2])),
                     (ECHOED, BROKEN)),
    after_acceptance("a command set in Explicit VR", SETS,
                     message(1, wire.as_explicit([(0, 2, "UI", wire.padded(wire.VERIFICATION)),
                                                  (0, 0x100, "US", b"\x30\0"),
                                                  (0, 0x110, "US", b"\1\0"),
                                                  (0, 0x800, "US", b"\1\1")])), (BROKEN, CLOSED)),
    after_acceptance("an element that overruns the command set", SETS,
                     message(1, command(*HEAD[:-1], element(0, 0x800, b"\1\1", length=200))),
                     BROKEN),
    after_acceptance("an element of 4 GB", SETS,
                     message(1, command(*HEAD[:-1], element(0, 0x9999, b"", length=wire.WHOLE))),
                     BROKEN),
    after_acceptance("a command set that ends inside an element header", SETS,
                     message(1, command(*HEAD) + b"\0\0\1"), BROKEN),
    after_acceptance("another group in the command set", SETS,
                     message(1, command(*HEAD, element(8, 0x18, b"1.2 "))), (BROKEN, ECHOED)),
    after_acceptance("an empty command set", SETS, message(1, b""), (BROKEN, CLOSED)),
    after_acceptance("no Command Field", SETS, message(1, command(HEAD[0], *HEAD[2:])),
                     (BROKEN, CLOSED)),
    after_acceptance("no Message ID", SETS, message(1, command(*HEAD[:2], HEAD[3])),
                     (BROKEN, CLOSED)),
    after_acceptance("a Message ID of four bytes", SETS,
                     message(1, command(*HEAD[:2], element(0, 0x110, bytes(4)), HEAD[3])),
                     (BROKEN, CLOSED)),
    after_acceptance("no SOP class in an echo", SETS, message(1, command(*HEAD[1:])),
                     (answers(0x8030, 0, MISSING), BROKEN)),
    after_acceptance("no Command Data Set Type", SETS, message(1, command(*HEAD[:-1])),
                     (answers(0x8030, 0, MISSING), BROKEN)),
    after_acceptance("Message ID 0", OPERATIONS, wire.echo(0),
                     answers(0x8030, 0, message_id=0)),
    after_acceptance("Message ID 65,535", OPERATIONS, wire.echo(65535),
                     answers(0x8030, 0, message_id=65535)),
    after_acceptance("an echo that brings a data set", OPERATIONS,
                     message(1, command(*HEAD[:-1], us(0x800, 0)), bytes(100)),
                     (ECHOED, answers(0x8030, 0x0212), BROKEN)),
    after_acceptance("an echo of another SOP class", OPERATIONS,
                     message(1, command(*echo_elements(1, wire.CT))),
                     answers(0x8030, 0, 0x0118, 0x0122)),
    after_acceptance("two echoes of one Message ID", OPERATIONS, wire.echo(5), ECHOED,
                     wire.echo(5), answers(0x8030, 0, 0x0210)),
)  # fmt: skip

STORES = (
    after_acceptance("a store", STORAGE, wire.store(instance(1), plain(1)), STORED, *LIVES_ON),
    after_acceptance("the same store twice", STORAGE, wire.store(instance(2), plain(2)), STORED,
                     wire.store(instance(2), plain(2)), answers(0x8001, 0, 0x0111, 0xB000)),
    after_acceptance("two stores without waiting", "PS3.7 D.3.3.3",
                     wire.store(instance(3), plain(3), message_id=1)
                     + wire.store(instance(4), plain(4), message_id=2),
                     answers(0x8001, 0, message_id=1), answers(0x8001, 0, message_id=2)),
    after_acceptance("a store without SOP class", STORAGE,
                     message(3, command(*store_elements(instance(5))[1:]), plain(5)),
                     (answers(0x8001, MISSING), BROKEN)),
    after_acceptance("a store without SOP instance", STORAGE,
                     message(3, command(*store_elements(instance(6))[:-1]), plain(6)),
                     (answers(0x8001, MISSING), BROKEN)),
    after_acceptance("a store with an empty SOP instance", STORAGE,
                     message(3, command(*store_elements("")), plain(7)),
                     (answers(0x8001, MISSING, 0x0117), fails_store(), BROKEN)),
    after_acceptance("a store without priority", STORAGE,
                     message(3, command(*(one for one in store_elements(instance(8))
                                          if one[2:4] != b"\0\7")), plain(8)),
                     (STORED, answers(0x8001, MISSING), BROKEN)),
    after_acceptance("a store with an unknown priority", STORAGE,
                     message(3, command(*store_elements(instance(9))[:3], us(0x700, 99),
                                        *store_elements(instance(9))[4:]), plain(9)),
                     (STORED, fails_store(), BROKEN)),
    after_acceptance("a store of a move", STORAGE,
                     message(3, command(*store_elements(instance(10)),
                                        element(0, 0x1030, b"MOVER "), us(0x1031, 7)),
                             plain(10)), STORED),
    after_acceptance("a store that announces no data set", STORAGE,
                     message(3, command(*store_elements(instance(11), has_data=0x0101))),
                     (fails_store(), BROKEN)),
    after_acceptance("a store with an empty data set", STORAGE,
                     wire.store(instance(12), b""), (fails_store(), BROKEN)),
    after_acceptance("a store whose data set has another instance", STORAGE,
                     wire.store(instance(13), plain(14)), fails_store()),
    after_acceptance("a store whose data set has another class", STORAGE,
                     wire.store(instance(15), wire.image(instance(15), study(15), wire.MR)),
                     fails_store()),
    after_acceptance("a store of another class than its context", STORAGE,
                     message(3, command(*store_elements(instance(16), wire.MR)),
                             wire.image(instance(16), study(16), wire.MR)),
                     (answers(0x8001, 0x0122, 0x0118, 0x0119, 0xA900), STORED, BROKEN)),
    after_acceptance("a store in the context of verification", STORAGE,
                     message(1, command(*store_elements(instance(17))), plain(17)),
                     (answers(0x8001, 0x0122, 0x0118, 0x0211, 0xA900), BROKEN)),
    after_acceptance("a store whose data set names no study", STORAGE,
                     wire.store(instance(18), wire.as_implicit(
                         wire.image_elements(instance(18), "")[:2])), fails_store()),
    after_acceptance("a store with trailing padding", STORAGE,
                     wire.store(instance(19), plain(19) + element(0xFFFC, 0xFFFC, bytes(100))),
                     STORED),
    after_acceptance("a store with a group length in the data set", STORAGE,
                     wire.store(instance(20), element(8, 0, struct.pack("<I", 99)) + plain(20)),
                     STORED),
    after_acceptance("a cancel behind a store", OPERATIONS,
                     wire.store(instance(21), plain(21))
                     + message(3, command(us(0x100, wire.CANCEL_RQ), us(0x120, 1),
                                          us(0x800, 0x0101))), STORED, *LIVES_ON),
)  # fmt: skip


def operation(number: int, *, with_data: bool = False, context_id: int = 3) -> bytes:
    """A request of some operation about a CT."""
    has_data = 0 if with_data else 0x0101
    elements = [ui(2, wire.CT), ui(3, wire.CT), us(0x100, number), us(0x110, 9), us(0x700, 0),
                us(0x800, has_data), ui(0x1000, "1.2.3"), ui(0x1001, "1.2.3"), us(0x1002, 1),
                us(0x1008, 1)]  # fmt: skip
    return message(context_id, command(*elements), plain(99) if with_data else None)


NAMES = {
    0x0020: "C-FIND", 0x0010: "C-GET", 0x0021: "C-MOVE", 0x0100: "N-EVENT-REPORT",
    0x0110: "N-GET", 0x0120: "N-SET", 0x0130: "N-ACTION", 0x0140: "N-CREATE",
    0x0150: "N-DELETE", 0x0666: "an operation of nobody",
}  # fmt: skip
REFUSALS = (0x0211, MISSING, 0x0122, 0x0123, 0x0118, 0x0110, 0x0112, 0x0105, 0x0113, 0xA900, 0xC000)

OTHERS = (
    *(
        after_acceptance(f"{name} in a context of storage", "PS3.7 C.5: 0211", operation(number),
                         answers(number | 0x8000, *REFUSALS), *LIVES_ON)
        for number, name in NAMES.items()
    ),
    after_acceptance("C-FIND with an identifier", "PS3.7 C.5: 0211",
                     operation(0x0020, with_data=True), answers(0x8020, *REFUSALS), *LIVES_ON),
    after_acceptance("N-CREATE with a data set", "PS3.7 C.5: 0211",
                     operation(0x0140, with_data=True), answers(0x8140, *REFUSALS), *LIVES_ON),
    after_acceptance("a cancel of nothing", OPERATIONS,
                     message(1, command(us(0x100, wire.CANCEL_RQ), us(0x120, 1),
                                        us(0x800, 0x0101))), SILENT, *LIVES_ON),
    after_acceptance("an answer that nobody asked for", OPERATIONS,
                     message(1, command(ui(2, wire.VERIFICATION), us(0x100, 0x8030),
                                        us(0x120, 1), us(0x800, 0x0101), us(0x900, 0))),
                     (SILENT, BROKEN, CLOSED)),
    after_acceptance("an answer without status", OPERATIONS,
                     message(1, command(us(0x100, 0x8001), us(0x120, 1), us(0x800, 0x0101))),
                     (SILENT, BROKEN, CLOSED)),
    after_acceptance("an association that only releases", "PS3.8 7.2", wire.RELEASE_RQ, RELEASED),
)  # fmt: skip

CASES: tuple[Case, ...] = (*ECHOES, *STORES, *OTHERS)
