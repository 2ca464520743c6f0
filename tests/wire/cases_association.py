"""Association requests, right and odd (PS3.8 sections 7.1 and 9.3.2, PS3.7 annex D)."""

from __future__ import annotations

import struct

from tests.wire import encoding as wire
from tests.wire.encoding import (
    APPLICATION_ITEM,
    CT_CONTEXT,
    ECHO_CONTEXT,
    USER,
    VERIFICATION,
    context,
    item,
    request,
    user,
    usual,
)
from tests.wire.expected import (
    CLOSED,
    ECHOED,
    RELEASED,
    Case,
    Send,
    aborts,
    accepts,
    accepts_saying,
    accepts_somehow,
    accepts_syntax,
    accepts_with_items,
    answers,
    case,
    rejects,
)

PRIVATE = "1.2.840.999999.1.2.3"
MALFORMED = aborts(2, 0, 6)
TITLES = "PS3.8 9.3.2: AE titles"
CONTEXTS = "PS3.8 9.3.2.2: presentation contexts"
USER_ITEMS = "PS3.8 9.3.2.3, PS3.7 D.3.3: user information"

PLAIN = (
    case("a plain request", "PS3.8 9.3.2", request(), accepts(1, 3)),
    case("a request, an echo, a release", "PS3.8 7", request(), accepts(1, 3),
         wire.echo(), ECHOED, wire.RELEASE_RQ, RELEASED),
    case("a request and an echo in one write: Sta3 or Sta6", "PS3.8 9.2 Evt10",
         request() + wire.echo(), (accepts(1, 3), aborts(2, 2)), (ECHOED, CLOSED)),
    case("a request byte by byte", "PS3.8 9.3.2", Send(request(), 1, 0.0005), accepts(1, 3)),
    case("protocol version with other bits", "PS3.8 9.3.2", request(version=3), accepts(1, 3)),
    case("protocol version with all bits", "PS3.8 9.3.2", request(version=0xFFFF), accepts(1, 3)),
    case("protocol version 2 only", "PS3.8 9.3.4", request(version=2), rejects(1, 2, 2)),
    case("protocol version 0", "PS3.8 9.3.4", request(version=0), rejects(1, 2, 2)),
    case("another application context", "PS3.8 9.3.4",
         request(item(0x10, "1.2.3.4"), ECHO_CONTEXT, USER), rejects(1, 1, 2)),
    case("no application context", "PS3.8 9.3.4", request(ECHO_CONTEXT, USER),
         (rejects(1, 1, 2), MALFORMED)),
    case("an empty application context", "PS3.8 9.3.4",
         request(item(0x10), ECHO_CONTEXT, USER), (rejects(1, 1, 2), MALFORMED)),
    case("reserved bytes that are not zero", "PS3.8 9.3.2",
         request()[:1] + b"\xff" + request()[2:8] + b"\xff\xff" + request()[10:42]
         + b"\xaa" * 32 + request()[74:], accepts(1, 3)),
    case("the acceptance names the acceptor", "PS3.7 D.3.3.2", request(),
         accepts_with_items(0x51, 0x52, 0x55)),
)  # fmt: skip

AE_TITLES = (
    case("called AE title padded on the left", TITLES, request(called=wire.CALLED_RIGHT),
         accepts(1, 3)),
    case("called AE title padded with NUL", TITLES, request(called=wire.CALLED_NUL),
         (accepts(1, 3), rejects(1, 1, 7))),
    case("calling AE title padded on the left", TITLES, request(calling=b"WIRE".rjust(16)),
         accepts(1, 3)),
    case("an unknown called AE title", TITLES, request(called=b"NOBODY-IS-HERE  "),
         rejects(1, 1, 7)),
    case("called AE title in lower case", TITLES, request(called=b"nobody-is-here  "),
         rejects(1, 1, 7)),
    case("an empty called AE title", TITLES, request(called=b" " * 16), rejects(1, 1, 7)),
    case("called AE title between spaces", TITLES, request(called=wire.CALLED_MIDDLE),
         accepts(1, 3)),
    case("an empty calling AE title", TITLES, request(calling=b" " * 16), rejects(1, 1, 3)),
    case("a calling AE title of NUL", TITLES, request(calling=bytes(16)), rejects(1, 1, 3)),
    case("a calling AE title of 16 characters", TITLES, request(calling=b"ABCDEFGHIJKLMNOP"),
         accepts(1, 3)),
)  # fmt: skip

ORDER = (
    case("an unknown item", "PS3.8 9.3.1",
         request(APPLICATION_ITEM, item(0x7F, b"what?"), ECHO_CONTEXT, USER), accepts(1)),
    case("an unknown empty item at the end", "PS3.8 9.3.1",
         request(APPLICATION_ITEM, ECHO_CONTEXT, USER, item(0xFF)), accepts(1)),
    case("an unknown user sub-item", USER_ITEMS,
         usual(ECHO_CONTEXT, user=user(item(0x5F, b"what?"))), accepts(1)),
    case("an unknown sub-item in a context", CONTEXTS,
         usual(item(0x20, bytes((1, 0, 0, 0)) + item(0x77, b"?") + item(0x30, VERIFICATION)
                    + item(0x40, wire.IMPLICIT))), accepts(1)),
    case("user information first", "PS3.8 9.3.1",
         request(USER, ECHO_CONTEXT, APPLICATION_ITEM), accepts(1)),
    case("application context last", "PS3.8 9.3.1",
         request(ECHO_CONTEXT, USER, APPLICATION_ITEM), accepts(1)),
    case("transfer syntaxes before the abstract syntax", CONTEXTS,
         usual(item(0x20, bytes((1, 0, 0, 0)) + item(0x40, wire.IMPLICIT)
                    + item(0x30, VERIFICATION))), accepts(1)),
    case("context ids in falling order", CONTEXTS,
         usual(context(9, wire.CT), context(5, wire.MR), context(1, VERIFICATION)),
         accepts(1, 5, 9)),
)  # fmt: skip

PROPOSALS = (
    case("two contexts of one abstract syntax", CONTEXTS,
         usual(context(1, wire.CT), context(3, wire.CT, wire.EXPLICIT)), accepts(1, 3)),
    case("context id 255", CONTEXTS, usual(context(255, VERIFICATION)), accepts(255)),
    case("128 contexts", CONTEXTS,
         usual(*(context(number, wire.CT) for number in range(1, 256, 2))),
         accepts(*range(1, 256, 2))),
    case("127 contexts and an echo in the last", CONTEXTS,
         usual(*(context(number, wire.CT) for number in range(1, 253, 2)),
               context(253, VERIFICATION)),
         accepts(*range(1, 255, 2)), wire.echo(context_id=253), ECHOED),
    case("128 contexts with 38 transfer syntaxes each", CONTEXTS,
         usual(*(context(number, wire.CT, *[f"1.2.840.10008.1.2.4.{last}" for last in
                                            range(200, 237)], wire.IMPLICIT)
                 for number in range(1, 256, 2))), accepts_somehow()),
    case("an even context id", CONTEXTS, usual(ECHO_CONTEXT, context(2, wire.CT)),
         (accepts(1, refused={2: None}), MALFORMED)),
    case("context id 0", CONTEXTS, usual(ECHO_CONTEXT, context(0, wire.CT)),
         (accepts(1, refused={0: None}), MALFORMED)),
    case("a context id twice", CONTEXTS, usual(ECHO_CONTEXT, context(1, wire.CT)),
         (accepts(1), MALFORMED)),
    case("an abstract syntax that stores nothing", CONTEXTS,
         usual(ECHO_CONTEXT, context(3, wire.FILM_SESSION)), accepts(1, refused={3: 3})),
    case("only what is not supported", CONTEXTS, usual(context(1, wire.FILM_SESSION)),
         (accepts(refused={1: 3}), rejects(1, 1, 1))),
    case("an abstract syntax that is no UID", CONTEXTS,
         usual(ECHO_CONTEXT, context(3, "not a uid")), accepts(1, refused={3: 3})),
    case("a transfer syntax that is no UID", CONTEXTS,
         usual(ECHO_CONTEXT, context(3, wire.CT, "not a uid")), accepts(1, refused={3: 4})),
    case("a context without transfer syntaxes", CONTEXTS,
         usual(ECHO_CONTEXT, item(0x20, bytes((3, 0, 0, 0)) + item(0x30, wire.CT))),
         (accepts(1, refused={3: 4}), MALFORMED)),
    case("a context without abstract syntax", CONTEXTS,
         usual(ECHO_CONTEXT, item(0x20, bytes((3, 0, 0, 0)) + item(0x40, wire.IMPLICIT))),
         (accepts(1, refused={3: 3}), MALFORMED)),
    case("a context of nothing but its id", CONTEXTS,
         usual(ECHO_CONTEXT, item(0x20, bytes((3, 0, 0, 0)))),
         (accepts(1, refused={3: None}), MALFORMED)),
    case("no contexts at all", CONTEXTS, request(APPLICATION_ITEM, USER),
         (accepts(), rejects(1, 1, 1), MALFORMED)),
    case("explicit VR for verification", CONTEXTS,
         usual(context(1, VERIFICATION, wire.EXPLICIT)), accepts_syntax(1, wire.EXPLICIT),
         wire.echo(), ECHOED),
    case("one syntax of three is chosen", CONTEXTS,
         usual(context(1, wire.CT, wire.EXPLICIT, wire.IMPLICIT, wire.BIG_ENDIAN)),
         accepts_syntax(1, wire.EXPLICIT, wire.IMPLICIT, wire.BIG_ENDIAN)),
    case("only a compressed syntax", CONTEXTS,
         usual(ECHO_CONTEXT, context(3, wire.CT, wire.JPEG_LOSSLESS)), accepts(1, 3)),
    case("a transfer syntax of the future", CONTEXTS,
         usual(ECHO_CONTEXT, context(3, wire.CT, "1.2.840.10008.1.2.4.9999")), accepts(1, 3)),
    case("a private storage SOP class", CONTEXTS, usual(ECHO_CONTEXT, context(3, PRIVATE)),
         accepts(1, 3)),
    case("UIDs padded with NUL", CONTEXTS,
         usual(context(1, VERIFICATION + "\0", wire.IMPLICIT + "\0")), accepts(1)),
)  # fmt: skip

LENGTHS = (
    case("maximum length 0: no limit", USER_ITEMS, usual(ECHO_CONTEXT, user=user(size=0)),
         accepts(1), wire.echo(), ECHOED),
    case("maximum length 262,144, as dcmjs-dimse proposes", USER_ITEMS,
         usual(ECHO_CONTEXT, user=user(size=262_144)), accepts(1), wire.echo(), ECHOED),
    case("maximum length 46", USER_ITEMS, usual(ECHO_CONTEXT, user=user(size=46)),
         accepts(1), wire.echo(), answers(0x8030, 0, longest_pdu=46)),
    case("maximum length 16", USER_ITEMS, usual(ECHO_CONTEXT, user=user(size=16)),
         accepts(1), wire.echo(), answers(0x8030, 0, longest_pdu=16)),
    case("maximum length 7: one byte at a time", USER_ITEMS,
         usual(ECHO_CONTEXT, user=user(size=7)),
         accepts(1), wire.echo(), answers(0x8030, 0, longest_pdu=7)),
    case("maximum length 1: less than a PDV needs", USER_ITEMS,
         usual(ECHO_CONTEXT, user=user(size=1)), (accepts(1), rejects(1, 1, 1), aborts()),
         wire.echo(), (ECHOED, aborts(), CLOSED)),
    case("maximum length 4 GB", USER_ITEMS, usual(ECHO_CONTEXT, user=user(size=0xFFFFFFFF)),
         accepts(1), wire.echo(), ECHOED),
    case("no maximum length", USER_ITEMS, usual(ECHO_CONTEXT, user=user(size=None)),
         accepts(1), wire.echo(), ECHOED),
    case("maximum length twice", USER_ITEMS,
         usual(ECHO_CONTEXT, user=user(wire.max_length(32768))), (accepts(1), MALFORMED)),
    case("no user information", USER_ITEMS, request(APPLICATION_ITEM, ECHO_CONTEXT),
         (accepts(1), MALFORMED)),
    case("empty user information", USER_ITEMS, usual(ECHO_CONTEXT, user=item(0x50)),
         (accepts(1), MALFORMED)),
    case("an implementation version name of 40 characters", USER_ITEMS,
         usual(ECHO_CONTEXT, user=user(item(0x55, "V" * 40))), (accepts(1), MALFORMED)),
)  # fmt: skip

NEGOTIATION = (
    case("roles proposed for storage, both", "PS3.7 D.3.3.4",
         usual(ECHO_CONTEXT, CT_CONTEXT, user=user(wire.role(wire.CT, 1, 1))), accepts(1, 3),
         wire.echo(), ECHOED),
    case("the requestor may not be SCP of storage", "PS3.7 D.3.3.4",
         usual(CT_CONTEXT, user=user(wire.role(wire.CT, 1, 1))),
         accepts_saying(0x54, struct.pack(">H", len(wire.CT)) + wire.CT.encode() + b"\1\0",
                        None)),
    case("neither role", "PS3.7 D.3.3.4",
         usual(ECHO_CONTEXT, CT_CONTEXT, user=user(wire.role(wire.CT, 0, 0))),
         accepts_somehow()),
    case("a role for a class that is not proposed", "PS3.7 D.3.3.4",
         usual(ECHO_CONTEXT, user=user(wire.role(wire.MR, 1, 0))), accepts(1)),
    case("SOP class extended negotiation", "PS3.7 D.3.3.5",
         usual(ECHO_CONTEXT, CT_CONTEXT,
               user=user(item(0x56, struct.pack(">H", len(wire.CT)) + wire.CT.encode()
                              + b"\2\0\2\0\0\0"))), accepts(1, 3)),
    case("SOP class common extended negotiation", "PS3.7 D.3.3.6",
         usual(ECHO_CONTEXT, CT_CONTEXT,
               user=user(item(0x57, struct.pack(">H", len(wire.CT)) + wire.CT.encode()
                              + struct.pack(">H", 17) + b"1.2.840.10008.4.2"
                              + struct.pack(">H", 0)))), accepts(1, 3)),
    case("an unlimited operations window", "PS3.7 D.3.3.3",
         usual(ECHO_CONTEXT, user=user(item(0x53, bytes(4)))),
         accepts_saying(0x53, b"\0\1\0\1", None)),
    case("an operations window of five", "PS3.7 D.3.3.3",
         usual(ECHO_CONTEXT, user=user(item(0x53, b"\0\5\0\5"))),
         accepts_saying(0x53, b"\0\1\0\1", b"\0\5\0\1", None), wire.echo(), ECHOED),
    *(
        case(f"user identity of type {kind}", "PS3.7 D.3.3.7",
             usual(ECHO_CONTEXT, user=user(wire.identity(kind, b"someone", second))),
             accepts_saying(0x59, None), wire.echo(), ECHOED)
        for kind, second in ((1, b""), (2, b"secret"), (3, b""), (4, b""), (5, b""))
    ),
    case("a user identity that asks for an answer", "PS3.7 D.3.3.7",
         usual(ECHO_CONTEXT, user=user(wire.identity(2, b"someone", b"secret", answer=True))),
         accepts_saying(0x59, b"\0\0", None)),
    case("a user identity of unknown type", "PS3.7 D.3.3.7",
         usual(ECHO_CONTEXT, user=user(wire.identity(9, b"someone"))),
         (accepts(1), rejects(1, 1, 1), MALFORMED)),
    case("a user identity without anything", "PS3.7 D.3.3.7",
         usual(ECHO_CONTEXT, user=user(wire.identity(1, b""))), (accepts(1), MALFORMED)),
)  # fmt: skip

CASES: tuple[Case, ...] = (*PLAIN, *AE_TITLES, *ORDER, *PROPOSALS, *LENGTHS, *NEGOTIATION)
