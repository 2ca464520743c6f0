"""What must hold between the values of a routing YAML, beyond each value by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from router.settings.models import CandidateSection, Settings
from router.settings.problems import Path, Severity
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
    yield from _spool(settings)
    yield from _token(settings)
    for name, candidate in settings.candidates.items():
        yield from _candidate(settings, name, candidate)
    yield from _shared_addresses(settings)


def _ports(settings: Settings) -> Iterator[Objection]:
    dicom, http = settings.router.dicom, settings.router.http
    if dicom.port and dicom.port == http.port and _overlap(dicom.host, http.host):
        yield Objection(
            ("router", "http"),
            f"port {http.port} is taken by router.dicom already",
            "give the HTTP API another port",
        )


def _durations(settings: Settings) -> Iterator[Objection]:
    registration, completion, retry = (
        settings.registration,
        settings.completion,
        settings.delivery.retry,
    )
    if registration.heartbeat * 2 > registration.lease:
        yield Objection(
            ("registration", "heartbeat"),
            "must be at most half of registration.lease, so that one heartbeat may be lost",
        )
    if completion.quiet_after > completion.stable_after:
        yield Objection(
            ("completion", "stable_after"),
            "is shorter than quiet_after, which then never decides",
            severity=Severity.WARNING,
        )
    if completion.max_wait is not None and completion.max_wait <= completion.quiet_after:
        yield Objection(
            ("completion", "max_wait"),
            "must be longer than quiet_after, which else never decides",
        )
    if retry.first > retry.max:
        yield Objection(("delivery", "retry", "first"), "is longer than delivery.retry.max")


def _spool(settings: Settings) -> Iterator[Objection]:
    spool = settings.spool
    if spool.max_bytes is not None and spool.max_bytes < 2 * spool.segment_size:
        yield Objection(
            ("spool", "max_bytes"), "must hold two segments at least", "lower spool.segment_size"
        )


def _token(settings: Settings) -> Iterator[Objection]:
    path = settings.registration.token_file
    if path is None:
        return
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        yield Objection(("registration", "token_file"), f"{path} cannot be read: {reason}")
        return
    if not token:
        yield Objection(("registration", "token_file"), f"{path} is empty")


def _candidate(settings: Settings, name: str, candidate: CandidateSection) -> Iterator[Objection]:
    path: Path = ("candidates", name)
    if name == settings.router.ae_title:
        yield Objection(path, "is the router itself; it would send to itself for ever")
    elif (
        candidate.host is not None
        and candidate.port is not None
        and is_own_address(settings.router.dicom, candidate.host, candidate.port)
    ):
        yield Objection(
            (*path, "port"), "is the router's own address; it would send to itself for ever"
        )
    if (candidate.host is None) != (candidate.port is None):
        missing = "port" if candidate.port is None else "host"
        yield Objection(
            path,
            f'key "{missing}" is missing',
            "a static candidate has host and port, one that registers itself has neither",
        )


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


def is_own_address(listening: Endpoint, host: str, port: int) -> bool:
    """Whether a candidate at ``host:port`` would be the router itself, as far as names tell."""
    if port != listening.port:
        return False
    host = host.casefold()
    return host == listening.host or (listening.host in _THIS_MACHINE and host in _THIS_MACHINE)


def _overlap(one: str, other: str) -> bool:
    return one == other or bool({one, other} & _EVERYWHERE)
