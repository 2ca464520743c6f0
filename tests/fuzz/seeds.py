"""What fuzzing starts from: the wire cases, the heads of pydicom's files, and our own words."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cache

from router.dicom import commitment, pdu
from router.domain.commitment import CommitmentReport, CommitmentRequest, Reference
from tests.corpus import nested_sequences, real_files
from tests.fuzz.targets import MAX_BYTES, SYNTAXES
from tests.wire import encoding as wire
from tests.wire.cases import CASES
from tests.wire.expected import Send

_CRITERIA = (
    "MODALITY|IN|CR,DX",
    r"MODALITY\|NOT_IN\|CR,DX",
    "PatientName|MATCHES|^山.*$",
    "StudyDate|BETWEEN|20260101,20261231",
    "RequestAttributesSequence[0].ScheduledProcedureStepID|EQUAL|STEP1",
    '(0009,"GEMS_IDEN_01",02)|NOT_NULL',
    "InstanceNumber|GREATER|10",
)
_COMPOSED = (
    '["MODALITY|IN|CR,DX", {"not": "SOURCE_AE_TITLE|EQUAL|CT1"}]',
    '{"any": [{"routableAttribute": "PatientID", "operator": "IN", "value": ["a", 1]}]}',
    '{"attribute": "StudyDate", "operator": "LESS", "value": 20260301}',
)


@cache
def seeds() -> Mapping[str, tuple[bytes, ...]]:
    """Inputs by target."""
    streams = _streams()
    return {
        "pdu-reader": tuple(b"\7" + stream for stream in streams),
        "association": tuple(
            bytes((number % 9, number % 4)) + stream for number, stream in enumerate(streams)
        ),
        "negotiation": tuple(stream[6:] for stream in streams if stream[:1] == b"\1"),
        "command-sets": _command_sets(),
        "scanner": _data_sets(),
        "part10": tuple(_head(file.path.read_bytes())[132:] for file in real_files()[:12]),
        "text": tuple(bytes((vr, vr * 17, 0)) + _TEXT for vr in range(10)),
        "commitments": _commitments(),
        "spool-records": (b"\0", b"\1\0\x50\1", b"\3\0\1\2\1\1\3\0\x90\7tail"),
        "criteria": (
            *(b"\0" + text.encode() for text in _CRITERIA),
            *(b"\1" + text.encode() for text in _COMPOSED),
        ),
    }


_TEXT = b"M\xfcller\\\x1b$B;3ED\x1b(B=\xb1\xe2\xc0\xcc^^ \0"


def _head(content: bytes) -> bytes:
    return content[: MAX_BYTES - 8]


def _streams() -> list[bytes]:
    """What the wire cases send, each as one stream."""
    streams = []
    for case in CASES:
        sent = b"".join(step.data for step in case.steps if isinstance(step, Send))
        for mark in (wire.CALLED, wire.CALLED_RIGHT, wire.CALLED_NUL):
            sent = sent.replace(mark, b"ROUTER".ljust(16))
        if 0 < len(sent) < MAX_BYTES:
            streams.append(sent)
    accepted = wire.ASSOCIATE_AC.replace(wire.CALLED, b"ROUTER".ljust(16))
    return [*streams, accepted, wire.RELEASE_RP, pdu.encode(pdu.AssociateRJ(1, 1, 7))]


def _command_sets() -> tuple[bytes, ...]:
    store = wire.command(*wire.store_elements("1.2.3.4"))
    echo = wire.command(*wire.echo_elements())
    fields = (0x0020, 0x0100, 0x0130, 0x8001, 0x8020, 0x8100, 0x8130, 0x0FFF, 0x0021)
    others = (
        wire.command(
            *(wire.ui(number, "1.2.3") for number in (2, 3, 0x1000, 0x1001)),
            *(wire.us(number, 1) for number in (0x110, 0x120, 0x900, 0x1002, 0x1008)),
            wire.us(0x100, field),
        )
        for field in fields
    )
    return (store, echo, *others)


def _data_sets() -> tuple[bytes, ...]:
    known = {syntax: number for number, syntax in enumerate(SYNTAXES)}
    files = tuple(
        bytes((known.get(file.transfer_syntax_uid, 4), 0)) + _head(file.data_set)
        for file in real_files()
        if len(file.data_set) < 3 * MAX_BYTES
    )
    plain = wire.as_explicit(wire.image_elements("1.2.3.4", "1.2.3"))
    nested = struct.pack("<HH2sHI", 8, 0x1110, b"SQ", 0, 0xFFFFFFFF) + nested_sequences(3)
    return (
        *files[:24],
        b"\3\1" + plain,
        b"\0\5" + wire.image("1.2.3.4"),
        b"\1\3" + nested,
        b"\0\3" + nested_sequences(4, explicit=False),
    )


def _commitments() -> tuple[bytes, ...]:
    reference = Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.3")
    written = []
    for number, syntax in enumerate(SYNTAXES[:3]):
        request = CommitmentRequest("1.2.3.4", (reference, reference))
        report = CommitmentReport("1.2.3.4", (reference,), ((reference, 0x0112),))
        written.append(bytes((number,)) + commitment.write_request(request, syntax))
        written.append(bytes((number,)) + commitment.write_report(report, syntax))
    return tuple(written)
