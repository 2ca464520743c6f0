"""The verdict of the door on one received data set: pure, and the same for every way in.

The order is the order of trust: can the data set be read at all, does it say which study it
belongs to, does it say what its command set said, and only then: does policy want it.
"""

from __future__ import annotations

from dataclasses import dataclass

from router.dicom import statuses
from router.dicom.scanner import FindingKind, ScanResult
from router.domain.filters import DiscardFilter
from router.domain.instance import Disposition, Facts, Identity, Provenance

FATAL_FOR_RECEIVERS = frozenset({FindingKind.NESTING_TOO_DEEP, FindingKind.DEFLATE_BOMB})
"""Findings that are known to crash or exhaust receivers: such an instance reaches none."""


@dataclass(frozen=True, slots=True)
class DoorPolicy:
    """What the routing YAML says about instances that are not simply accepted."""

    refuse_discarded: bool = False  # answer 0124 instead of 0000 where a discard filter matches
    refuse_malformed: bool = False  # answer C000 instead of keeping the bytes in quarantine


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


def judge(
    announced: Identity,
    scan: ScanResult,
    provenance: Provenance,
    discard: DiscardFilter,
    policy: DoorPolicy,
) -> Verdict:
    """Decide about a data set that has been received whole.

    ``announced`` is what the command set (or its equivalent) says; its study and series are
    empty. Statuses are those of PS3.4 table B.2-1.
    """
    facts = with_provenance(scan.facts, announced, provenance)
    identity = _identity(announced, facts)
    finding = scan.finding
    if finding is not None and not policy.refuse_malformed and identity.study_instance_uid:
        return Verdict(Disposition.QUARANTINED, statuses.SUCCESS, finding.reason, identity, facts)
    if finding is not None:
        return _refused(statuses.CANNOT_UNDERSTAND, finding.reason, identity, facts)
    contradiction = _contradiction(announced, facts)
    if contradiction:
        return _refused(statuses.DATA_SET_DOES_NOT_MATCH, contradiction, identity, facts)
    missing = _missing_uids(identity)
    if missing:
        return _refused(statuses.CANNOT_UNDERSTAND, missing, identity, facts)
    discarded = discard.examine(facts)
    if discarded is not None:
        status = statuses.NOT_AUTHORISED if policy.refuse_discarded else statuses.SUCCESS
        return Verdict(Disposition.DISCARDED, status, discarded.reason, identity, facts)
    return Verdict(Disposition.ACCEPTED, statuses.SUCCESS, "", identity, facts)


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
            return f"{name} is {found} in the data set but {said} in the command set"
    return ""


def _missing_uids(identity: Identity) -> str:
    needed = (
        ("SOPInstanceUID", identity.sop_instance_uid),
        ("StudyInstanceUID", identity.study_instance_uid),
        ("SeriesInstanceUID", identity.series_instance_uid),
    )
    missing = [name for name, value in needed if not value]
    return f"the data set has no {' and no '.join(missing)}" if missing else ""


def _refused(status: int, reason: str, identity: Identity, facts: Facts) -> Verdict:
    return Verdict(Disposition.REFUSED, status, reason, identity, facts)
