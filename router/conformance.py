"""The tables of the DICOM Conformance Statement (PS3.2), made from the code that they describe.

``python -m router.conformance docs/conformance-statement.md`` writes them anew between their marks;
what stands around them is for people. What the acceptor takes is not listed anywhere: it is asked.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from router.dicom import character_sets, commitment, negotiation, statuses, uids
from router.dicom.negotiation import ACCEPTED, describe_rejection, negotiate
from router.dicom.pdu import (
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    ProposedContext,
    RoleSelection,
    UserInformation,
)
from router.domain.commitment import FailureReason
from router.domain.dictionary import registered_uids
from router.domain.errors import LedgerFailed, RouterError, SpoolFailed, SpoolFull
from router.net.counting import CONTEXTS as COUNTING
from router.settings.models import Settings
from router.settings.schema import settings_schema
from router.wiring import acceptance_policy

CT = "1.2.840.10008.5.1.4.1.1.2"
Rows = Iterable[Sequence[object]]

_MARKED = re.compile(r"(<!-- table: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(document: str) -> str:
    """The document with every table as the code has it; raises ``KeyError`` for an unknown one."""
    return _MARKED.sub(lambda found: found[1] + _TABLES[found[2]]() + found[3], document)


def _table(header: Sequence[str], rows: Rows) -> str:
    lines = [header, ["---"] * len(header), *rows]
    written = ("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)
    return "\n" + "\n".join(written) + "\n\n"


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


# -- what is accepted and proposed ----------------------------------------------------------------


def _answer(contexts: Sequence[ProposedContext], *roles: RoleSelection) -> AssociateAC:
    """What a router with the default configuration answers to a request."""
    policy = acceptance_policy(Settings())
    user = UserInformation(roles=roles)
    answer = negotiate(
        AssociateRQ(Settings().router.ae_title, "ANY", tuple(contexts), user), policy
    )
    assert isinstance(answer, AssociateAC)
    return answer


def _accepts(sop_class: str, transfer_syntax: str) -> bool:
    [result] = _answer([ProposedContext(1, sop_class, (transfer_syntax,))]).results
    return result.result == ACCEPTED


def _accepts_as_scp(sop_class: str) -> bool:
    """Whether whoever calls may be the SCP of the class."""
    context = ProposedContext(1, sop_class, (uids.IMPLICIT_VR_LITTLE_ENDIAN,))
    [role] = _answer([context], RoleSelection(sop_class, scu=True, scp=True)).user.roles
    return role.scp


def _of_kind(kind: str) -> Iterator[str]:
    return (uid for uid, known in registered_uids().items() if known.kind == kind)


def _identity() -> str:
    router = Settings().router
    return _table(
        ("what", "value"),
        [
            ("Application context name", uids.APPLICATION_CONTEXT),
            ("Implementation class UID", uids.IMPLEMENTATION_CLASS),
            ("Implementation version name", uids.IMPLEMENTATION_VERSION),
            ("AE title, unless configured", router.ae_title),
            ("TCP port, unless configured", router.dicom.port),
            ("Maximum PDU length received, unless configured", router.max_pdu_length),
            ("Maximum PDU length proposed as SCU", negotiation.DEFAULT_MAX_LENGTH),
        ],
    )


def _services() -> str:
    """Every service class, with the classes that make it up and the roles that are played."""
    [counting] = COUNTING
    stored = [uid for uid in _of_kind("SOP Class") if uids.is_storage_sop_class(uid)]
    assert all(_accepts(uid, uids.IMPLICIT_VR_LITTLE_ENDIAN) for uid in stored)
    singles = (uids.VERIFICATION, uids.STORAGE_COMMITMENT_PUSH, counting.abstract_syntax)
    rows = [
        (
            uids.name(uid),
            uid,
            "yes",
            "yes" if _accepts(uid, uids.IMPLICIT_VR_LITTLE_ENDIAN) else "no",
        )
        for uid in singles
    ]
    storage = ("Storage, see the list below", f"{len(stored)} classes", "yes", "yes")
    private = "1.2.3.4"
    return _table(
        ("SOP class", "UID", "SCU", "SCP"),
        [
            *rows,
            storage,
            (
                "Storage of classes that are not registered",
                "any",
                "yes",
                "yes" if _accepts(private, uids.IMPLICIT_VR_LITTLE_ENDIAN) else "no",
            ),
        ],
    )


def _storage_classes() -> str:
    stored = (uid for uid in _of_kind("SOP Class") if uids.is_storage_sop_class(uid))
    return _table(("SOP class", "UID"), sorted((uids.name(uid), uid) for uid in stored))


def _transfer_syntaxes() -> str:
    return _table(
        ("transfer syntax", "UID"),
        [(uids.name(uid), uid) for uid in _of_kind("Transfer Syntax") if _accepts(CT, uid)],
    )


def _proposals() -> str:
    [counting] = COUNTING
    little = uids.name(uids.IMPLICIT_VR_LITTLE_ENDIAN)
    mine = uids.STORAGE_COMMITMENT_PUSH
    return _table(
        ("abstract syntax", "transfer syntaxes", "role", "extended negotiation"),
        [
            (uids.name(uids.VERIFICATION), little, "SCU", "none"),
            ("each SOP class of a study", "the one that the instances came in", "SCU", "none"),
            (
                "each SOP class of a study, with `transcode: when-refused`",
                uids.name(uids.EXPLICIT_VR_LITTLE_ENDIAN),
                "SCU",
                "none",
            ),
            (uids.name(mine), little, "SCU, to ask; SCP, to report", "role selection, to report"),
            (
                uids.name(counting.abstract_syntax),
                ", ".join(map(uids.name, counting.transfer_syntaxes)),
                "SCU",
                "none",
            ),
        ],
    )


def _roles() -> str:
    asked = (CT, uids.STORAGE_COMMITMENT_PUSH)
    return _table(
        ("proposed for", "the requestor may be SCU", "the requestor may be SCP"),
        [(uids.name(uid), "yes", "yes" if _accepts_as_scp(uid) else "no") for uid in asked],
    )


def _rejections() -> str:
    reasons: Mapping[AssociateRJ, str] = {
        negotiation.PROTOCOL_VERSION_NOT_SUPPORTED: "bit 0 of the protocol version is not set",
        negotiation.APPLICATION_CONTEXT_NOT_SUPPORTED: "another application context name",
        negotiation.CALLED_AE_TITLE_NOT_RECOGNISED: "not the router's AE title, or none",
        negotiation.CALLING_AE_TITLE_NOT_RECOGNISED: "none, with control characters, "
        "or not in `router.accept_calling`",
        negotiation.LOCAL_LIMIT_EXCEEDED: "beyond `router.max_associations` or "
        "`router.max_associations_per_source`",
    }
    return _table(
        ("result", "source", "reason", "what it says", "when"),
        [
            (one.result, one.source, one.reason, describe_rejection(one).split(" (")[0], when)
            for one, when in reasons.items()
        ],
    )


# -- statuses -------------------------------------------------------------------------------------


def _status(status: int) -> tuple[str, str]:
    return f"{status:04X}", statuses.describe(status).rpartition(" (")[0]


def _store_answers() -> str:
    """Statuses of the Storage SCP."""
    full, failed = SpoolFull.dimse_status, SpoolFailed.dimse_status
    assert full == failed == LedgerFailed.dimse_status
    answers = (
        (
            statuses.SUCCESS,
            "stored durably, or in quarantine; or a discard filter matched (`on_discard: accept`)",
        ),
        (
            full,
            "no room in the spool, the disk failed, or the ledger lags behind: send again later",
        ),
        (
            statuses.DATA_SET_DOES_NOT_MATCH,
            "SOP class or instance differ between command set and data set",
        ),
        (
            statuses.CANNOT_UNDERSTAND,
            (
                "a UID is missing or impossible; it would harm receivers (`on_malformed: refuse`); "
                "it has File Meta elements in it (`on_group_0002: refuse`)"
            ),
        ),
        (statuses.NOT_AUTHORISED, "a discard filter matched (`on_discard: refuse`)"),
        (statuses.MISSING_ATTRIBUTE, "the command set lacks a mandatory element; it is named"),
        (
            statuses.SOP_CLASS_NOT_SUPPORTED,
            "C-STORE in a presentation context that is not for storage",
        ),
        (RouterError.dimse_status, "a fault of the router's own; the log has it"),
    )
    return _table(
        ("status", "meaning", "when"), [(*_status(status), when) for status, when in answers]
    )


def _store_verdicts() -> str:
    """What the Storage SCU makes of statuses."""
    known = (
        *statuses.NAMES,
        *(first for first, _, _ in statuses.RANGES),
    )
    ends = {first: last for first, last, _ in statuses.RANGES}
    rows = []
    for status in sorted(set(known)):
        code, meaning = _status(status)
        code = f"{code}-{ends[status]:04X}" if status in ends else code
        if statuses.category(status) is statuses.StatusCategory.PENDING:
            continue
        rows.append((code, meaning, statuses.category(status), _behaviour(status)))
    rows += [
        (text, "of the peer's own", statuses.category(status), _behaviour(status))
        for text, status in (("any other Bxxx", 0xBFFF), ("any other", 0x7777))
    ]
    return _table(("status", "meaning", "kind", "behaviour"), rows)


def _behaviour(status: int) -> str:
    if statuses.is_stored(status):
        kept = "" if status == statuses.SUCCESS else "; the status is kept and shown"
        return f"the instance counts as stored{kept}"
    if statuses.is_temporary(status):
        return "sent again later, by `delivery.retry`"
    return "final for the instance; the delivery becomes dead, for a person to decide"


def _commitment_answers() -> str:
    """Statuses of N-ACTION and N-EVENT-REPORT as SCP and SCU of storage commitment."""
    answers = (
        (statuses.SUCCESS, "the request, or the report, was taken"),
        (statuses.NO_SUCH_SOP_CLASS, "not the Storage Commitment Push Model"),
        (statuses.NO_SUCH_OBJECT_INSTANCE, "not the well-known SOP instance"),
        (statuses.NO_SUCH_ACTION, "an action type other than 1 (N-ACTION)"),
        (statuses.NO_SUCH_EVENT_TYPE, "an event type other than 1 and 2 (N-EVENT-REPORT)"),
        (statuses.INVALID_ARGUMENT, "no data set, or one that cannot be understood"),
        (statuses.RESOURCE_LIMITATION, "too many requests at once, or a data set beyond 16 MiB"),
        (LedgerFailed.dimse_status, "the request could not be made durable"),
        (statuses.PROCESSING_FAILURE, "a fault of the router's own; the log has it"),
    )
    duplicate = FailureReason.DUPLICATE_TRANSACTION_UID
    return _table(
        ("status", "meaning", "when"),
        [
            *((*_status(status), when) for status, when in answers),
            (f"{duplicate:04X}", "duplicate transaction UID", "it was used before (N-ACTION)"),
        ],
    )


def _commitment_reports() -> str:
    return _table(
        ("event type", "when"),
        [
            (commitment.ALL_COMMITTED, "all instances are committed"),
            (commitment.SOME_FAILED, "some are not; each has a failure reason"),
        ],
    )


# -- text and configuration -----------------------------------------------------------------------


def _character_sets() -> str:
    names = {"latin_1": "Latin-1, or ASCII", "utf_8": "UTF-8"}
    rows = [
        (f"ISO_IR {number}, ISO 2022 IR {number}", names.get(encoding, encoding))
        for number, encoding in sorted(character_sets.NUMBERED.items())
    ]
    rows += [(term or "none", names.get(e, e)) for term, e in character_sets.NAMED.items()]
    return _table(("defined term", "read as"), rows)


_CONFIGURED = ("router", "completion", "delivery", "spool", "retention", "commitment")


def _configuration() -> str:
    schema = settings_schema()
    rows = []
    for name in _CONFIGURED:
        rows += list(_keys(name, schema["properties"][name], schema["$defs"]))
    return _table(("key", "default", "meaning"), rows)


def _keys(path: str, described: Mapping[str, Any], models: Mapping[str, Any]) -> Rows:
    model = models.get(described.get("$ref", "").rpartition("/")[2], {})
    inner = model.get("properties")
    if inner:
        for key, value in inner.items():
            yield from _keys(f"{path}.{key}", value, models)
    else:
        default = described.get("default")
        written = str(default).lower() if isinstance(default, bool) else default
        yield f"`{path}`", "" if default is None else f"`{written}`", described["description"]


_TABLES: Mapping[str, Callable[[], str]] = {
    "identity": _identity,
    "services": _services,
    "storage-classes": _storage_classes,
    "transfer-syntaxes": _transfer_syntaxes,
    "proposals": _proposals,
    "roles": _roles,
    "rejections": _rejections,
    "store-answers": _store_answers,
    "store-verdicts": _store_verdicts,
    "commitment-answers": _commitment_answers,
    "commitment-reports": _commitment_reports,
    "character-sets": _character_sets,
    "configuration": _configuration,
}


def main() -> None:
    """Fill in the tables of the document that the command line names."""
    path = Path(sys.argv[1])
    path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
