"""How candidates of each kind are reached, beyond host and port. Plain values, no I/O.

Secrets are named here, never held: each is read from its file or variable when it is needed, so
that a new one counts at once and none is ever in a log, the ledger or an answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from router.domain.paths import PathTemplate

ROUTER, MODALITY = "router", "modality"
"""Whose AE title a candidate sees as the calling one."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is: in a file, or in a variable of the environment."""

    file: str = ""
    variable: str = ""

    def __str__(self) -> str:
        return f"file {self.file}" if self.file else f"environment variable {self.variable}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the router shows to a candidate: a token, or a user and the password."""

    secret: Secret
    user: str = ""  # empty: the secret is a bearer token


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Whom the router trusts, and how it proves who it is; each the path of a PEM file."""

    authority: str = ""  # empty: the authorities of the system
    certificate: str = ""  # empty: the router shows none
    key: str = ""  # empty: it stands in the file of the certificate


@dataclass(frozen=True, slots=True)
class DimseReach:
    """How an application entity is associated with, beyond host and port."""

    tls: TlsFiles | None = None  # PS3.15 annex B; None: in the clear
    calling: str = ROUTER  # whose AE title it sees as the calling one
    transcodes: bool = False  # whether it gets what it refuses in Explicit VR Little Endian

    @property
    def address(self) -> str:
        """Nothing but host and port."""
        return ""


@dataclass(frozen=True, slots=True)
class WebReach:
    """A candidate behind a URL."""

    url: str  # without a slash at its end
    credentials: Credentials | None = None
    tls: TlsFiles | None = None
    gzip: bool = False  # whether what is sent is compressed on its way

    @property
    def address(self) -> str:
        """Where it is, for a person."""
        return self.url


@dataclass(frozen=True, slots=True)
class FolderReach:
    """A candidate that is a folder of this machine, maybe on a share."""

    path: str
    files: PathTemplate

    @property
    def address(self) -> str:
        """Where it is, for a person."""
        return self.path


@dataclass(frozen=True, slots=True)
class S3Reach:
    """A candidate that is a bucket of an object store."""

    url: str  # of the store, without a slash at its end
    bucket: str
    region: str
    credentials: Credentials  # access key and secret key
    files: PathTemplate
    authority: str = ""  # beside those of the system; a PEM file

    @property
    def address(self) -> str:
        """Where it is, for a person."""
        return f"{self.url}/{self.bucket}"


@dataclass(frozen=True, slots=True)
class Broker:
    """Where tasks for a Celery application are queued."""

    url: str
    queue: str
    credentials: Credentials | None = None
    tls: TlsFiles | None = None


@dataclass(frozen=True, slots=True)
class NatsKey:
    """What the router signs with when a NATS server asks it who it is."""

    secret: Secret  # the seed of an nkey; or a credentials file, which holds a JWT and a seed
    has_jwt: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """Where it is told how far deliveries are: a NATS server, and how subjects begin there."""

    url: str
    subject: str
    credentials: Credentials | NatsKey | None = None
    tls: TlsFiles | None = None


@dataclass(frozen=True, slots=True)
class ChrisReach:
    """A ChRIS: the folder of its files, and the broker of its backend."""

    path: str
    broker: Broker
    progress: Progress | None = None
    pacs_name: str = ""  # empty: the AE title of whoever sent an instance

    @property
    def address(self) -> str:
        """Where it is, for a person."""
        return self.path


Reach = DimseReach | WebReach | FolderReach | S3Reach | ChrisReach
"""What a candidate of any kind but plain ``dimse`` has."""
