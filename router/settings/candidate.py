"""One candidate in the routing YAML."""

from __future__ import annotations

from router.domain.candidate import Level
from router.settings.chris import BrokerAddress, NatsAddress, PacsName, Word
from router.settings.hours import HoursText
from router.settings.section import Location, Section
from router.settings.values import (
    BucketName,
    Calling,
    Count,
    Criteria,
    Flag,
    Host,
    Kind,
    Port,
    PriorityName,
    Rate,
    RegionName,
    Template,
    Transcode,
    UserName,
    VariableName,
    WebAddress,
)


class AuthSection(Section):
    """What the router shows to a candidate: a token, or a user and the password.

    The secrets themselves stand elsewhere: in a file, or in a variable of the environment.
    """

    token_file: Location | None = None
    """File with the token (Authorization: Bearer)."""
    token_env: VariableName | None = None
    """Environment variable with the token."""
    user: UserName | None = None
    """User, with a password (Authorization: Basic)."""
    password_file: Location | None = None
    """File with the password."""
    password_env: VariableName | None = None
    """Environment variable with the password."""


class NatsAuthSection(Section):
    """What the router shows to a NATS server: a token, a password, an nkey or a credentials file.

    The secrets themselves stand elsewhere, as for auth.
    """

    token_file: Location | None = None
    """File with a token."""
    token_env: VariableName | None = None
    """Environment variable with a token."""
    user: UserName | None = None
    """User, with a password."""
    password_file: Location | None = None
    """File with the password."""
    password_env: VariableName | None = None
    """Environment variable with the password."""
    nkey_file: Location | None = None
    """File with the seed of an nkey, as nk -gen user writes it."""
    nkey_env: VariableName | None = None
    """Environment variable with the seed of an nkey."""
    creds_file: Location | None = None
    """Credentials file with a JWT and a seed, as nsc generate creds writes it."""


class TlsSection(Section):
    """Whom the router trusts, and how it proves who it is; all files are PEM."""

    authority: Location | None = None
    """Certificates that are trusted; left out: the authorities of the system."""
    certificate: Location | None = None
    """Certificate that the router shows, for those who ask for one."""
    key: Location | None = None
    """Its key; left out: it stands in the file of the certificate."""


class CandidateSection(Section):
    """A candidate: static with an address, else what outranks a writer that registers itself.

    A key that is left out takes what the writer says of itself, or the default.
    """

    kind: Kind | None = None
    """How the candidate is reached; default dimse (C-STORE)."""
    host: Host | None = None
    """Host name or address of a static candidate of kind dimse."""
    port: Port | None = None
    """DICOM port of a static candidate of kind dimse."""
    url: WebAddress | None = None
    """Address of a static candidate that is reached over HTTP."""
    path: Location | None = None
    """Folder of a candidate of kind folder, or of ChRIS' files; relative to this file's folder."""
    bucket: BucketName | None = None
    """Bucket of a candidate of kind s3, in the store at url."""
    region: RegionName | None = None
    """Region of the store; default us-east-1."""
    files: Template | None = None
    """Path of each instance in a folder or bucket, with {Keyword}; names study and instance."""
    broker: BrokerAddress | None = None
    """Broker of a candidate of kind chris, where series are registered: amqp:// or redis://."""
    queue: Word | None = None
    """Queue of the workers that register series; default main2."""
    nats: NatsAddress | None = None
    """NATS server, nats:// or tls://, that is told how far series are; left out: none is."""
    nats_auth: NatsAuthSection | None = None
    """What the router shows to the NATS server."""
    nats_tls: TlsSection | None = None
    """Certificates for a NATS server whose address begins with tls."""
    subject: Word | None = None
    """How subjects begin there; default oxidicom."""
    pacs_name: PacsName | None = None
    """PACS that ChRIS shows series under; default the AE title of whoever sent them."""
    auth: AuthSection | None = None
    """What the router shows to the candidate at url, or to its broker."""
    tls: TlsSection | None = None
    """Certificates, for DICOM over TLS, an https url, or a broker that is reached over TLS."""
    calling: Calling | None = None
    """Calling AE title that it sees: the router's (default), or that of the modality."""
    transcode: Transcode | None = None
    """Send what it refuses in Explicit VR Little Endian, when-refused; default never."""
    gzip: Flag | None = None
    """Compress what is sent to an Orthanc's transfers accelerator; default false."""
    criteria: Criteria | None = None
    """Routing criteria; a static candidate without any gets every study (a backup writer)."""
    discard: tuple[Criteria, ...] | None = None
    """Studies that match any of these are not for this candidate, though its criteria match."""
    level: Level | None = None
    """What criteria decide about: the whole study (default), each series, each instance."""
    priority: PriorityName | None = None
    """Place of its studies in its queue; default normal."""
    required: Flag | None = None
    """Whether a study is settled only when this candidate has it; default true."""
    associations: Count | None = None
    """Parallel associations to this candidate; default delivery.associations."""
    rate: Rate | None = None
    """Bytes per second that it is sent at most; left out: as fast as it goes."""
    window: tuple[HoursText, ...] | None = None
    """Hours in which it is sent to, by the router's clock or in UTC; left out: always."""
    commitment: Flag | None = None
    """Ask it for storage commitment: only then has it a study; default false."""

    @property
    def is_static(self) -> bool:
        """Whether the candidate exists without registering itself."""
        whole = self.host is not None and self.port is not None
        return whole or self.url is not None or self.path is not None
