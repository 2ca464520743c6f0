"""Protocol data units of the upper layer (PS3.8 section 9.3): values, encoding and decoding.

P-DATA-TF is the hot path and has a module of its own, :mod:`router.dicom.pdata`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """A presentation context as proposed (PS3.8 section 9.3.2.2)."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ContextResult:
    """The acceptor's answer to one proposed context (PS3.8 section 9.3.3.2)."""

    context_id: int
    result: int  # 0 acceptance, 1 user rejection, 2 no reason, 3 abstract, 4 transfer syntaxes
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class RoleSelection:
    """SCP/SCU role selection for one SOP class (PS3.7 annex D.3.3.4)."""

    sop_class_uid: str
    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True)
class ExtendedNegotiation:
    """SOP class extended negotiation (PS3.7 annex D.3.3.5)."""

    sop_class_uid: str
    application_information: bytes


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """User identity negotiation request (PS3.7 annex D.3.3.7)."""

    kind: int
    response_requested: bool
    primary: bytes
    secondary: bytes


@dataclass(frozen=True, slots=True)
class UserInformation:
    """The user information item of A-ASSOCIATE-RQ and -AC (PS3.8 annex D.1, PS3.7 annex D.3.3)."""

    max_length: int = 0  # 0: no limit
    implementation_class_uid: str = ""
    implementation_version: str = ""
    async_operations: tuple[int, int] | None = None  # invoked, performed; 0 is unlimited
    roles: tuple[RoleSelection, ...] = ()
    extended: tuple[ExtendedNegotiation, ...] = ()
    user_identity: UserIdentity | None = None
    user_identity_response: bytes | None = None


@dataclass(frozen=True, slots=True)
class AssociateRQ:
    """A-ASSOCIATE-RQ (PS3.8 section 9.3.2)."""

    called_ae_title: str
    calling_ae_title: str
    contexts: tuple[ProposedContext, ...]
    user: UserInformation
    application_context: str = "1.2.840.10008.3.1.1.1"
    protocol_version: int = 1


@dataclass(frozen=True, slots=True)
class AssociateAC:
    """A-ASSOCIATE-AC (PS3.8 section 9.3.3)."""

    called_ae_title: str
    calling_ae_title: str
    results: tuple[ContextResult, ...]
    user: UserInformation
    application_context: str = "1.2.840.10008.3.1.1.1"
    protocol_version: int = 1


@dataclass(frozen=True, slots=True)
class AssociateRJ:
    """A-ASSOCIATE-RJ (PS3.8 section 9.3.4, table 9-21)."""

    result: int
    source: int
    reason: int


@dataclass(frozen=True, slots=True)
class ReleaseRQ:
    """A-RELEASE-RQ (PS3.8 section 9.3.6)."""


@dataclass(frozen=True, slots=True)
class ReleaseRP:
    """A-RELEASE-RP (PS3.8 section 9.3.7)."""


@dataclass(frozen=True, slots=True)
class Abort:
    """A-ABORT (PS3.8 section 9.3.8)."""

    source: int
    reason: int


ControlPDU = AssociateRQ | AssociateAC | AssociateRJ | ReleaseRQ | ReleaseRP | Abort
