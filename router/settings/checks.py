"""What must hold between the values of a routing YAML, beyond each value by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath

from router.domain.errors import ConfigurationError
from router.settings.candidate import CandidateSection
from router.settings.certificates import acceptor_context
from router.settings.kinds import static_misfits, web_endpoint
from router.settings.models import CompletionRuleSection, CompletionSection, Settings
from router.settings.problems import Path, Severity
from router.settings.proofs import unreadable
from router.settings.values import Endpoint

_EVERYWHERE = frozenset({"0.0.0.0", "::", "*"})  # noqa: S104 - compared, not listened on
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"}) | _EVERYWHERE


@dataclass(frozen=True, slots=True)
class Objection:
    """A contradiction, at the value that should change."""

    path: Path
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR


def check(settings: Settings) -> Iterator[Objection]:
    """Everything that contradicts itself, and everything that looks like a mistake."""
    yield from _ports(settings)
    yield from _durations(settings)
    yield from _completion(settings)
    yield from _spool(settings)
    yield from _tokens(settings)
    yield from _tls(settings)
    yield from _watched(settings)
    for name, candidate in settings.candidates.items():
        yield from _candidate(settings, name, candidate)
    yield from _shared_addresses(settings)


def _ports(settings: Settings) -> Iterator[Objection]:
    taken = [(("router", "dicom"), settings.router.dicom)]
    for path, what, endpoint in (
        (("router", "http"), "the HTTP API", settings.router.http),
        (("tls", "listen"), "DICOM over TLS", settings.tls.listen),
        (("stow", "listen"), "STOW-RS", settings.stow.listen),
    ):
        if endpoint is None:
            continue
        for other, listening in taken:
            if (
                endpoint.port
                and endpoint.port == listening.port
                and _overlap(endpoint.host, listening.host)
            ):
                yield Objection(
                    path,
                    f"port {endpoint.port} is taken by {'.'.join(other)} already",
                    f"give {what} another port",
                )
        taken.append((path, endpoint))


def _durations(settings: Settings) -> Iterator[Objection]:
    registration, retry = settings.registration, settings.delivery.retry
    if registration.heartbeat * 2 > registration.lease:
        yield Objection(
            ("registration", "heartbeat"),
            "must be at most half of registration.lease, so that one heartbeat may be lost",
        )
    if retry.first > retry.max:
        yield Objection(("delivery", "retry", "first"), "is longer than delivery.retry.max")


def _completion(settings: Settings) -> Iterator[Objection]:
    completion = settings.completion
    yield from _policy(("completion",), completion, completion)
    for number, rule in enumerate(completion.rules):
        path: Path = ("completion", "rules", number)
        yield from _policy(path, rule, completion)
        is_last = number == len(completion.rules) - 1
        if rule.source is None and rule.criteria is None and not is_last:
            yield Objection(
                path,
                "has neither source nor criteria: it matches every study, no later rule decides",
                severity=Severity.WARNING,
            )
    for name, source in completion.sources.items():
        if is_own_address(settings, source.host, source.port):
            yield Objection(
                ("completion", "sources", name, "port"),
                "is the router's own address; it would ask itself",
            )


def _policy(
    path: Path, terms: CompletionSection | CompletionRuleSection, general: CompletionSection
) -> Iterator[Objection]:
    """What contradicts itself in a policy, with what it takes from the general one."""
    quiet_after = terms.quiet_after or general.quiet_after
    max_wait = terms.max_wait or general.max_wait
    is_explicit = general.explicit if terms.explicit is None else terms.explicit
    if is_explicit and (terms.series or general.series):
        yield Objection(
            (*path, "series" if terms.series else "explicit"),
            "series say when quiet_after counts; where explicit is true, it never does",
            "leave one of them out",
        )
    elif not is_explicit and quiet_after > (terms.stable_after or general.stable_after):
        yield Objection(
            (*path, "stable_after" if terms.stable_after else "quiet_after"),
            "is shorter than quiet_after, which then never decides"
            if terms.stable_after
            else "is longer than stable_after, and so never decides",
            severity=Severity.WARNING,
        )
    if max_wait is not None and not is_explicit and max_wait <= quiet_after:
        yield Objection(
            (*path, "max_wait" if terms.max_wait else "quiet_after"),
            "max_wait must be longer than quiet_after, which else never decides",
        )
    if max_wait is None and terms.on_max_wait not in (None, "deliver"):
        yield Objection(
            (*path, "on_max_wait"),
            "means nothing without max_wait",
            "say how long: max_wait: 2h",
            Severity.WARNING,
        )


def _spool(settings: Settings) -> Iterator[Objection]:
    spool = settings.spool
    if spool.max_bytes is not None and spool.max_bytes < 2 * spool.segment_size:
        yield Objection(
            ("spool", "max_bytes"), "must hold two segments at least", "lower spool.segment_size"
        )


def _watched(settings: Settings) -> Iterator[Objection]:
    data = settings.router.data.resolve()
    paths: set[FilePath] = set()
    for index, watched in enumerate(settings.watch):
        path = watched.path.resolve()
        if path.is_relative_to(data) or data.is_relative_to(path):
            yield Objection(
                ("watch", index, "path"), f"overlaps router.data, {settings.router.data}"
            )
        if any(path.is_relative_to(one) or one.is_relative_to(path) for one in paths):
            yield Objection(("watch", index, "path"), "overlaps another folder that is watched")
        if not path.is_dir():
            yield Objection(
                ("watch", index, "path"),
                f"{watched.path} is no folder",
                "it is not made by the router",
                Severity.WARNING,
            )
        paths.add(path)


def _tokens(settings: Settings) -> Iterator[Objection]:
    yield from _token("registration", settings.registration.token_file)
    yield from _token("stow", settings.stow.token_file)


def _tls(settings: Settings) -> Iterator[Objection]:
    try:
        acceptor_context(settings)
    except ConfigurationError as error:
        key, _, reason = str(error).partition(": ")
        yield Objection(("tls", key.removeprefix("tls.")), reason)


def _token(section: str, path: FilePath | None) -> Iterator[Objection]:
    if path is None:
        return
    if reason := unreadable(path):
        yield Objection((section, "token_file"), f"{path} cannot be read: {reason}")


def _candidate(settings: Settings, name: str, candidate: CandidateSection) -> Iterator[Objection]:
    path: Path = ("candidates", name)
    if name == settings.router.ae_title:
        yield Objection(path, "is the router itself; it would send to itself for ever")
    elif (
        candidate.host is not None
        and candidate.port is not None
        and is_own_address(settings, candidate.host, candidate.port)
    ):
        yield Objection(
            (*path, "port"), "is the router's own address; it would send to itself for ever"
        )
    elif candidate.url is not None and is_own_url(settings, candidate.url):
        yield Objection(
            (*path, "url"), "is the router's own address; it would send to itself for ever"
        )
    for misfit in static_misfits(candidate):
        where = (*path, misfit.key) if misfit.key else path
        severity = Severity.WARNING if misfit.is_passing else Severity.ERROR
        yield Objection(where, misfit.message, misfit.hint, severity)


def _shared_addresses(settings: Settings) -> Iterator[Objection]:
    first_at: dict[tuple[str, int], str] = {}
    for name, candidate in settings.candidates.items():
        if candidate.host is None or candidate.port is None:
            continue
        address = (candidate.host.casefold(), candidate.port)
        first = first_at.setdefault(address, name)
        if first != name:
            yield Objection(
                ("candidates", name),
                f"has the same address as {first}: {candidate.host}:{candidate.port}",
                severity=Severity.WARNING,
            )


def is_own_url(settings: Settings, url: str) -> bool:
    """Whether a candidate behind a URL would be the router itself, as far as names tell."""
    listening = (settings.router.http, settings.stow.listen)
    return any(_is_at(one, *web_endpoint(url)) for one in listening)


def is_own_address(settings: Settings, host: str, port: int) -> bool:
    """Whether associations with ``host:port``, over TLS or not, would reach the router itself.

    As far as names tell.
    """
    return any(_is_at(one, host, port) for one in (settings.router.dicom, settings.tls.listen))


def _is_at(listening: Endpoint | None, host: str, port: int) -> bool:
    if listening is None or port != listening.port:
        return False
    host = host.casefold()
    return host == listening.host or (listening.host in _THIS_MACHINE and host in _THIS_MACHINE)


def _overlap(one: str, other: str) -> bool:
    return one == other or bool({one, other} & _EVERYWHERE)
