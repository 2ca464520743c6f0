"""The one way into the spool, for C-STORE and STOW-RS: from the first byte to the acknowledgement.

``receive -> filter -> spool -> acknowledge -> record``. The status 0000 is answered only after the
spool has called back with a durable instance. Everything here runs in callbacks of the event
loop, one :class:`Reception` per instance; there is no task per instance and no await.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from router.dicom import statuses
from router.dicom.part10 import file_header
from router.dicom.scanner import DataSetScanner, ScanLimits, ScanPlan, ScanResult
from router.domain.errors import RouterError, SpoolFull
from router.domain.filters import DiscardFilter
from router.domain.instance import Disposition, Identity, Instance, Provenance, Refusal
from router.ingress.inspector import Inspector
from router.ingress.judgement import (
    DoorPolicy,
    Verdict,
    judge,
    recordable,
    recordable_facts,
)
from router.ingress.recorder import Recorder
from router.ports import Clock, Spool, SpoolWriter

Answer = Callable[[int, str], None]

log = structlog.get_logger(__name__)


class Arrivals(Protocol):
    """Who wants to know what arrives: the completion service."""

    def receiving(self, association_id: str) -> None:
        """An instance of a yet unknown study begins to arrive on this association."""
        ...

    def recognised(self, study_instance_uid: str, association_id: str) -> None:
        """That instance is of this study: its data set has just said so."""
        ...

    def acknowledged(self, study_instance_uid: str, association_id: str) -> None:
        """That instance is durable, is of this study, and is about to be recorded."""
        ...

    def answered(self, association_id: str) -> None:
        """Nothing more is to be expected of that instance: it is answered, or was given up."""
        ...


@dataclass(frozen=True, slots=True)
class Door:
    """What every reception needs; one for the whole router."""

    spool: Spool
    recorder: Recorder
    inspector: Inspector
    arrivals: Arrivals
    clock: Clock
    plan: ScanPlan
    limits: ScanLimits
    discard: DiscardFilter
    policy: DoorPolicy


@dataclass(frozen=True, slots=True)
class Source:
    """What an instance arrives on: an association, or a STOW-RS request."""

    calling_ae_title: str
    called_ae_title: str
    address: str
    association_id: str


class Reception:
    """One instance while it arrives.

    ``announced`` is what came before the data set: in the command set, or in URL and File Meta
    group. ``fault`` is why it is refused already; what comes of it is let pass.

    A fault never ends the association: the rest of the data set is let pass, and the instance
    gets the status of its fault. Once the data set is complete the instance is kept, even if the
    association ends before the answer: some senders vanish without waiting for one.
    """

    __slots__ = (
        "_announced",
        "_door",
        "_fault",
        "_is_over",
        "_provenance",
        "_scanner",
        "_source",
        "_writer",
        "study_instance_uid",
    )

    def __init__(
        self, door: Door, source: Source, announced: Identity, fault: RouterError | None = None
    ):
        self._door = door
        self._source = source
        self._announced = announced
        self._provenance = Provenance(
            calling_ae_title=source.calling_ae_title,
            called_ae_title=source.called_ae_title,
            address=source.address,
            association_id=source.association_id,
            received_at=door.clock.now(),
        )
        self._fault = fault
        self.study_instance_uid = ""  # as soon as it is known
        self._is_over = False
        self._writer: SpoolWriter | None = None
        self._scanner = DataSetScanner(door.plan, announced.transfer_syntax_uid, door.limits)
        if fault is None:
            self._open()
        door.arrivals.receiving(source.association_id)

    def _open(self) -> None:
        if self._door.recorder.is_behind:
            self._fault = SpoolFull("the ledger lags behind; send again later")
            return
        header = file_header(self._announced, self._source.calling_ae_title)
        try:
            self._writer = self._door.spool.create(header)
        except RouterError as fault:
            self._fault = fault

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Take the next bytes of the data set; keeps no view and never raises."""
        writer = self._writer
        if writer is None:
            return
        feed = self._scanner.feed
        for fragment in fragments:
            feed(fragment)
        if not self.study_instance_uid and self._scanner.study_instance_uid:
            self._recognise(self._scanner.study_instance_uid)
        try:
            writer.write(fragments)
        except RouterError as fault:
            self._fail(fault)

    def refuse(self, fault: RouterError) -> None:
        """Refuse it for this fault, if for none before; what still comes of it is let pass."""
        if self._fault is None:
            self._fail(fault)

    def finish(self, answer: Answer) -> None:
        """The data set is complete: decide, make durable, then ``answer`` with the status."""
        writer = self._writer
        if writer is None:
            self._refuse_for_fault(answer)
        elif self._scanner.needs_stored_scan:
            self._inspect(writer, answer)
        else:
            self._decide(writer, self._scanner.finish(), answer)

    def abandon(self) -> None:
        """The connection ended in mid-object: nothing of it remains."""
        self._discard()
        self._end()

    def _recognise(self, study_instance_uid: str) -> None:
        self.study_instance_uid = study_instance_uid
        self._door.arrivals.recognised(study_instance_uid, self._source.association_id)

    def _end(self) -> None:
        """Before the answer, which may let the next instance begin."""
        if not self._is_over:
            self._is_over = True
            self._door.arrivals.answered(self._source.association_id)

    def _inspect(self, writer: SpoolWriter, answer: Answer) -> None:
        def inspected(result: ScanResult | RouterError) -> None:
            if self._writer is None:
                return  # given up meanwhile
            if isinstance(result, RouterError):
                self._fail(result)
                self._refuse_for_fault(answer)
                return
            self._decide(writer, result, answer)

        try:
            self._door.inspector.submit(writer, self._announced.transfer_syntax_uid, inspected)
        except RouterError as fault:
            self._fail(fault)
            self._refuse_for_fault(answer)

    def _decide(self, writer: SpoolWriter, scan: ScanResult, answer: Answer) -> None:
        door = self._door
        verdict = judge(self._announced, scan, self._provenance, door.discard, door.policy)
        if not self.study_instance_uid and verdict.identity.study_instance_uid:
            self._recognise(verdict.identity.study_instance_uid)
        if not verdict.keeps_bytes:
            self._discard()
            self._refuse(verdict, answer)
            return

        def sealed(result: Instance | RouterError) -> None:
            if isinstance(result, Instance):
                self._acknowledge(result, verdict, answer)
            else:
                self._fault = result
                self._refuse_for_fault(answer)

        writer.seal(
            verdict.identity,
            self._provenance,
            {**door.plan.unanswered, **verdict.facts},
            verdict.disposition,
            verdict.reason,
            sealed,
        )

    def _acknowledge(self, instance: Instance, verdict: Verdict, answer: Answer) -> None:
        door = self._door
        if instance.disposition is Disposition.ACCEPTED:
            door.arrivals.acknowledged(
                instance.identity.study_instance_uid, self._source.association_id
            )
        else:
            log.warning(
                "instance quarantined",
                reason=verdict.reason,
                sop_instance_uid=instance.identity.sop_instance_uid,
                study_instance_uid=instance.identity.study_instance_uid,
                calling_ae_title=self._source.calling_ae_title,
            )
        door.recorder.put(instance)
        self._end()
        answer(verdict.status, "")

    def _refuse_for_fault(self, answer: Answer) -> None:
        fault = self._fault or RouterError("the instance could not be stored")
        verdict = Verdict(
            Disposition.REFUSED, type(fault).dimse_status, str(fault), self._announced, {}
        )
        self._refuse(verdict, answer)

    def _refuse(self, verdict: Verdict, answer: Answer) -> None:
        refusal = Refusal(
            identity=recordable(verdict.identity),
            provenance=self._provenance,
            disposition=verdict.disposition,
            status=verdict.status,
            reason=verdict.reason,
            facts=recordable_facts(verdict.facts),
        )
        if not self._door.recorder.is_behind:  # if it is, this line of the log is all that remains
            self._door.recorder.put(refusal)
        write = log.warning if verdict.disposition is Disposition.REFUSED else log.info
        write(
            "instance " + verdict.disposition,
            status=statuses.describe(verdict.status),
            reason=verdict.reason,
            sop_instance_uid=verdict.identity.sop_instance_uid,
            study_instance_uid=verdict.identity.study_instance_uid,
            calling_ae_title=self._source.calling_ae_title,
            address=self._source.address,
        )
        self._end()
        answer(verdict.status, "" if verdict.status == statuses.SUCCESS else verdict.reason)

    def _fail(self, fault: RouterError) -> None:
        self._fault = fault
        self._discard()

    def _discard(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()
