"""From the routing YAML to the values that each part of the router is made with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TypedDict

from router.commitment.service import CommitmentSettings
from router.completion.counting import CountSource
from router.delivery.retention import RetentionPolicy
from router.delivery.settings import DeliverySettings
from router.dicom.handlers import AssociationHandler
from router.dicom.negotiation import AcceptancePolicy
from router.dicomweb.application import StowLimits
from router.domain.attributes import BASE_ATTRIBUTES, Attribute
from router.domain.commitment import CommitmentPolicy
from router.domain.completion import CompletionPolicy, OnMaxWait
from router.domain.completion_rules import CompletionRule, CompletionRules
from router.domain.expression import attributes_of
from router.domain.retry import RetryPolicy
from router.folders.watcher import WatchedFolder
from router.ingress.judgement import DoorPolicy
from router.ingress.uploads import UploadPolicy
from router.net.acceptor import SPARE_CONNECTIONS, Acceptor, AcceptorLimits
from router.net.connection import ConnectionTimeouts
from router.net.exchange import RequestorTimeouts
from router.settings.certificates import acceptor_context
from router.settings.models import CompletionRuleSection, CompletionSection, Settings, WatchSection


def attributes_read_on_arrival(settings: Settings) -> frozenset[Attribute]:
    """What is read from every instance: the base, and all that the routing YAML asks about.

    Only what a self-registered writer asks beyond that has to be read from the spool later.
    """
    expressions = list(settings.discard)
    for candidate in settings.candidates.values():
        expressions += [candidate.criteria] if candidate.criteria is not None else []
        expressions += candidate.discard or ()
    asked = completion_rules(settings).attributes
    return asked.union(BASE_ATTRIBUTES, *map(attributes_of, expressions))


def completion_rules(settings: Settings) -> CompletionRules:
    """When studies count as complete; what a rule leaves out is as it is for all."""
    completion = settings.completion
    otherwise = _completion_policy(completion, completion)
    return CompletionRules(
        otherwise,
        tuple(
            CompletionRule(
                _completion_policy(rule, completion), frozenset(rule.source or ()), rule.criteria
            )
            for rule in completion.rules
        ),
    )


def _completion_policy(
    section: CompletionRuleSection | CompletionSection, general: CompletionSection
) -> CompletionPolicy:
    is_explicit = general.explicit if section.explicit is None else section.explicit
    return CompletionPolicy(
        quiet_after=None if is_explicit else section.quiet_after or general.quiet_after,
        stable_after=section.stable_after or general.stable_after,
        max_wait=section.max_wait or general.max_wait,
        on_max_wait=OnMaxWait(section.on_max_wait or general.on_max_wait),
        series=section.series or general.series,
    )


def count_sources(settings: Settings) -> Mapping[str, CountSource]:
    """Who can be asked about studies, by calling AE title."""
    listed = settings.completion.sources
    return {name: CountSource(at.host, at.port, at.ae_title) for name, at in listed.items()}


def acceptance_policy(settings: Settings) -> AcceptancePolicy:
    """Which associations and presentation contexts are accepted."""
    router = settings.router
    calling = router.accept_calling
    return AcceptancePolicy(
        ae_titles=frozenset({router.ae_title}),
        calling_ae_titles=None if calling is None else frozenset(calling),
        accept_unknown_sop_classes=router.accept_unknown_sop_classes,
        accept_storage_commitment=True,
        max_length=router.max_pdu_length,
    )


def acceptors(settings: Settings, handler: AssociationHandler) -> list[Acceptor]:
    """Who listens for associations: on the plain port and, if it is offered, over TLS.

    Raises ``ConfigurationError`` if a certificate cannot be used.
    """
    limits, plain, secured = acceptor_limits(settings), settings.router.dicom, settings.tls.listen
    listening = [Acceptor(handler, host=plain.host, port=plain.port, limits=limits)]
    if secured is not None:
        context = acceptor_context(settings)
        listening.append(
            Acceptor(
                handler, host=secured.host, port=secured.port, limits=limits, ssl_context=context
            )
        )
    return listening


def acceptor_limits(settings: Settings) -> AcceptorLimits:
    """How many associations there may be, and how long they are waited for."""
    router, timeouts = settings.router, settings.router.timeouts
    return AcceptorLimits(
        max_associations=router.max_associations,
        max_associations_per_source=router.max_associations_per_source,
        timeouts=ConnectionTimeouts(
            artim_s=_seconds(timeouts.artim),
            idle_s=_seconds(timeouts.idle),
            message_s=_seconds(timeouts.message),
        ),
    )


def door_policy(settings: Settings) -> DoorPolicy:
    """What becomes of instances that are not simply accepted."""
    return DoorPolicy(
        refuse_discarded=settings.router.on_discard == "refuse",
        refuse_malformed=settings.router.on_malformed == "refuse",
        refuse_group_0002=settings.router.on_group_0002 == "refuse",
    )


def upload_policy(settings: Settings) -> UploadPolicy:
    """What instances that come by STOW-RS are taken for."""
    return UploadPolicy(settings.stow.source, settings.router.ae_title)


def watch_policy(settings: Settings, watched: WatchSection) -> UploadPolicy:
    """What the files of a watched folder are taken for."""
    return UploadPolicy(watched.source, settings.router.ae_title)


def watched_folder(watched: WatchSection) -> WatchedFolder:
    """How a folder is watched."""
    is_moved = watched.after == "move"
    return WatchedFolder(watched.path, is_moved, _seconds(watched.settle), _seconds(watched.every))


def stow_limits(settings: Settings) -> StowLimits:
    """What is taken by STOW-RS at most."""
    stow = settings.stow
    message_s = _seconds(settings.router.timeouts.message)
    return StowLimits(stow.max_requests, stow.max_instance, message_s)


def delivery_settings(settings: Settings) -> DeliverySettings:
    """How lanes behave."""
    retry = settings.delivery.retry
    return DeliverySettings(
        retry=RetryPolicy(
            first_s=_seconds(retry.first),
            factor=retry.factor,
            cap_s=_seconds(retry.max),
            give_up_after_s=_seconds(retry.give_up_after),
        )
    )


def retention_policy(settings: Settings) -> RetentionPolicy:
    """How long bytes and records are kept."""
    retention = settings.retention
    return RetentionPolicy(
        retention.retain_for,
        retention.quarantine_for,
        retention.refusals_for,
        retention.commitments_for,
    )


def requestor_timeouts(settings: Settings) -> RequestorTimeouts:
    """How long candidates are waited for."""
    timeouts = settings.delivery.timeouts
    return RequestorTimeouts(
        connect_s=_seconds(timeouts.connect),
        association_s=_seconds(timeouts.association),
        response_s=_seconds(timeouts.response),
    )


def report_within_s(settings: Settings) -> float:
    """How long the report of a candidate on storage commitment is waited for."""
    return _seconds(settings.delivery.timeouts.commitment)


def commitment_settings(settings: Settings) -> CommitmentSettings:
    """When to answer modalities that ask for storage commitment."""
    commitment, retry = settings.commitment, settings.delivery.retry
    return CommitmentSettings(
        policy=CommitmentPolicy(commitment.committed_when),
        decide_within=commitment.decide_within,
        retry=RetryPolicy(
            first_s=_seconds(retry.first),
            factor=retry.factor,
            cap_s=_seconds(retry.max),
            give_up_after_s=_seconds(commitment.give_up_after),
        ),
    )


def report_addresses(settings: Settings) -> Mapping[str, tuple[str, int]]:
    """Where modalities take storage commitment reports, by AE title."""
    listed = settings.commitment.report_to
    return {ae_title: (at.host, at.port) for ae_title, at in listed.items()}


class SpoolOptions(TypedDict):
    """Keyword arguments of ``open_spool``."""

    segment_bytes: int
    max_bytes: int | None
    min_free_bytes: int
    max_open_segments: int


def spool_options(settings: Settings) -> SpoolOptions:
    """How large the spool may grow; every sender may be in the middle of an instance."""
    spool = settings.spool
    uploads = 0 if settings.stow.listen is None else settings.stow.max_requests
    uploads += len(settings.watch)
    ports = 1 if settings.tls.listen is None else 2
    return SpoolOptions(
        segment_bytes=spool.segment_size,
        max_bytes=spool.max_bytes,
        min_free_bytes=spool.min_free,
        max_open_segments=ports * (settings.router.max_associations + SPARE_CONNECTIONS) + uploads,
    )


def _seconds(duration: timedelta) -> float:
    return duration.total_seconds()
