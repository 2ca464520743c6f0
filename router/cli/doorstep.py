"""What the door makes of files: judged as if a modality sent them, with the code that judges it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from router import wiring
from router.dicom.negotiation import accepted_contexts, negotiate, propose
from router.dicom.part10 import FileHeader, read_file_header
from router.dicom.pdu import AssociateRJ, AssociateRQ, UserInformation
from router.dicom.scan_stored import scan_stored
from router.dicom.scanner import Finding, ScanLimits, ScanPlan, ScanResult
from router.domain.attributes import Attribute
from router.domain.errors import RouterError
from router.domain.filters import DiscardFilter
from router.domain.instance import Disposition, Facts, Identity, Provenance
from router.ingress.judgement import judge, with_provenance
from router.settings.models import Settings

HEADER_BYTES = 64 * 1024
ASSUMED_ADDRESS = "127.0.0.1"
"""A file has come from nowhere; criteria on SourceAddress see this."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What becomes of one file that is sent, and why. ``facts`` are all that were read from it."""

    path: Path
    disposition: Disposition
    status: int | None  # answered to its C-STORE; None: it does not come so far
    reason: str
    identity: Identity
    facts: Facts
    warnings: tuple[Finding, ...] = ()

    @property
    def is_accepted(self) -> bool:
        """Whether it belongs to what candidates are determined for."""
        return self.disposition is Disposition.ACCEPTED


class Doorstep:
    """The door of a router with these settings, as one calling AE title finds it."""

    def __init__(self, settings: Settings, calling_ae_title: str, attributes: Iterable[Attribute]):
        """``attributes`` are read too, as the router reads them when it determines candidates."""
        known = wiring.attributes_read_on_arrival(settings)
        self._plan = ScanPlan.compile(known)
        more = frozenset(attributes) - known
        self._later = ScanPlan.compile(more) if more else None
        self._limits = ScanLimits(max_sequence_depth=settings.router.max_sequence_depth)
        self._discard = DiscardFilter(settings.discard)
        self._policy = wiring.door_policy(settings)
        self._acceptance = wiring.acceptance_policy(settings)
        self._provenance = Provenance(
            calling_ae_title, settings.router.ae_title, ASSUMED_ADDRESS, "", datetime.now(UTC)
        )

    def examine(self, path: Path) -> Arrival:
        """Judge a Part 10 file. Raises ``RouterError`` where it is none, or cannot be read."""
        try:
            with path.open("rb") as stream:
                return self._examine(path, stream.fileno())
        except OSError as error:
            raise RouterError(f"{path}: cannot be read: {error.strerror}") from error
        except RouterError as error:
            raise type(error)(f"{path}: {error}") from error

    def _examine(self, path: Path, descriptor: int) -> Arrival:
        header = read_file_header(os.pread(descriptor, HEADER_BYTES, 0))
        announced = Identity(
            header.sop_class_uid, header.sop_instance_uid, "", "", header.transfer_syntax_uid
        )
        scan = self._scan(self._plan, header, descriptor)
        rejection = self._rejection(header)
        if rejection:
            facts = with_provenance(scan.facts, announced, self._provenance)
            return Arrival(path, Disposition.REFUSED, None, rejection, announced, facts)
        verdict = judge(announced, scan, self._provenance, self._discard, self._policy)
        later = self._scan(self._later, header, descriptor).facts if self._later else {}
        return Arrival(
            path,
            verdict.disposition,
            verdict.status,
            verdict.reason,
            verdict.identity,
            {**later, **verdict.facts},
            scan.warnings,
        )

    def _scan(self, plan: ScanPlan, header: FileHeader, descriptor: int) -> ScanResult:
        def read(offset: int, size: int) -> bytes:
            return os.pread(descriptor, size, header.data_set_offset + offset)

        length = os.fstat(descriptor).st_size - header.data_set_offset
        return scan_stored(plan, header.transfer_syntax_uid, self._limits, read, length)

    def _rejection(self, header: FileHeader) -> str:
        """Why the file would not get as far as a C-STORE; empty: it would."""
        request = AssociateRQ(
            called_ae_title=self._provenance.called_ae_title,
            calling_ae_title=self._provenance.calling_ae_title,
            contexts=propose([(header.sop_class_uid, header.transfer_syntax_uid)]),
            user=UserInformation(max_length=0),
        )
        answer = negotiate(request, self._acceptance)
        if isinstance(answer, AssociateRJ):
            calling = self._provenance.calling_ae_title
            return f"the association is rejected: router.accept_calling does not name {calling}"
        if not accepted_contexts(request, answer):
            return f"no presentation context is accepted for its SOP class {header.sop_class_uid}"
        return ""
