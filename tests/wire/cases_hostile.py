"""What hostile or broken peers send: nothing of it is an association, or stays one."""

from __future__ import annotations

import random

from tests.wire import encoding as wire
from tests.wire.cases_pdata import after_acceptance
from tests.wire.encoding import (
    APPLICATION_ITEM,
    ECHO_CONTEXT,
    USER,
    VERIFICATION,
    context,
    item,
    p_data,
    pdu,
    pdv,
    request,
    user,
    usual,
)
from tests.wire.expected import (
    CLOSED,
    ECHOED,
    RELEASED,
    SILENT,
    Case,
    HalfClose,
    Others,
    Reset,
    Send,
    aborts,
    accepts,
    accepts_somehow,
    case,
    rejects,
)

ENDED = (aborts(), CLOSED)
WAITING = (SILENT, aborts(), CLOSED)
REFUSED = (aborts(), rejects(1, 1, 1), CLOSED)
NOT_DICOM = "hostile: not DICOM"
LENGTHS = "hostile: lengths"
UIDS = "hostile: UIDs and titles"
ENDINGS = "hostile: endings"
SLOW = "hostile: slow or silent"
INSTANCE = "1.2.826.99.3.1"
IMAGE = wire.image(INSTANCE, "1.2.826.99.3")
BEGUN = p_data(pdv(3, 3, wire.command(*wire.store_elements(INSTANCE)))) + p_data(
    pdv(3, 0, IMAGE[:-40])
)


def noise(seed: int, size: int = 4096) -> bytes:
    """Bytes that are random, and always the same."""
    return random.Random(seed).randbytes(size)


FOREIGN = (
    case("an HTTP request", NOT_DICOM, b"GET / HTTP/1.1\r\nHost: router\r\n\r\n", ENDED),
    case("a TLS hello", NOT_DICOM,
         bytes.fromhex("16030100f8010000f40303") + bytes(240), ENDED),
    case("an SSH banner", NOT_DICOM, b"SSH-2.0-OpenSSH_9.2p1\r\n", ENDED),
    case("an HL7 message", NOT_DICOM, b"\x0bMSH|^~\\&|A|B|C|D|20260101||ADT^A01|1|P|2.5\r\x1c\r",
         ENDED),
    *(case(f"random bytes {seed}", NOT_DICOM, noise(seed), ENDED) for seed in range(20, 24)),
    case("zero bytes", NOT_DICOM, bytes(4096), ENDED),
    case("bytes of FF", NOT_DICOM, b"\xff" * 4096, ENDED),
    after_acceptance("random bytes after the association", NOT_DICOM, b"\x80" + noise(1), ENDED),
    after_acceptance("random data in a P-DATA-TF", NOT_DICOM, p_data(pdv(1, 3, noise(2))), ENDED),
)  # fmt: skip

SIZES = (
    *(case(f"PDU type {kind} of length 0", LENGTHS, pdu(kind), ENDED) for kind in (1, 4)),
    case("a request of 4 GB", LENGTHS, pdu(1, bytes(64), length=0xFFFFFFFF), ENDED),
    case("a request whose length looks negative", LENGTHS,
         pdu(1, bytes(64), length=0x80000000), ENDED),
    after_acceptance("a release of 4 GB", LENGTHS, pdu(5, bytes(4), length=0xFFFFFFFF), ENDED),
    after_acceptance("an abort of 4 GB", LENGTHS, pdu(7, bytes(4), length=0xFFFFFFFF), ENDED),
    after_acceptance("data of 4 GB in a PDV of 4 GB", LENGTHS,
                     pdu(4, pdv(3, 0, bytes(64), length=0xFFFFFFFB), length=0xFFFFFFFF), WAITING),
    case("a request of 67 bytes", LENGTHS, pdu(1, request()[6:73]), ENDED),
    case("a request of 68 bytes", LENGTHS, pdu(1, request()[6:74]), (*REFUSED, rejects(1, 1, 2))),
    case("an item that overruns the request", LENGTHS,
         request(APPLICATION_ITEM, ECHO_CONTEXT, item(0x50, wire.max_length(1), length=9999)),
         REFUSED),
    case("a context that overruns the request", LENGTHS,
         request(APPLICATION_ITEM, USER, item(0x20, b"\1\0\0\0", length=0xFFFF)), REFUSED),
    case("a sub-item that overruns its context", LENGTHS,
         usual(item(0x20, bytes((1, 0, 0, 0)) + item(0x30, VERIFICATION, length=200))), REFUSED),
    case("a context of two bytes", LENGTHS, usual(item(0x20, b"\1\0")), REFUSED),
    case("a user sub-item that overruns", LENGTHS,
         usual(ECHO_CONTEXT, user=item(0x50, item(0x51, b"\0\0\1\0", length=99))), REFUSED),
    case("a maximum length of two bytes", LENGTHS,
         usual(ECHO_CONTEXT, user=item(0x50, item(0x51, b"\1\0"))), REFUSED),
    case("a role whose UID overruns", LENGTHS,
         usual(ECHO_CONTEXT, user=user(item(0x54, b"\xff\xff1.2"))), REFUSED),
    case("a user identity that overruns", LENGTHS,
         usual(ECHO_CONTEXT, user=user(item(0x58, b"\1\0\xff\xffme"))), REFUSED),
    case("an empty user identity", LENGTHS, usual(ECHO_CONTEXT, user=user(item(0x58))), REFUSED),
    case("10,000 contexts", LENGTHS, usual(*[context(1, VERIFICATION)] * 10_000),
         (*REFUSED, accepts_somehow())),
    case("129 contexts", LENGTHS,
         usual(*(context(2 * number % 256 + 1, wire.CT) for number in range(129))),
         (*REFUSED, accepts_somehow())),
    case("10,000 user items", LENGTHS,
         usual(ECHO_CONTEXT, user=item(0x50, item(0x5F, b"x") * 10_000)),
         (*REFUSED, accepts(1))),
    case("10,000 empty items", LENGTHS,
         request(APPLICATION_ITEM, *[item(0x7F)] * 10_000, ECHO_CONTEXT, USER),
         (*REFUSED, accepts(1))),
    case("10,000 transfer syntaxes in a context", LENGTHS,
         usual(item(0x20, bytes((1, 0, 0, 0)) + item(0x30, VERIFICATION)
                    + item(0x40, "1.2") * 9000)), (*REFUSED, accepts_somehow())),
    case("a request of 3 MB", LENGTHS,
         request(APPLICATION_ITEM, *[item(0x7F, bytes(60_000))] * 50, ECHO_CONTEXT, USER),
         (*REFUSED, accepts(1))),
    after_acceptance("10,000 empty fragments", LENGTHS, p_data(*[pdv(1, 1)] * 2000) * 5
                     + wire.echo(), (ECHOED, *ENDED)),
    after_acceptance("a PDU of 2,000 echoes", LENGTHS,
                     p_data(*[pdv(1, 3, wire.command(*wire.echo_elements()))] * 200) * 10,
                     (ECHOED, *ENDED)),
)  # fmt: skip

NAMES = (
    case("a UID of 65 characters", UIDS, usual(ECHO_CONTEXT, context(3, "1." * 32 + "1")),
         (accepts(1, refused={3: None}), *REFUSED)),
    case("a UID of 60,000 characters", UIDS, usual(ECHO_CONTEXT, context(3, "1" * 60_000)),
         (accepts(1, refused={3: None}), *REFUSED)),
    case("a UID with a path in it", UIDS, usual(ECHO_CONTEXT, context(3, "../../etc/passwd")),
         (accepts(1, refused={3: None}), *REFUSED)),
    case("a UID of bytes beyond ASCII", UIDS, usual(ECHO_CONTEXT, context(3, "1.2.\xe4\xff")),
         (accepts(1, refused={3: None}), *REFUSED)),
    case("a UID with a NUL inside", UIDS, usual(ECHO_CONTEXT, context(3, "1.2\0.3")),
         (accepts(1, refused={3: None}), *REFUSED)),
    case("a calling AE title with control characters", UIDS,
         request(calling=b"\x1b[2J\r\n\t\x07BELL\0\0  "), (accepts(1, 3), rejects(1, 1, 3))),
    case("a calling AE title beyond ASCII", UIDS, request(calling=b"\xff\xfe\x80" + b"\xe4" * 13),
         (accepts(1, 3), rejects(1, 1, 3))),
    case("a calling AE title with a backslash", UIDS, request(calling=b"A\\B".ljust(16)),
         (accepts(1, 3), rejects(1, 1, 3))),
    *(
        after_acceptance(f"a store of an instance called {shown}", UIDS,
                         wire.store(name, wire.image(name, "1.2.826.99.4")),
                         Send(wire.RELEASE_RQ))
        for shown, name in (("../../x", "../../x"), ("nothing but NUL", "\0\0"),
                            ("65 digits", "1" * 65), ("1,000 digits", "1" * 1000),
                            ("a shell command", "$(reboot)"))
    ),
)  # fmt: skip

ENDS = (
    case("connects and resets", ENDINGS, Reset()),
    case("connects and closes", ENDINGS, HalfClose(), (CLOSED, aborts())),
    case("half a request, then the end", ENDINGS, request()[:60], HalfClose(), (CLOSED, aborts())),
    case("half a request, then a reset", ENDINGS, request()[:60], Reset()),
    case("a request, then a reset", ENDINGS, request(), Reset()),
    after_acceptance("an echo, then a reset", ENDINGS, wire.echo(), Reset()),
    after_acceptance("an echo, then the end of sending", ENDINGS, wire.echo(), HalfClose(),
                     (ECHOED, CLOSED, aborts())),
    after_acceptance("a release in the middle of an object", ENDINGS, BEGUN, wire.RELEASE_RQ,
                     (RELEASED, *ENDED)),
    after_acceptance("a reset in the middle of an object", ENDINGS, BEGUN, Reset()),
    after_acceptance("the end in the middle of an object", ENDINGS, BEGUN, HalfClose(), ENDED),
    after_acceptance("a new request in the middle of an object", ENDINGS, BEGUN, request(), ENDED),
    after_acceptance("a reset in the middle of a PDU header", ENDINGS, b"\4\0\0", Reset()),
)  # fmt: skip

WAITS = (
    case("connects and says nothing", SLOW, SILENT),
    case("half a PDU header, then nothing", SLOW, request()[:3], SILENT),
    case("half a request, then nothing", SLOW, request()[:60], SILENT),
    case("a byte a moment", SLOW, Send(request()[:20], 1, 0.05), SILENT),
    after_acceptance("an association, then nothing", SLOW, SILENT),
    after_acceptance("half an object, then nothing", SLOW, BEGUN, SILENT),
    after_acceptance("asks, and does not listen", SLOW,
                     b"".join(map(wire.echo, range(1, 2000)))),
)  # fmt: skip

ONE_STORE = request() + wire.store(INSTANCE, IMAGE[:200])
CROWDS = (
    case("a request cut at each of its bytes", ENDINGS,
         Others(tuple(request()[:end] for end in range(1, len(request()))))),
    case("a store cut at each of its bytes", ENDINGS,
         Others(tuple(ONE_STORE[:end] for end in range(len(request()), len(ONE_STORE))))),
    case("1,000 connections that say nothing", SLOW, Others((b"",) * 1000, open=True)),
    case("500 associations at once", SLOW, Others((request(),) * 500, open=True)),
)  # fmt: skip

CASES: tuple[Case, ...] = (*FOREIGN, *SIZES, *NAMES, *ENDS, *WAITS, *CROWDS)
