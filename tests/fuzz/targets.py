"""What is fuzzed: functions of bytes that raise nothing, whatever the bytes.

Each one holds a parser to what it promises (it refuses with its own error, or what it returns is
sound) and, where there is one, to an independent judge: pydicom, pynetdicom, or itself on the same
bytes cut elsewhere. The first bytes choose how; the rest is what a peer might send.
"""

from __future__ import annotations

import json
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.filereader import read_dataset

from router.dicom import commandset, commitment, dimse, dimse_codec, pdu, uids
from router.dicom.association import Association
from router.dicom.character_sets import encodings_of
from router.dicom.findings import FindingKind
from router.dicom.negotiation import ACCEPTED, AcceptancePolicy, accepted_contexts, negotiate
from router.dicom.part10 import read_file_header
from router.dicom.pdata import ControlBody, Fragments, Malformed, PDUReader
from router.dicom.pdu import AssociateAC, AssociateRJ, AssociateRQ
from router.dicom.scan_plan import ScanPlan
from router.dicom.scan_stored import scan_stored
from router.dicom.scanner import DataSetScanner, ScanLimits, ScanResult
from router.dicom.state import Role
from router.dicom.text import DEFAULT_ENCODING, values_of
from router.domain.attributes import BASE_ATTRIBUTES, parse_attribute
from router.domain.criteria import as_json, attributes_of, explain, parse_criteria
from router.domain.errors import CannotUnderstand, InvalidCriteria
from router.domain.evaluation import deciding
from router.domain.instance import Instance
from router.spool.recovery import intact_instances
from tests.dicom.judges import decoded_by_pynetdicom
from tests.dicom.pair import acceptance, association_request
from tests.fuzz.owner import converse
from tests.fuzz.segment import a_segment

Target = Callable[[bytes], None]

MAX_BYTES = 4096
"""Longest input; what needs more of them to go wrong is for the wire cases and other tests."""


# -- the upper layer ------------------------------------------------------------------------------


def pdu_reader(data: bytes) -> None:
    """The parts of a stream are the same however it is cut, and are PDUs or refused."""
    stream = data[1:]
    whole = _parts([stream])
    assert _parts(_pieces(stream, data[0])) == whole if data else True
    for part in whole:
        if isinstance(part, ControlBody):
            try:
                unit = pdu.decode(part.pdu_type, part.body)
            except pdu.PDUDecodeError:
                pass
            else:
                again = pdu.encode(unit)
                assert pdu.decode(again[0], again[6:]) == unit


def _parts(pieces: list[bytes]) -> list[object]:
    """What a reader makes of the pieces; runs of fragments are joined."""
    reader = PDUReader()
    parts: list[Any] = []
    for piece in pieces:
        buffer = memoryview(piece)
        part, position = reader.read(buffer, 0)
        while part is not None:
            if isinstance(part, Fragments):
                key = (part.context_id, part.is_command)
                value = b"".join(part.slices)
                if parts and isinstance(parts[-1], tuple) and parts[-1][:3] == (*key, False):
                    value = parts.pop()[3] + value
                parts.append((*key, part.is_last, value))
            else:
                parts.append(part)
            part, position = reader.read(buffer, position)
        assert position == len(buffer)
    assert sum(isinstance(part, Malformed) for part in parts) <= 1
    return parts


def association(data: bytes) -> None:
    """An association of either role answers any stream with PDUs that pynetdicom can decode."""
    head, stream = data[:2], data[2:]
    if len(head) == 2:
        if head[1] & 1:
            one = Association.requesting(association_request(), 0.0)
        else:
            one = Association.accepting(0.0)
        if head[1] & 2:  # negotiated already
            one = _negotiated(Role.REQUESTOR if head[1] & 1 else Role.ACCEPTOR)
        decoded_by_pynetdicom(converse(one, _pieces(stream, head[0])))


def _negotiated(role: Role) -> Association:
    request = association_request()
    requestor, acceptor = Association.requesting(request, 0.0), Association.accepting(0.0)
    acceptor.receive(memoryview(requestor.data_to_send()), 0.0)
    acceptor.accept(acceptance(request), 0.0)
    requestor.receive(memoryview(acceptor.data_to_send()), 0.0)
    one = requestor if role is Role.REQUESTOR else acceptor
    one.take_events()
    return one


def negotiation(data: bytes) -> None:
    """Whatever is proposed is answered as PS3.8 has it, and in a PDU that pynetdicom can decode."""
    try:
        request = pdu.decode(pdu.PDUType.ASSOCIATE_RQ, data)
    except pdu.PDUDecodeError:
        return
    assert isinstance(request, AssociateRQ)
    for commits in (False, True):
        answer = negotiate(request, AcceptancePolicy(accept_storage_commitment=commits))
        decoded_by_pynetdicom(pdu.encode(answer))
        if isinstance(answer, AssociateRJ):
            continue
        _check_answer(request, answer)


def _check_answer(request: AssociateRQ, answer: AssociateAC) -> None:
    offered = {one.context_id: one for one in reversed(request.contexts)}
    assert sorted(one.context_id for one in answer.results) == sorted(offered)
    for result in answer.results:
        if result.result == ACCEPTED:
            assert result.transfer_syntax in offered[result.context_id].transfer_syntaxes
            assert result.context_id % 2 == 1
        assert uids.is_valid_uid(result.transfer_syntax)
    assert len(accepted_contexts(request, answer)) == sum(
        one.result == ACCEPTED for one in answer.results
    )


def command_sets(data: bytes) -> None:
    """A command set is refused, or says what pydicom reads in it, and can be answered."""
    try:
        elements = commandset.decode(data)
    except commandset.CommandSetError:
        return
    theirs = _read(data, uids.IMPLICIT_VR_LITTLE_ENDIAN) or {}
    for number in elements.keys() & theirs.keys():
        value, (_, raw) = elements[number], theirs[number]
        if isinstance(value, int) and len(raw) == 2:  # others are passed over
            assert int.from_bytes(raw, "little") == value
        elif isinstance(value, str):
            assert raw.decode("latin-1").strip(" \0") == value
    try:
        message = dimse_codec.decode_message(data)
    except commandset.CommandSetError:
        return
    if isinstance(message, dimse.UnknownRequest | dimse.MalformedRequest):
        answer = dimse_codec.decode_message(dimse_codec.encode_failure(message, 0x0211, "no"))
        assert answer.message_id == message.message_id
    elif not isinstance(message, dimse.CCancelRQ | dimse.UnknownResponse):
        again = dimse_codec.decode_message(dimse_codec.encode_message(message))
        assert (type(again), again.message_id) == (type(message), message.message_id)


# -- data sets and files --------------------------------------------------------------------------

SYNTAXES = (
    uids.IMPLICIT_VR_LITTLE_ENDIAN,
    uids.EXPLICIT_VR_LITTLE_ENDIAN,
    uids.EXPLICIT_VR_BIG_ENDIAN,
    uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.4.70",
    uids.GE_PRIVATE_IMPLICIT,
)
_PLAN = ScanPlan.compile(
    [
        *BASE_ATTRIBUTES,
        parse_attribute("RequestAttributesSequence.ScheduledProcedureStepID"),
        parse_attribute("ReferencedStudySequence[1].ReferencedSOPInstanceUID"),
        parse_attribute('(0009,"GEMS_IDEN_01",02)'),
    ]
)
_LIMITS = ScanLimits(
    max_sequence_depth=8, max_value_bytes=512, max_kept_bytes=4096, max_inflated_bytes=1 << 20
)


def scanner(data: bytes) -> None:
    """A scan is the same however the bytes come, and finds the attributes where pydicom does."""
    if len(data) < 2:
        return
    syntax, size, content = SYNTAXES[data[0] % len(SYNTAXES)], data[1], data[2:]
    if uids.is_deflated(syntax):
        plain = content
        content = _deflate(content) if size & 1 else content
        found = _scan_stored(syntax, content, MAX_BYTES)
        again = _scan_stored(syntax, content, max(size, 1))
        assert again == found or _is_broken(found)  # zlib keeps what it had when it hits a fault
        if not size & 1:
            return
        content, syntax = plain, uids.EXPLICIT_VR_LITTLE_ENDIAN
        assert _scan([content], syntax) == found
    found = _scan([content], syntax)
    assert _scan(_pieces(content, size), syntax) == found
    assert _scan_stored(syntax, content, max(size, 1)) == found
    if found.finding is None and not found.warnings:
        _compare_with_pydicom(found, content, syntax)


def _is_broken(found: ScanResult) -> bool:
    return any(warning.kind is FindingKind.NOT_DEFLATED for warning in found.warnings)


def _scan(pieces: list[bytes], syntax: str) -> ScanResult:
    one = DataSetScanner(_PLAN, syntax, _LIMITS)
    for piece in pieces:
        one.feed(memoryview(piece))
    return one.finish()


def _scan_stored(syntax: str, content: bytes, at_most: int) -> ScanResult:
    def read(offset: int, size: int) -> bytes:
        return content[offset : offset + min(size, at_most)]

    return scan_stored(_PLAN, syntax, _LIMITS, read, len(content))


def _compare_with_pydicom(found: ScanResult, content: bytes, syntax: str) -> None:
    elements = _read(content, syntax)
    if elements is None:
        return
    for attribute in BASE_ATTRIBUTES:
        tag = _tag(attribute.name)
        if tag is None:
            continue
        vr, raw = elements.get(tag, ("", None))
        if raw is None:
            assert attribute.name not in found.facts, attribute.name
        elif raw.isascii() and b"\x1b" not in raw and len(raw) <= _LIMITS.max_value_bytes:
            kind = attribute.vr if vr in ("", "UN") else vr
            values = values_of(
                kind, raw, (DEFAULT_ENCODING,), big_endian=uids.is_big_endian(syntax)
            )
            ours = found.facts[attribute.name]  # of every element of this tag, theirs is the last
            assert ours[len(ours) - len(values) :] == values, attribute.name


@cache
def _tag(keyword: str) -> int | None:
    return tag_for_keyword(keyword)


def _read(content: bytes, syntax: str) -> dict[int, tuple[str, bytes]] | None:
    """VR and value of the outermost elements as pydicom delimits them; None where it cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            data_set = read_dataset(
                BytesIO(content), uids.is_implicit_vr(syntax), not uids.is_big_endian(syntax)
            )
            raw = {int(tag): data_set.get_item(tag) for tag in data_set.keys()}  # noqa: SIM118
        except Exception:  # noqa: BLE001 - then it is no judge
            return None
    values = {
        tag: (one.VR or "", b"" if one.value is None else one.value) for tag, one in raw.items()
    }
    return {tag: one for tag, one in values.items() if isinstance(one[1], bytes)}


def _deflate(content: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(content) + squeeze.flush()


def part10(data: bytes) -> None:
    """The head of a file is refused, or says what pydicom reads in it."""
    content = bytes(128) + b"DICM" + data
    try:
        header = read_file_header(content)
    except CannotUnderstand:
        return
    assert 132 < header.data_set_offset <= len(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            meta = pydicom.dcmread(BytesIO(content[: header.data_set_offset])).file_meta
            theirs = meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID
            length = 144 + int(meta.FileMetaInformationGroupLength)
        except Exception:  # noqa: BLE001 - then it is no judge
            return
    said_as_uids = all(isinstance(one, str) for one in theirs)
    if said_as_uids and length == header.data_set_offset:  # else they read another group
        assert (header.transfer_syntax_uid, header.sop_class_uid) == theirs


_SETS = ("", "ISO_IR 100", "ISO_IR 192", "GB18030", "ISO 2022 IR 87", "ISO 2022 IR 149", "X")
_VRS = ("LO", "PN", "UT", "CS", "US", "FD", "AT", "UN", "DS", "SV")


def text(data: bytes) -> None:
    """Any bytes of any VR in any character set are values, without a backslash."""
    if len(data) < 3:
        return
    vr = _VRS[data[0] % len(_VRS)]
    sets = encodings_of((_SETS[data[1] % len(_SETS)], _SETS[data[1] // 16 % len(_SETS)]))
    values = values_of(vr, data[3:], sets, big_endian=bool(data[2] & 1))
    assert all(isinstance(value, str) for value in values)


def commitments(data: bytes) -> None:
    """The data sets of storage commitment are understood and written again, or refused."""
    if not data:
        return
    syntax = SYNTAXES[data[0] % 3]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            request = commitment.read_request(data[1:], syntax)
        except CannotUnderstand:
            pass
        else:
            assert request.references
        try:
            report = commitment.read_report(data[1:], syntax)
        except CannotUnderstand:
            return
        assert uids.is_valid_uid(report.transaction_uid)


# -- what is stored, and what is configured -------------------------------------------------------


def spool_records(data: bytes) -> None:
    """Whatever happens to a segment, what is found in it is what was stored, and all that is whole.

    Three bytes say where one byte is changed, and to what; what is left over is put behind.
    """
    segment = a_segment()
    content = bytearray(segment.content)
    edits = data[0] % 8 if data else 0
    for at in range(1, 1 + 3 * edits, 3):
        place, value = data[at : at + 2], data[at + 2 : at + 3]
        if value:
            content[int.from_bytes(place, "big") % len(content)] = value[0]
    found = _found_in(bytes(content) + data[1 + 3 * edits :])
    assert all(instance in segment.instances for instance in found)
    whole = [
        instance
        for instance in segment.instances
        if content[: instance.ref.offset + instance.ref.length]
        == segment.content[: instance.ref.offset + instance.ref.length]
    ]
    assert all(instance in found for instance in whole)


def _found_in(content: bytes) -> list[Instance]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / a_segment().name
        path.write_bytes(content)
        return list(intact_instances(path, 0))


_FACTS = {
    "Modality": ("CT", "SR"),
    "PatientID": ("",),
    "StudyDate": ("20260301",),
    "InstanceNumber": ("12", "x"),
    "PatientName": ("山田^太郎",),
}


def criteria(data: bytes) -> None:
    """Criteria are refused, or mean the same in every form in which they can be written."""
    if not data:
        return
    written: object = data[1:].decode("utf-8", "replace")
    if data[0] & 1:
        try:
            written = json.loads(data[1:])
        except (ValueError, RecursionError):
            return
    try:
        expression = parse_criteria(written)
    except InvalidCriteria:
        return
    assert parse_criteria(json.loads(json.dumps(as_json(expression)))) == expression
    assert attributes_of(expression)
    assert explain(deciding(expression, _FACTS), _FACTS).explanation


def _pieces(stream: bytes, size: int) -> list[bytes]:
    """The stream in pieces of so many bytes; 0: of ever longer ones."""
    if size:
        return [stream[at : at + size] for at in range(0, len(stream), size)]
    return list(_growing(stream))


def _growing(stream: bytes) -> Iterator[bytes]:
    size = 1
    while stream:
        yield stream[:size]
        stream, size = stream[size:], size + 1


TARGETS: dict[str, Target] = {
    "pdu-reader": pdu_reader,
    "association": association,
    "negotiation": negotiation,
    "command-sets": command_sets,
    "scanner": scanner,
    "part10": part10,
    "text": text,
    "commitments": commitments,
    "spool-records": spool_records,
    "criteria": criteria,
}
