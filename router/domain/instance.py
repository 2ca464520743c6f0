"""An instance as it arrived: who sent it, what it is, where its bytes are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

Facts = Mapping[str, tuple[str, ...]]
"""Attribute name (canonical, see :mod:`router.domain.attributes`) to its values as text.

A name with an empty tuple has no value: the attribute was absent, or empty. So has a name that is
missing, as far as it was asked about at all: of a recorded instance these are the base attributes
(:data:`router.domain.attributes.BASE_ATTRIBUTES`) and the names that its facts hold. The evaluator
treats everything without a value as null.
"""


class Disposition(StrEnum):
    """What the door decided about an arriving instance."""

    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"  # kept, visible, delivered to nobody until a person decides
    DISCARDED = "discarded"  # a discard filter matched: policy, not fault; no bytes are kept
    REFUSED = "refused"  # answered with a failure; the sender still owns it
    DUPLICATE = "duplicate"  # the same bytes as an instance that the spool holds: not kept twice
    SUPERSEDED = "superseded"  # other bytes with the same SOP Instance UID are delivered instead


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where and when an instance came in."""

    calling_ae_title: str
    called_ae_title: str
    address: str
    association_id: str
    received_at: datetime  # UTC, aware


@dataclass(frozen=True, slots=True)
class Identity:
    """The UIDs that name an instance. Empty text where the sender did not say."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class SpoolRef:
    """Where an instance's record lies in the spool.

    ``offset`` is the start of the record, ``length`` its whole length in bytes. The record holds a
    Part 10 stream (PS3.10) at ``file_offset`` (from the start of the segment) of ``file_length``
    bytes, whose data set begins ``data_set_skip`` bytes into it.
    """

    segment: str
    offset: int
    length: int
    file_offset: int
    file_length: int
    data_set_skip: int

    @property
    def data_set_offset(self) -> int:
        """Where the data set begins, from the start of the segment, in bytes."""
        return self.file_offset + self.data_set_skip

    @property
    def data_set_length(self) -> int:
        """Length of the data set in bytes."""
        return self.file_length - self.data_set_skip


@dataclass(frozen=True, slots=True)
class Instance:
    """One accepted or quarantined instance, durable in the spool."""

    identity: Identity
    provenance: Provenance
    facts: Facts
    ref: SpoolRef
    checksum: str  # XXH3-64 of the data set, 16 hexadecimal digits
    disposition: Disposition = Disposition.ACCEPTED
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An instance that did not enter: discarded by policy or refused with a failure status."""

    identity: Identity
    provenance: Provenance
    disposition: Disposition
    status: int  # the DIMSE status that was answered
    reason: str
    facts: Facts = field(default_factory=dict)
