"""The verdict of the door on one received data set: pure, and the same for every way in.

The order is the order of trust: can its UIDs be kept, can the data set be read by its receivers,
does it say what its command set said, does it say which study it belongs to and does it say that
once, and only then: does policy want it. A discard filter drops bytes for ever, so it is not
believed about a data set that could not be read to its end: that one goes into quarantine.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from router.dicom import statuses
from router.dicom.scanner import Finding, FindingKind, ScanResult
from router.domain.filters import DiscardFilter
from router.domain.instance import Disposition, Facts, Identity, Provenance

HIDES_ATTRIBUTES = frozenset(
    {
        FindingKind.TRUNCATED,
        FindingKind.LENGTH_OVERRUN,
        FindingKind.MALFORMED,
        FindingKind.NOT_DEFLATED,
        FindingKind.VALUE_TOO_LONG,
    }
)
"""Warnings after which an attribute that was not read may be there nevertheless."""

MAX_SHOWN = 256
MAX_VALUES_SHOWN = 8
"""Characters of a value, and values of an attribute, that are kept of an instance that is not."""

MAX_UID = 64
_UID_CHARACTERS = re.compile(r"[0-9A-Za-z._-]+")
"""More than PS3.5 section 9.1 allows, since studies of careless senders must not be lost either;
but nothing that a path, a URL or a database could take for something else."""


@dataclass(frozen=True, slots=True)
class DoorPolicy:
    """What the routing YAML says about instances that are not simply accepted."""

    refuse_discarded: bool = False  # answer 0124 instead of 0000 where a discard filter matches
    refuse_malformed: bool = False  # answer C000 instead of keeping the bytes in quarantine
    refuse_group_0002: bool = False  # answer C000 to a data set with File Meta elements in it


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an instance, the status to answer, and why."""

    disposition: Disposition
    status: int
    reason: str
    identity: Identity
    facts: Facts

    @property
    def keeps_bytes(self) -> bool:
        """Whether the bytes must be durable before the answer."""
        return self.disposition in (Disposition.ACCEPTED, Disposition.QUARANTINED)


def with_provenance(facts: Facts, announced: Identity, provenance: Provenance) -> Facts:
    """The facts of a data set together with those of its way in."""
    return {
        **facts,
        "SourceAETitle": (provenance.calling_ae_title,),
        "CalledAETitle": (provenance.called_ae_title,),
        "SourceAddress": (provenance.address,),
        "TransferSyntaxUID": (announced.transfer_syntax_uid,),
    }


def recordable(identity: Identity) -> Identity:
    """The identity as far as the ledger can keep it, for refusals: UIDs may be anything there."""
    return Identity(
        *(
            "".join(filter(str.isprintable, value[:MAX_UID]))
            for value in (
                identity.sop_class_uid,
                identity.sop_instance_uid,
                identity.study_instance_uid,
                identity.series_instance_uid,
                identity.transfer_syntax_uid,
            )
        )
    )


def recordable_facts(facts: Facts) -> Facts:
    """As much of the facts of a refusal as a person wants to see; nothing is decided by them."""
    return {
        name: tuple(value[:MAX_SHOWN] for value in values[:MAX_VALUES_SHOWN])
        for name, values in facts.items()
    }


def judge(
    announced: Identity,
    scan: ScanResult,
    provenance: Provenance,
    discard: DiscardFilter,
    policy: DoorPolicy,
) -> Verdict:
    """Decide about a data set that has been received whole.

    ``announced`` is what came before the data set: what the command set or the File Meta group
    says, and the study that the URL names, else none. Statuses are those of PS3.4 table B.2-1.
    """
    facts = with_provenance(scan.facts, announced, provenance)
    identity = _identity(announced, facts)
    unusable = _unusable_uids(identity)
    if unusable:
        return _refused(statuses.CANNOT_UNDERSTAND, unusable, identity, facts)
    study_uid = announced.study_instance_uid
    if study_uid and identity.study_instance_uid not in ("", study_uid):
        reason = f"it is of study {identity.study_instance_uid}, and was sent for {study_uid}"
        return _refused(statuses.STUDY_DOES_NOT_MATCH, reason, identity, facts)
    if scan.finding is not None:
        return _malformed(scan.finding.reason, identity, facts, policy)
    contradiction = _contradiction(announced, facts)
    if contradiction:
        return _refused(statuses.DATA_SET_DOES_NOT_MATCH, contradiction, identity, facts)
    missing = _missing_uids(identity)
    if missing:
        return _refused(statuses.CANNOT_UNDERSTAND, missing, identity, facts)
    ambiguous = _ambiguity(facts)
    if ambiguous:
        return _malformed(ambiguous, identity, facts, policy)
    return _by_policy(scan, discard, policy, identity, facts)


def _by_policy(
    scan: ScanResult, discard: DiscardFilter, policy: DoorPolicy, identity: Identity, facts: Facts
) -> Verdict:
    """What becomes of an instance that can be kept, read and told from others: is it wanted."""
    of_files = _warning(scan, {FindingKind.GROUP_0002})
    if policy.refuse_group_0002 and of_files is not None:
        reason = f"{of_files.reason}: File Meta elements belong into files only"
        return _refused(statuses.CANNOT_UNDERSTAND, reason, identity, facts)
    discarded = discard.examine(facts)
    if discarded is None:
        return Verdict(Disposition.ACCEPTED, statuses.SUCCESS, "", identity, facts)
    hidden = _warning(scan, HIDES_ATTRIBUTES)
    if hidden is not None:
        reason = f"{discarded.reason}; but not all could be read: {hidden.kind} ({hidden.reason})"
        return _malformed(reason, identity, facts, policy)
    status = statuses.NOT_AUTHORISED if policy.refuse_discarded else statuses.SUCCESS
    return Verdict(Disposition.DISCARDED, status, discarded.reason, identity, facts)


def _malformed(reason: str, identity: Identity, facts: Facts, policy: DoorPolicy) -> Verdict:
    """Kept aside; refused if policy says so, or if nobody could tell which study it is of."""
    if policy.refuse_malformed or not identity.study_instance_uid:
        return _refused(statuses.CANNOT_UNDERSTAND, reason, identity, facts)
    return Verdict(Disposition.QUARANTINED, statuses.SUCCESS, reason, identity, facts)


def _warning(scan: ScanResult, kinds: Collection[FindingKind]) -> Finding | None:
    return next((one for one in scan.warnings if one.kind in kinds), None)


def _identity(announced: Identity, facts: Facts) -> Identity:
    return Identity(
        sop_class_uid=announced.sop_class_uid,
        sop_instance_uid=announced.sop_instance_uid,
        study_instance_uid=_first(facts, "StudyInstanceUID"),
        series_instance_uid=_first(facts, "SeriesInstanceUID"),
        transfer_syntax_uid=announced.transfer_syntax_uid,
    )


def _first(facts: Facts, name: str) -> str:
    values = facts.get(name, ())
    return values[0] if values else ""


def _contradiction(announced: Identity, facts: Facts) -> str:
    pairs = (
        ("SOPClassUID", announced.sop_class_uid),
        ("SOPInstanceUID", announced.sop_instance_uid),
    )
    for name, said in pairs:
        found = _first(facts, name)
        if found and found != said:
            return f"{name} is {found} in the data set but {said} was announced"
    return ""


def _ambiguity(facts: Facts) -> str:
    """Which UID has several values: one receiver would take the first, another one the last."""
    for name in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        values = set(facts.get(name, ()))
        if len(values) > 1:
            return f"{name} has {len(values)} values: receivers would disagree about what it is"
    return ""


def _unusable_uids(identity: Identity) -> str:
    """What is wrong with UIDs that cannot be kept; an empty one may be missing."""
    for name, value in _named_uids(identity):
        if len(value) > MAX_UID:
            return f"{name} has {len(value)} characters; {MAX_UID} are allowed"
        if value and not _UID_CHARACTERS.fullmatch(value):
            return f"{name} has characters that no UID can have"
    return ""


def _missing_uids(identity: Identity) -> str:
    missing = [name for name, value in _named_uids(identity) if not value]
    return f"the data set has no {' and no '.join(missing)}" if missing else ""


def _named_uids(identity: Identity) -> tuple[tuple[str, str], ...]:
    return (
        ("SOPClassUID", identity.sop_class_uid),
        ("SOPInstanceUID", identity.sop_instance_uid),
        ("StudyInstanceUID", identity.study_instance_uid),
        ("SeriesInstanceUID", identity.series_instance_uid),
    )


def _refused(status: int, reason: str, identity: Identity, facts: Facts) -> Verdict:
    return Verdict(Disposition.REFUSED, status, reason, identity, facts)
