"""What the negotiation of an association costs the event loop."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

from pynetdicom import AllStoragePresentationContexts
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.presentation import build_context, negotiate_as_acceptor

from bench.plan import Figures, Scale, Scenario, Trial, Value, at_most
from router.dicom import uids
from router.dicom.association import Association
from router.dicom.events import AssociateRequested
from router.dicom.negotiation import AcceptancePolicy, negotiate
from router.dicom.pdu import AssociateAC, AssociateRQ, ProposedContext, UserInformation, encode

CONTEXTS = 120
MS = "ms"
FIRST = "router, never heard before"
REPETITIONS = 50
CLASSES = [str(one.abstract_syntax) for one in AllStoragePresentationContexts[:CONTEXTS]]
HOW = f"""\
From the bytes of an A-ASSOCIATE-RQ with {CONTEXTS} presentation contexts of three transfer
syntaxes each, as a PACS proposes them, to the bytes of the answer, in one process without a
socket; the median of {REPETITIONS}. A sender proposes the same contexts each time, and the router
remembers them; of those that were "never heard before", none is remembered. pynetdicom decodes,
negotiates and encodes with its own classes."""


def scenario(scale: Scale) -> Scenario:
    """The scenario."""
    load = f"{CONTEXTS} presentation contexts"
    again = [proposal()] * REPETITIONS
    new = [proposal(f"1.2.{number}") for number in range(REPETITIONS)]
    trial = Trial(
        load,
        {
            "router": partial(measure, accept, again),
            FIRST: partial(measure, accept, new),
            "pynetdicom": partial(measure, accept_with_pynetdicom, again),
        },
    )
    return Scenario(
        "negotiation",
        "Negotiation on the event loop",
        HOW,
        [trial],
        [Value(load, MS, who, at_most(1.0, " ms")) for who in ("router", FIRST)],
    )


def measure(work: Callable[[bytes], bytes], requests: Sequence[bytes]) -> Figures:
    """Median time of a negotiation."""
    times = []
    for request in requests:
        began = time.perf_counter()
        work(request)
        times.append(time.perf_counter() - began)
    return {MS: statistics.median(times) * 1000}


def proposal(third: str = "1.2.840.10008.1.2.4.70") -> bytes:
    """The request, with this transfer syntax as the third of each context."""
    syntaxes = (uids.EXPLICIT_VR_LITTLE_ENDIAN, uids.IMPLICIT_VR_LITTLE_ENDIAN, third)
    contexts = tuple(
        ProposedContext(2 * number + 1, sop_class, syntaxes)
        for number, sop_class in enumerate(CLASSES)
    )
    user = UserInformation(max_length=16384, implementation_class_uid="1.2.3")
    request = AssociateRQ("ROUTER", "PACS", contexts, user)
    assert len(contexts) == CONTEXTS
    return encode(request)


def accept(request: bytes) -> bytes:
    """As the acceptor does it."""
    association = Association.accepting(0.0, artim_s=30.0)
    association.receive(memoryview(request), 0.0)
    (event,) = association.take_events()
    assert isinstance(event, AssociateRequested)
    answer = negotiate(event.request, AcceptancePolicy(ae_titles=frozenset({"ROUTER"})))
    assert isinstance(answer, AssociateAC)
    association.accept(answer, 0.0)
    return association.data_to_send()


_SUPPORTED = [
    build_context(one, [uids.EXPLICIT_VR_LITTLE_ENDIAN, uids.IMPLICIT_VR_LITTLE_ENDIAN])
    for one in CLASSES
]


def accept_with_pynetdicom(request: bytes) -> bytes:
    """As pynetdicom does it, on the thread of an association."""
    pdu = A_ASSOCIATE_RQ()
    pdu.decode(request)
    primitive = pdu.to_primitive()
    contexts, _ = negotiate_as_acceptor(primitive.presentation_context_definition_list, _SUPPORTED)
    primitive.presentation_context_definition_results_list = contexts
    primitive.result = 0
    answer = A_ASSOCIATE_AC()
    answer.from_primitive(primitive)
    encoded: bytes = answer.encode()
    return encoded
