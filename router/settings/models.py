"""The routing YAML as a tree of frozen, typed values.

Every key's docstring is its description in ``config/schema.json``, every default is the one that
holds when the key is left out. An empty key (``discard:``) means its default. ``Settings()`` is a
working configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictFloat, StrictInt

from router.settings.candidate import CandidateSection
from router.settings.section import Location, Section
from router.settings.values import (
    AETitle,
    AETitles,
    Count,
    Criteria,
    Duration,
    Endpoint,
    Flag,
    Host,
    Listen,
    Port,
    SeriesText,
    Size,
)


def _longer_than_nothing(duration: timedelta) -> timedelta:
    if not duration:
        raise ValueError("must be longer than 0s")
    return duration


ConflictPolicy = Literal["keep-first", "keep-last", "keep-both"]
OnMaxWaitName = Literal["deliver", "hold", "discard"]
Depth = Annotated[StrictInt, Field(ge=1, le=1000)]
Factor = Annotated[StrictFloat, Field(ge=1, le=100)]
PduLength = Annotated[Size, Field(ge=4096, le=16 * 1024**2)]
Wait = Annotated[Duration, AfterValidator(_longer_than_nothing)]


class AssociationTimeouts(Section):
    """How long the router waits for those who send to it."""

    artim: Wait = timedelta(seconds=30)
    """For the association request after a connection, and for the close at its end (PS3.8)."""
    idle: Wait = timedelta(minutes=10)
    """For the next message on an open association, before it is aborted."""
    message: Wait = timedelta(seconds=60)
    """For the next bytes in the middle of a message, before the association is aborted."""


class RouterSection(Section):
    """The router itself: where it listens, what it accepts, where it keeps its data."""

    ae_title: AETitle = "ROUTER"
    """The one AE title that modalities send to."""
    dicom: Listen = Endpoint("0.0.0.0", 11112)  # noqa: S104 - modalities are other machines
    """Address and port for DICOM associations."""
    http: Listen = Endpoint("127.0.0.1", 8080)
    """Address and port of the HTTP API, where writers register."""
    data: Location = Field(default=Path("data"), validate_default=True)
    """Folder of spool and ledger; relative to the folder of this file."""
    accept_calling: tuple[AETitle, ...] | None = None
    """Calling AE titles that may associate; left out: any."""
    accept_unknown_sop_classes: Flag = True
    """Accept private and future storage SOP classes that the router has no name for."""
    max_associations: Count = 1024
    """Associations that may be open at a time on each port; the next is rejected as temporary."""
    max_associations_per_source: Count = 512
    """The same, for each source address."""
    max_pdu_length: PduLength = 131072
    """Longest PDU that a sender may use, announced in negotiation."""
    timeouts: AssociationTimeouts = AssociationTimeouts()
    """How long the router waits for those who send to it."""
    on_discard: Literal["accept", "refuse"] = "accept"
    """Answer to an instance that a discard filter matches: 0000, or 0124 (not authorised)."""
    on_malformed: Literal["quarantine", "refuse"] = "quarantine"
    """What happens to an instance that would harm its receivers: kept aside, or answered C000."""
    on_group_0002: Literal["pass", "refuse"] = "pass"
    """What happens to File Meta elements in a data set: passed on as they are, or answered C000."""
    on_conflict: ConflictPolicy = "keep-last"
    """What is delivered where instances with the same SOP Instance UID have different bytes."""
    max_sequence_depth: Depth = 64
    """Nesting of sequences beyond which an instance counts as malformed."""


class SourceSection(Section):
    """A PACS that sends studies and can be asked about them (C-FIND, Study Root)."""

    host: Host
    """Its host name or address."""
    port: Port
    """Its DICOM port."""
    ae_title: AETitle
    """Its AE title as it is called."""


class CompletionRuleSection(Section):
    """When studies of some sources, or that match criteria, count as complete.

    A key that is left out means what completion says.
    """

    source: AETitles | None = None
    """Calling AE titles, one of which has brought an instance of the study; left out: any."""
    criteria: Criteria | None = None
    """What the study must match, as far as it has arrived; left out: every study."""
    quiet_after: Wait | None = None
    """Since the last association that brought instances of the study was released."""
    stable_after: Wait | None = None
    """Since the last instance, whatever its associations do; always the last resort."""
    max_wait: Wait | None = None
    """Since the first instance, however many still come."""
    on_max_wait: OnMaxWaitName | None = None
    """Then: deliver what is there, hold it until a person says complete, or discard it."""
    series: SeriesText | None = None
    """Series that must have arrived before quiet_after counts."""
    explicit: Flag | None = None
    """Only somebody who knows, stable_after and max_wait complete a study."""


class CompletionSection(Section):
    """When a study counts as complete, so that its candidates are determined."""

    quiet_after: Wait = timedelta(seconds=5)
    """Since the last association that brought instances of the study was released."""
    stable_after: Wait = timedelta(seconds=60)
    """Since the last instance, whatever its associations do; always the last resort."""
    max_wait: Wait | None = None
    """Since the first instance, however many still come; left out: no limit."""
    on_max_wait: OnMaxWaitName = "deliver"
    """Then: deliver what is there, hold it until a person says complete, or discard it."""
    series: SeriesText | None = None
    """Series that must have arrived before quiet_after counts; left out: any."""
    explicit: Flag = False
    """Only somebody who knows, stable_after and max_wait complete a study."""
    sources: Mapping[AETitle, SourceSection] = Field(default_factory=dict)
    """PACS that are asked how many instances their studies have, by calling AE title."""
    rules: tuple[CompletionRuleSection, ...] = ()
    """Other policies for some studies; the first rule that matches decides."""


class RetrySection(Section):
    """When a delivery that failed is tried again."""

    first: Wait = timedelta(seconds=2)
    """Pause after the first failure."""
    factor: Factor = 2.0
    """Each further pause is this many times the one before."""
    max: Wait = timedelta(minutes=5)
    """No pause is longer."""
    give_up_after: Wait = timedelta(days=7)
    """A delivery that still fails is dead then: kept, visible, for a person to decide."""


class DeliveryTimeouts(Section):
    """How long the router waits for candidates."""

    connect: Wait = timedelta(seconds=10)
    """For the TCP connection."""
    association: Wait = timedelta(seconds=30)
    """For the answer to an association request or release."""
    response: Wait = timedelta(minutes=2)
    """For the answer to one instance, and for the next bytes to be taken."""
    commitment: Wait = timedelta(minutes=5)
    """For the report of a candidate that is asked to commit itself to what it has stored."""


class DeliverySection(Section):
    """How studies go to candidates; each candidate has a queue of its own."""

    associations: Count = 2
    """Parallel associations to one candidate, unless the candidate says otherwise."""
    retry: RetrySection = RetrySection()
    """When a delivery that failed is tried again."""
    timeouts: DeliveryTimeouts = DeliveryTimeouts()
    """How long the router waits for candidates."""


class SpoolSection(Section):
    """Where instances live between acknowledgement and settlement."""

    segment_size: Annotated[Size, Field(ge=1024**2)] = 256 * 1024**2
    """A spool file is closed, and the next one begun, beyond this size."""
    max_bytes: Annotated[Size, Field(ge=1024**2)] | None = None
    """Bytes that the spool may hold before instances are refused (A700); left out: no limit."""
    min_free: Size = 512 * 1024**2
    """Free bytes that are left on the disk; below, instances are refused (A700)."""


class RetentionSection(Section):
    """How long bytes stay in the spool, and what grows without end in the ledger."""

    retain_for: Duration = timedelta(minutes=10)
    """For bytes, since every required delivery is delivered; their record stays."""
    quarantine_for: Duration = timedelta(days=30)
    """For bytes of instances in quarantine, since they arrived; their record stays."""
    refusals_for: Duration = timedelta(days=90)
    """For records of discarded and refused instances."""
    commitments_for: Duration = timedelta(days=90)
    """For records of storage commitment requests, since they were reported or given up."""


class RegistrationSection(Section):
    """Which writers may register themselves, and for how long that holds."""

    open: Flag = True
    """Any writer may register itself; false: only those in allow and in candidates."""
    allow: tuple[AETitle, ...] = ()
    """AE titles that may register themselves while registration is not open."""
    token_file: Location | None = None
    """File with the token that a registration must carry (Authorization: Bearer)."""
    lease: Wait = timedelta(seconds=60)
    """A writer that was not heard of for so long is probed (C-ECHO) and, in vain, lapsed."""
    heartbeat: Wait = timedelta(seconds=20)
    """How often a writer is asked to send a heartbeat."""
    hold_for: Wait = timedelta(days=7)
    """Studies are still held for a lapsed writer for so long; then it is forgotten."""


class CommitmentSection(Section):
    """Storage commitment: what a modality that asks whether its instances are safe is told."""

    committed_when: Literal["delivered", "spooled"] = "delivered"
    """An instance is committed when every required candidate holds it, or when the router does."""
    report_to: Mapping[AETitle, Listen] = Field(default_factory=dict)
    """Where modalities take reports, by AE title; others are called where they asked from."""
    default_port: Port = 104
    """Port of modalities that are not in report_to."""
    decide_within: Wait = timedelta(days=1)
    """Since the request; instances that are not committed by then are reported as failed."""
    give_up_after: Wait = timedelta(days=7)
    """Since the request; a report that was not taken by then is given up."""


class TlsListenSection(Section):
    """DICOM over TLS: a second port for associations, beside the plain one."""

    listen: Listen | None = None
    """Address and port for associations over TLS; left out: it is not offered."""
    certificate: Location | None = None
    """File with the certificate that the router shows, and those between it and its authority."""
    key: Location | None = None
    """File with its private key; left out: it is in the file of the certificate."""
    authority: Location | None = None
    """File with who may have issued the certificates of senders; left out: none is asked for."""


class StowSection(Section):
    """STOW-RS: storing over HTTP, for senders that speak DICOMweb."""

    listen: Listen | None = None
    """Address and port for STOW-RS; left out: it is not offered."""
    source: AETitle = "STOW"
    """Source AE title of all instances that come this way."""
    token_file: Location | None = None
    """File with the token that a request must carry (Authorization: Bearer); left out: none."""
    completes: Literal["named", "whole", "every", "none"] = "whole"
    """Which requests complete their studies at once: those to /studies/{uid}; or those, too, that
    hold all that has come of a study; or every one; or none."""
    max_requests: Count = 64
    """Requests that may be stored at a time; the next one is answered 503."""
    max_instance: Size | None = None
    """Bytes of one instance beyond which it is refused; left out: the spool's room decides."""


class WatchSection(Section):
    """A folder whose files come in as if they had been sent."""

    path: Location
    """The folder; relative to the folder of this file."""
    source: AETitle = "WATCH"
    """Source AE title of its instances."""
    after: Literal["move", "delete"] = "move"
    """What happens to a file that is stored: moved to done in the folder, or deleted."""
    settle: Duration = timedelta(seconds=5)
    """How long a file must not have changed before it counts as whole."""
    every: Wait = timedelta(seconds=2)
    """How often the folder is looked at."""


class Settings(Section):
    """The routing YAML."""

    router: RouterSection = Field(default={}, validate_default=True)
    """The router itself: where it listens, what it accepts, where it keeps its data."""
    discard: tuple[Criteria, ...] = ()
    """Discard filters: an arriving instance that matches any of these is dropped."""
    completion: CompletionSection = CompletionSection()
    """When a study counts as complete, so that its candidates are determined."""
    delivery: DeliverySection = DeliverySection()
    """How studies go to candidates; each candidate has a queue of its own."""
    spool: SpoolSection = SpoolSection()
    """Where instances live between acknowledgement and settlement."""
    retention: RetentionSection = RetentionSection()
    """How long bytes stay in the spool, and what grows without end in the ledger."""
    candidates: Mapping[AETitle, CandidateSection] = Field(default_factory=dict)
    """Candidates by AE title: static ones, and what outranks writers that register themselves."""
    commitment: CommitmentSection = CommitmentSection()
    """Storage commitment: what a modality that asks whether its instances are safe is told."""
    tls: TlsListenSection = TlsListenSection()
    """DICOM over TLS: a second port for associations, beside the plain one."""
    stow: StowSection = StowSection()
    """STOW-RS: storing over HTTP, for senders that speak DICOMweb."""
    watch: tuple[WatchSection, ...] = ()
    """Folders whose files come in as if they had been sent."""
    registration: RegistrationSection = RegistrationSection()
    """Which writers may register themselves, and for how long that holds."""
