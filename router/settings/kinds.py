"""Which keys a candidate of each kind has: the one table of it, for YAML and registrations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import urlsplit

from router.domain.paths import parse_template
from router.domain.reach import (
    ROUTER,
    Broker,
    ChrisReach,
    DimseReach,
    FolderReach,
    Progress,
    Reach,
    S3Reach,
    TlsFiles,
    WebReach,
)
from router.settings.candidate import CandidateSection
from router.settings.chris import SECURED_BROKERS, SECURED_NATS
from router.settings.proofs import (
    auth_misfits,
    credentials,
    nats_auth_misfits,
    nats_credentials,
    tls_files,
    tls_misfits,
)

DEFAULT_KIND = "dimse"
DEFAULT_FILES = parse_template(
    "{PatientID}/{StudyInstanceUID}/{SeriesInstanceUID}/{SOPInstanceUID}.dcm"
)
"""Where files go below a folder, if nothing else is said."""
WHEN_REFUSED = "when-refused"
DEFAULT_REGION = "us-east-1"
DEFAULT_QUEUE = "main2"
DEFAULT_SUBJECT = "oxidicom"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one kind: those that say where it is, and those that may stand beside them."""

    address: tuple[str, ...]
    more: tuple[str, ...] = ()
    compares: bool = False
    """What it holds is always compared with what it was sent, before a study counts as delivered.
    """


KINDS: Mapping[str, Keys] = {
    "dimse": Keys(("host", "port"), ("tls", "calling", "transcode", "commitment")),
    "stow-rs": Keys(("url",), ("auth", "tls")),
    "orthanc-rest": Keys(("url",), ("auth", "tls"), compares=True),
    "orthanc-transfers": Keys(("url",), ("auth", "tls", "gzip"), compares=True),
    "folder": Keys(("path",), ("files",)),
    "s3": Keys(("url", "bucket"), ("auth", "tls", "region", "files")),
    "chris": Keys(
        ("path", "broker"),
        ("auth", "tls", "queue", "nats", "nats_auth", "nats_tls", "subject", "pacs_name"),
    ),
}
"""Every kind that there is."""

_OWN_KEYS = tuple(dict.fromkeys(key for keys in KINDS.values() for key in keys.address + keys.more))
_FREE_KEYS = frozenset(
    {"calling", "transcode", "commitment"}
)  # may stand beside what a writer says of itself


@dataclass(frozen=True, slots=True)
class KindProblem:
    """A key that does not fit the kind; ``key`` is empty where one is missing."""

    key: str
    message: str
    hint: str = ""
    is_passing: bool = False
    """Whether it may be so for now: deliveries wait until it is right."""


def lacks(kind: str, key: str) -> bool:
    """Whether a candidate of this kind cannot be reached without the key."""
    return key in KINDS[kind].address


def knows(kind: str, key: str) -> bool:
    """Whether a candidate of this kind may have the key."""
    return key in KINDS[kind].address + KINDS[kind].more


def kinds_with(key: str) -> str:
    """The kinds that have a key, for a person."""
    return ", ".join(kind for kind in KINDS if knows(kind, key))


def static_misfits(section: CandidateSection) -> Iterator[KindProblem]:
    """What is wrong with the keys of a section of the routing YAML.

    One that registers itself has no address in the YAML, hence no credentials either: whoever
    registered in its name would be shown them.
    """
    kind = section.kind or DEFAULT_KIND
    said = [key for key in _OWN_KEYS if getattr(section, key) is not None]
    for key in said:
        if not knows(kind, key):
            yield KindProblem(key, f"is no key of kind {kind}", f"it is one of {kinds_with(key)}")
    missing = [key for key in KINDS[kind].address if key not in said]
    if missing and (set(said) - _FREE_KEYS or kind != DEFAULT_KIND):
        yield KindProblem(
            "",
            " and ".join(f'key "{key}" is missing' for key in missing),
            "a static candidate has its address here, one that registers itself has none",
        )
    for key, message in (*_auth_misfits(section, kind), *_nats_misfits(section)):
        yield KindProblem(key, message)
    yield from _passing_misfits(section)


def _auth_misfits(section: CandidateSection, kind: str) -> Iterator[tuple[str, str]]:
    """Each with its key: what is wrong with credentials and certificates for the candidate."""
    if section.auth is not None:
        yield from (("auth", message) for message in auth_misfits(section.auth))
        if section.broker is not None and section.auth.user is None:
            yield "auth", "needs a user and a password: a broker takes no token"
    if kind == "s3" and (section.auth is None or section.auth.user is None):
        message = "must name the access key as user, and its secret key as password"
        yield "auth" if section.auth is not None else "", f"auth {message}"
    if section.tls is not None:
        if section.broker is not None:
            found = tls_misfits(section.tls, "broker", section.broker, SECURED_BROKERS)
        else:
            found = tls_misfits(section.tls, "url", section.url, ("https",))
        yield from (("tls", message) for message in found)
        if kind == "s3" and section.tls.certificate is not None:
            yield "tls", "has a certificate, but a store is shown none"


def _nats_misfits(section: CandidateSection) -> Iterator[tuple[str, str]]:
    """Each with its key: what is wrong with what the NATS server is shown."""
    if section.nats_auth is not None:
        yield from (("nats_auth", message) for message in nats_auth_misfits(section.nats_auth))
    if section.nats_tls is not None:
        found = tls_misfits(section.nats_tls, "nats", section.nats, SECURED_NATS)
        yield from (("nats_tls", message) for message in found)
    if section.nats is None:
        said = [key for key in ("nats_auth", "nats_tls") if getattr(section, key) is not None]
        yield from ((key, 'is of no use: key "nats" is missing') for key in said)


def _passing_misfits(section: CandidateSection) -> Iterator[KindProblem]:
    """What may be right by the time that the candidate is delivered to."""
    if section.transcode == WHEN_REFUSED and not all(map(find_spec, ("numpy", "gdcm"))):
        message = "decodes nothing compressed: numpy and python-gdcm are not installed"
        hint = "pip install numpy python-gdcm"
        yield KindProblem("transcode", message, hint, is_passing=True)
    if section.path is not None and not section.path.is_dir():
        yield KindProblem(
            "path", f"{section.path} is no folder", "it is not made by the router", is_passing=True
        )


def web_endpoint(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def static_reach(section: CandidateSection) -> Reach | None:
    """How the candidate of a section is reached, beyond host and port."""
    if section.path is not None and section.broker is not None:
        return _chris(section, str(section.path), section.broker)
    if section.path is not None:
        return FolderReach(str(section.path), section.files or DEFAULT_FILES)
    if section.url is not None and section.bucket is not None and section.auth is not None:
        return S3Reach(
            section.url,
            section.bucket,
            section.region or DEFAULT_REGION,
            credentials(section.auth),
            section.files or DEFAULT_FILES,
            authority="" if section.tls is None else str(section.tls.authority or ""),
        )
    if section.url is None:
        return dimse_reach(tls_files(section.tls), section.calling, section.transcode)
    return WebReach(
        section.url,
        None if section.auth is None else credentials(section.auth),
        tls_files(section.tls),
        gzip=section.gzip or False,
    )


def _chris(section: CandidateSection, path: str, broker: str) -> ChrisReach:
    return ChrisReach(
        path,
        Broker(
            broker,
            section.queue or DEFAULT_QUEUE,
            None if section.auth is None else credentials(section.auth),
            tls_files(section.tls),
        ),
        None if section.nats is None else _progress(section, section.nats),
        section.pacs_name or "",
    )


def _progress(section: CandidateSection, nats: str) -> Progress:
    return Progress(
        nats,
        section.subject or DEFAULT_SUBJECT,
        None if section.nats_auth is None else nats_credentials(section.nats_auth),
        tls_files(section.nats_tls),
    )


def dimse_reach(tls: TlsFiles | None, calling: str | None, transcode: str | None) -> Reach | None:
    """How an application entity is associated with; None: with nothing but host and port."""
    reach = DimseReach(tls, calling or ROUTER, transcodes=transcode == WHEN_REFUSED)
    return None if reach == DimseReach() else reach
