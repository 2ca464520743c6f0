"""Every event that a peer can bring about, in every state of an acceptor (PS3.8 table 9-10)."""

from __future__ import annotations

from tests.wire import encoding as wire
from tests.wire.encoding import ABORT, ASSOCIATE_AC, ASSOCIATE_RJ, RELEASE_RP, RELEASE_RQ, request
from tests.wire.expected import (
    CLOSED,
    ECHOED,
    RELEASED,
    SILENT,
    Case,
    HalfClose,
    aborts,
    accepts,
    case,
    rejects,
)

UNEXPECTED = aborts(2, 2)
BEFORE = (UNEXPECTED, aborts(0))
"""In Sta2 the action is AA-1, an A-ABORT of the service user; the provider's says more."""

REJECTED = request(version=2), rejects(1, 2, 2)
STRANGE = wire.pdu(0x55, bytes(4))
DATA = wire.echo()

AWAITING_REQUEST = (
    case("Sta2: an acceptance", "PS3.8 9.2 Sta2 Evt3", ASSOCIATE_AC, BEFORE),
    case("Sta2: a rejection", "PS3.8 9.2 Sta2 Evt4", ASSOCIATE_RJ, BEFORE),
    case("Sta2: data", "PS3.8 9.2 Sta2 Evt10", DATA, BEFORE),
    case("Sta2: a release", "PS3.8 9.2 Sta2 Evt12", RELEASE_RQ, BEFORE),
    case("Sta2: a confirmation of release", "PS3.8 9.2 Sta2 Evt13", RELEASE_RP, BEFORE),
    case("Sta2: an abort", "PS3.8 9.2 Sta2 Evt16", ABORT, CLOSED),
    case("Sta2: the connection closes", "PS3.8 9.2 Sta2 Evt17", HalfClose(), (CLOSED, aborts())),
    case("Sta2: an unknown PDU", "PS3.8 9.2 Sta2 Evt19", STRANGE, (aborts(2, 1), aborts(0))),
    case("Sta2: ARTIM expires", "PS3.8 9.2 Sta2 Evt18", CLOSED),
)

ESTABLISHED = (
    case("Sta6: another request", "PS3.8 9.2 Sta6 Evt6", request(), accepts(1, 3), request(),
         UNEXPECTED),
    case("Sta6: an acceptance", "PS3.8 9.2 Sta6 Evt3", request(), accepts(1, 3), ASSOCIATE_AC,
         UNEXPECTED),
    case("Sta6: a rejection", "PS3.8 9.2 Sta6 Evt4", request(), accepts(1, 3), ASSOCIATE_RJ,
         UNEXPECTED),
    case("Sta6: a confirmation of release", "PS3.8 9.2 Sta6 Evt13", request(), accepts(1, 3),
         RELEASE_RP, UNEXPECTED),
    case("Sta6: an abort", "PS3.8 9.2 Sta6 Evt16", request(), accepts(1, 3), ABORT, CLOSED),
    case("Sta6: the connection closes", "PS3.8 9.2 Sta6 Evt17", request(), accepts(1, 3),
         HalfClose(), (CLOSED, aborts())),
    case("Sta6: an abort with unknown source and reason", "PS3.8 9.3.8", request(),
         accepts(1, 3), wire.pdu(7, b"\0\0\x63\x63"), CLOSED),
    case("Sta6: an unknown PDU", "PS3.8 9.2 Sta6 Evt19", request(), accepts(1, 3), STRANGE,
         aborts(2, 1)),
    case("Sta6: PDU type 0", "PS3.8 9.2 Sta6 Evt19", request(), accepts(1, 3),
         wire.pdu(0, bytes(4)), aborts(2, 1)),
    case("Sta6: a release", "PS3.8 9.2 Sta6 Evt12", request(), accepts(1, 3), RELEASE_RQ,
         RELEASED),
    case("Sta6: a release with reserved bytes set", "PS3.8 9.3.6", request(), accepts(1, 3),
         wire.pdu(5, b"\xff" * 4), RELEASED),
    case("Sta6: a release without its reserved field", "PS3.8 9.3.6", request(), accepts(1, 3),
         wire.pdu(5), (RELEASED, aborts(2, 6))),
    case("Sta6: a release of 10,000 bytes", "PS3.8 9.3.6", request(), accepts(1, 3),
         wire.pdu(5, bytes(10_000)), (RELEASED, aborts(2, 6))),
    case("Sta3: a release in one write with the request", "PS3.8 9.2 Sta3 Evt12",
         request() + RELEASE_RQ, (accepts(1, 3), UNEXPECTED), (RELEASED, CLOSED)),
    case("Sta6: a release behind an echo in one write", "PS3.8 9.2", request(), accepts(1, 3),
         wire.echo() + RELEASE_RQ, ECHOED, RELEASED),
    case("Sta6: a release byte by byte", "PS3.8 9.2", request(), accepts(1, 3),
         *(RELEASE_RQ[at : at + 1] for at in range(10)), RELEASED),
)  # fmt: skip

AWAITING_CLOSE = (
    case("Sta13: a request after a rejection", "PS3.8 9.2 Sta13 Evt6", *REJECTED, request(),
         (aborts(2, 2), CLOSED)),
    case("Sta13: an acceptance after a rejection", "PS3.8 9.2 Sta13 Evt3", *REJECTED,
         ASSOCIATE_AC, (SILENT, CLOSED)),
    case("Sta13: a rejection after a rejection", "PS3.8 9.2 Sta13 Evt4", *REJECTED,
         ASSOCIATE_RJ, (SILENT, CLOSED)),
    case("Sta13: a confirmation of release after a rejection", "PS3.8 9.2 Sta13 Evt13",
         *REJECTED, RELEASE_RP, (SILENT, CLOSED)),
    case("Sta13: the connection closes after a rejection", "PS3.8 9.2 Sta13 Evt17", *REJECTED,
         HalfClose(), CLOSED),
    case("Sta13: data after a rejection", "PS3.8 9.2 Sta13 Evt10", *REJECTED, DATA,
         (SILENT, CLOSED)),
    case("Sta13: a release after a rejection", "PS3.8 9.2 Sta13 Evt12", *REJECTED, RELEASE_RQ,
         (SILENT, CLOSED)),
    case("Sta13: an abort after a rejection", "PS3.8 9.2 Sta13 Evt16", *REJECTED, ABORT, CLOSED),
    case("Sta13: an unknown PDU after a rejection", "PS3.8 9.2 Sta13 Evt19", *REJECTED, STRANGE,
         (aborts(2, 1), aborts(2, 0), CLOSED)),
    case("Sta13: ARTIM expires after a rejection", "PS3.8 9.2 Sta13 Evt18", *REJECTED, CLOSED),
    case("Sta13: ARTIM expires after a release", "PS3.8 9.2 Sta13 Evt18", request(),
         accepts(1, 3), RELEASE_RQ, RELEASED, CLOSED),
    case("Sta13: ARTIM expires after an abort", "PS3.8 9.2 Sta13 Evt18", request(),
         accepts(1, 3), ASSOCIATE_AC, UNEXPECTED, CLOSED),
    case("Sta13: data after a release", "PS3.8 9.2 Sta13 Evt10", request(), accepts(1, 3),
         RELEASE_RQ, RELEASED, DATA, (SILENT, CLOSED)),
    case("Sta13: a request after a release", "PS3.8 9.2 Sta13 Evt6", request(), accepts(1, 3),
         RELEASE_RQ, RELEASED, request(), (aborts(2, 2), CLOSED)),
    case("Sta13: a release after an abort", "PS3.8 9.2 Sta13 Evt12", request(), accepts(1, 3),
         ASSOCIATE_AC, UNEXPECTED, RELEASE_RQ, (SILENT, CLOSED)),
)  # fmt: skip

CASES: tuple[Case, ...] = (*AWAITING_REQUEST, *ESTABLISHED, *AWAITING_CLOSE)
