"""Which keys a candidate of each kind has: the one table of it, for YAML and registrations."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from router.domain.paths import parse_template
from router.domain.reach import (
    ROUTER,
    Broker,
    ChrisReach,
    Credentials,
    DimseReach,
    FolderReach,
    Progress,
    Reach,
    S3Reach,
    Secret,
    TlsFiles,
    WebReach,
)
from router.settings.candidate import AuthSection, CandidateSection, TlsSection

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
    "s3": Keys(("url", "bucket"), ("auth", "region", "files")),
    "chris": Keys(("path", "broker"), ("queue", "nats", "subject", "pacs_name", "auth")),
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
    if section.auth is not None:
        yield from (KindProblem("auth", message) for message in _auth_misfits(section.auth))
        if section.broker is not None and section.auth.user is None:
            yield KindProblem("auth", "needs a user and a password: a broker takes no token")
    if kind == "s3" and (section.auth is None or section.auth.user is None):
        message = "must name the access key as user, and its secret key as password"
        yield KindProblem("auth" if section.auth is not None else "", f"auth {message}")
    if section.tls is not None:
        yield from _tls_misfits(section, section.tls)
    if section.transcode == WHEN_REFUSED and not all(map(find_spec, ("numpy", "gdcm"))):
        message = "decodes nothing compressed: numpy and python-gdcm are not installed"
        hint = "pip install 'dicom-router[transcode]'"
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
            _credentials(section.auth),
            section.files or DEFAULT_FILES,
        )
    if section.url is None:
        return dimse_reach(_tls_files(section.tls), section.calling, section.transcode)
    return WebReach(
        section.url,
        None if section.auth is None else _credentials(section.auth),
        _tls_files(section.tls),
        gzip=section.gzip or False,
    )


def _chris(section: CandidateSection, path: str, broker: str) -> ChrisReach:
    return ChrisReach(
        path,
        Broker(
            broker,
            section.queue or DEFAULT_QUEUE,
            None if section.auth is None else _credentials(section.auth),
        ),
        None
        if section.nats is None
        else Progress(section.nats, section.subject or DEFAULT_SUBJECT),
        section.pacs_name or "",
    )


def dimse_reach(tls: TlsFiles | None, calling: str | None, transcode: str | None) -> Reach | None:
    """How an application entity is associated with; None: with nothing but host and port."""
    reach = DimseReach(tls, calling or ROUTER, transcodes=transcode == WHEN_REFUSED)
    return None if reach == DimseReach() else reach


def _auth_misfits(auth: AuthSection) -> Iterator[str]:
    tokens = [auth.token_file, auth.token_env]
    passwords = [auth.password_file, auth.password_env]
    if auth.user is None:
        if sum(one is not None for one in tokens) != 1 or any(passwords):
            yield "needs token_file or token_env, or a user with password_file or password_env"
            return
    elif sum(one is not None for one in passwords) != 1 or any(tokens):
        yield "needs password_file or password_env for its user, and no token"
        return
    for path in (auth.token_file, auth.password_file):
        if path is not None and (reason := unreadable(path)):
            yield f"{path} cannot be read: {reason}"
    for variable in (auth.token_env, auth.password_env):
        if variable is not None and not os.environ.get(variable):
            yield f"the environment variable {variable} is not set"


def _tls_misfits(section: CandidateSection, tls: TlsSection) -> Iterator[KindProblem]:
    if section.url is not None and not section.url.startswith("https:"):
        yield KindProblem("tls", "is of no use: url does not begin with https")
    if tls.key is not None and tls.certificate is None:
        yield KindProblem("tls", "has a key without a certificate")
    for path in (tls.authority, tls.certificate, tls.key):
        if path is not None and (reason := unreadable(path)):
            yield KindProblem("tls", f"{path} cannot be read: {reason}")


def unreadable(path: Path) -> str:
    """Why a file cannot be read as text; empty: it can."""
    try:
        return "" if path.read_text(encoding="utf-8").strip() else "it is empty"
    except UnicodeDecodeError:
        return "it is not text"
    except OSError as error:
        return error.strerror or str(error)


def _credentials(auth: AuthSection) -> Credentials:
    if auth.user is None:
        return Credentials(_secret(auth.token_file, auth.token_env))
    return Credentials(_secret(auth.password_file, auth.password_env), auth.user)


def _secret(file: Path | None, variable: str | None) -> Secret:
    return Secret("" if file is None else str(file), variable or "")


def _tls_files(tls: TlsSection | None) -> TlsFiles | None:
    if tls is None:
        return None
    return TlsFiles(
        *("" if path is None else str(path) for path in (tls.authority, tls.certificate, tls.key))
    )
