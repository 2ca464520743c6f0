"""The whole router on one page: its stages in the order in which an instance passes them.

``accept -> negotiate -> receive -> filter -> spool -> acknowledge -> record -> complete ->
determine -> deliver -> settle -> reclaim``. The nesting of the contexts is the order of the start;
its reverse is the order of the stop.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import anyio
import structlog
from anyio.abc import TaskGroup

from router import __version__, wiring
from router.admin.api import create_app
from router.admin.routes import Api
from router.clock import SystemClock
from router.commitment.awaited import AwaitedReports
from router.commitment.operations import CommitmentOperations
from router.commitment.sender import AssociationReportSender
from router.commitment.service import CommitmentService
from router.completion.closing import Closer
from router.completion.counting import SourceCounts
from router.completion.declaring import Declarations
from router.completion.determiner import Determiner
from router.completion.held import CandidateFollower
from router.completion.knowledge import StudyFacts
from router.completion.service import CompletionService
from router.delivery.destinations.commitment import CommitmentRequestor
from router.delivery.destinations.dimse import DimseDestination
from router.delivery.destinations.table import destinations, probe
from router.delivery.dispatcher import Dispatcher
from router.delivery.interventions import Interventions
from router.delivery.retention import Retention
from router.dicom.scan_plan import ScanPlan
from router.dicom.scanner import ScanLimits
from router.dicomweb.application import Stow
from router.dicomweb.completing import Completes, WholeStudies
from router.domain.candidate import Candidate
from router.domain.errors import RouterError, UnknownCandidate
from router.domain.filters import DiscardFilter
from router.domain.repeats import OnConflict
from router.domain.study import RevisionKey
from router.folders.watcher import FolderWatcher
from router.http.server import HttpServer, serve_http
from router.ingress.associations import Ingress
from router.ingress.inspector import Inspector
from router.ingress.recorder import Recorder
from router.ingress.recovery import recover
from router.ingress.store import Door
from router.ingress.uploads import Upload, Uploads
from router.ledger.ledger import open_ledger
from router.net.acceptor import Acceptor
from router.net.counting import count_instances
from router.registry.service import Registry
from router.settings.load import registration_token, stow_token
from router.settings.models import Settings
from router.spool.log import LocalSpool, open_spool

GATHER_S = 0.5
"""How long arrivals are gathered at most before they are written to the ledger together."""
STOP_WITHIN_S = 10.0
"""How long messages in flight may take to finish when the router is told to stop, each way."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunningRouter:
    """A router that accepts associations."""

    dicom_port: int
    http_url: str
    tls_port: int | None = None
    stow_url: str | None = None


class _Phase:
    """Why the router takes nothing in: it starts, or it stops."""

    def __init__(self) -> None:
        self.reasons: list[str] = ["starting"]

    def __call__(self) -> Sequence[str]:
        return self.reasons


def _why_not_ready(phase: _Phase, spool: LocalSpool, recorder: Recorder) -> Sequence[str]:
    """Why the router is not ready, as ``/readyz`` says it."""
    if phase.reasons:
        return phase.reasons
    try:
        spool.check_room()
    except RouterError as fault:
        return [str(fault)]
    return ["the ledger lags behind"] if recorder.is_behind else []


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[RunningRouter]:
    """A router, as long as the block runs; on the way out, what is in flight is finished."""
    clock = SystemClock()
    phase = _Phase()
    limits = ScanLimits(max_sequence_depth=settings.router.max_sequence_depth)
    discard = DiscardFilter(settings.discard)
    known = wiring.attributes_read_on_arrival(settings)
    async with AsyncExitStack() as stack:
        data = settings.router.data
        spool = await stack.enter_async_context(
            open_spool(data / "spool", **wiring.spool_options(settings))
        )
        ledger = await stack.enter_async_context(
            open_ledger(data / "ledger.db", on_conflict=OnConflict(settings.router.on_conflict))
        )

        # determine -> deliver -> settle -> reclaim
        awaited = AwaitedReports()
        timeouts, ae_title = wiring.requestor_timeouts(settings), settings.router.ae_title
        commitments = CommitmentRequestor(
            ae_title, timeouts, awaited, wiring.report_within_s(settings)
        )
        dimse = DimseDestination(spool, ae_title, timeouts, commitments, clock)
        by_kind = destinations(dimse, spool, timeouts, clock)
        registry = Registry(settings, ledger, ledger.views, clock, partial(probe, by_kind))
        retention = Retention(ledger, spool, clock, wiring.retention_policy(settings))

        def settled(_revision: RevisionKey) -> None:
            retention.settled()
            commitment.look_again()

        dispatcher = Dispatcher(
            ledger,
            by_kind,
            lambda ae_title: _candidate(registry, ae_title),
            clock,
            wiring.delivery_settings(settings),
            settled,
        )
        determiner = Determiner(
            ledger, spool, clock, registry.candidates, dispatcher.deliver, limits
        )
        follower = CandidateFollower(registry.changes, determiner, dispatcher.wake, clock)

        # record -> complete
        closer = Closer(ledger, clock, determiner.complete, retention.settled)
        rules = wiring.completion_rules(settings)
        completion = CompletionService(
            rules,
            clock,
            closer.close,
            StudyFacts(ledger.study_values, rules.attributes),
            SourceCounts(
                wiring.count_sources(settings),
                lambda source, study: count_instances(
                    source.host, source.port, source.ae_title, ae_title, study
                ),
                ledger.arrived_instances,
                clock,
            ),
        )
        recorder = Recorder(ledger, clock, completion.recorded, gather_s=GATHER_S)

        # a modality asks: is it safe?
        commitment = CommitmentService(
            ledger,
            clock,
            AssociationReportSender(
                wiring.report_addresses(settings),
                settings.commitment.default_port,
                wiring.requestor_timeouts(settings),
            ),
            wiring.commitment_settings(settings),
            recorder.flush,
            completion.complete_now,
        )
        operations = CommitmentOperations(commitment, awaited)

        # accept -> negotiate -> receive -> filter -> spool -> acknowledge
        plan = ScanPlan.compile(known)
        inspector = Inspector(plan, limits)
        door = Door(
            spool,
            recorder,
            inspector,
            completion,
            clock,
            plan,
            limits,
            discard,
            wiring.door_policy(settings),
        )
        acceptance = wiring.acceptance_policy(settings)
        ingress = Ingress(door, completion, acceptance, operations)
        uploads = Uploads(door, completion, acceptance, wiring.upload_policy(settings))

        await registry.restore()
        interventions = Interventions(
            ledger, clock, registry.candidate, dispatcher.intervene, settled
        )
        declarations = Declarations(ledger.views, completion.complete_now)
        token = registration_token(settings)
        readiness = partial(_why_not_ready, phase, spool, recorder)
        api = Api(registry, ledger.views, interventions, declarations, readiness, token)
        http = await stack.enter_async_context(
            serve_http(create_app(api), settings.router.http.host, settings.router.http.port)
        )
        await recover(spool, ledger)
        completion.restore(await ledger.open_revisions())

        tasks = await stack.enter_async_context(anyio.create_task_group())
        for service in (
            recorder,
            inspector,
            completion,
            determiner,
            dispatcher,
            registry,
            retention,
            follower,
            commitment,
            operations,
        ):
            await tasks.start(service.run)
        await dispatcher.restore()
        acceptors = [
            await stack.enter_async_context(acceptor)
            for acceptor in wiring.acceptors(settings, ingress)
        ]
        dicom_port, *tls_ports = [acceptor.port for acceptor in acceptors]
        tls_port = next(iter(tls_ports), None)
        whole = WholeStudies(
            Completes(settings.stow.completes),
            ledger.arrived_instances,
            recorder.flush,
            completion.complete_unless_held,
        )
        stow = Stow(
            uploads,
            clock,
            wiring.stow_limits(settings),
            phase,
            stow_token(settings),
            afterwards=whole.conclude,
        )
        listening = await stack.enter_async_context(_serve_stow(settings, stow))
        for watched in settings.watch:
            policy = wiring.watch_policy(settings, watched)
            watching = Uploads(door, completion, acceptance, policy)
            folder = wiring.watched_folder(watched)
            await tasks.start(FolderWatcher(folder, watching, clock, phase).run)
        phase.reasons = []
        log.info(
            "router ready",
            version=__version__,
            ae_title=settings.router.ae_title,
            dicom_port=dicom_port,
            tls_port=tls_port,
            http=http.url,
            stow=None if listening is None else listening.url,
        )
        try:
            stow_url = None if listening is None else listening.url
            yield RunningRouter(dicom_port, http.url, tls_port, stow_url)
        finally:
            phase.reasons = ["stopping"]
            with anyio.CancelScope(shield=True):
                await _drain(acceptors, listening, stow, recorder, dispatcher)
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def _serve_stow(settings: Settings, stow: Stow[Upload]) -> AsyncIterator[HttpServer | None]:
    """STOW-RS, if it is offered."""
    listen = settings.stow.listen
    if listen is None:
        yield None
        return
    async with serve_http(stow.application(), listen.host, listen.port, key="stow.listen") as http:
        yield http


async def _drain(
    acceptors: Sequence[Acceptor],
    http: HttpServer | None,
    stow: Stow[Upload],
    recorder: Recorder,
    dispatcher: Dispatcher,
) -> None:
    """Answer what is being received, record it, hear the answers to what is being sent."""
    async with anyio.create_task_group() as both_ways:
        both_ways.start_soon(dispatcher.drain, STOP_WITHIN_S)
        if http is not None:
            await http.stop_listening()
        async with anyio.create_task_group() as doors:
            for acceptor in acceptors:
                doors.start_soon(acceptor.drain, STOP_WITHIN_S)
            doors.start_soon(stow.finish, STOP_WITHIN_S)
        if http is not None:
            await http.drain()
        with anyio.move_on_after(STOP_WITHIN_S):
            await recorder.flush()


def _candidate(registry: Registry, ae_title: str) -> Candidate | None:
    try:
        return registry.candidate(ae_title)
    except UnknownCandidate:
        return None


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then finish what is in flight; a second signal ends at once."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as tasks:
            stop = anyio.Event()
            tasks.start_soon(_run_until, stop, settings, tasks)
            async for _ in signals:
                if stop.is_set():
                    log.warning("stopping at once; what was acknowledged is safe")
                    tasks.cancel_scope.cancel()
                    return
                log.info("stopping")
                stop.set()


def spare_the_garbage_collector() -> None:
    """Leave alone what has been made by now: to look through it costs a tenth of the rate.

    Instances come and go by reference counting alone, cycles are few: they can wait.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def _run_until(stop: anyio.Event, settings: Settings, tasks: TaskGroup) -> None:
    async with running(settings):
        spare_the_garbage_collector()
        await stop.wait()
    log.info("stopped")
    tasks.cancel_scope.cancel()
