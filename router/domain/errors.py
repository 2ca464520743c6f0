"""Every error that a person may have to act on, defined once.

An error says what happened, to which study, instance or candidate, and what to do. Each class
names the DIMSE status (PS3.7 annex C, PS3.4 annex B) and the HTTP status that it becomes at an
edge, so that no edge needs a table of its own.
"""

from __future__ import annotations

from typing import ClassVar


class RouterError(Exception):
    """The root: any fault that the router explains rather than crashes on."""

    dimse_status: ClassVar[int] = 0x0110  # Processing failure
    http_status: ClassVar[int] = 500


class InvalidAETitle(RouterError, ValueError):
    """An AE title that PS3.5 (VR AE) does not allow."""

    dimse_status = 0x0117
    http_status = 422


class InvalidUID(RouterError, ValueError):
    """A UID that PS3.5 section 9 does not allow."""

    dimse_status = 0x0117
    http_status = 422


class InvalidCriteria(RouterError, ValueError):
    """Routing criteria or a discard filter that cannot be understood; the text says which part."""

    http_status = 422


class ConfigurationError(RouterError):
    """The routing YAML cannot be used; the text carries file, line, column and a suggestion."""

    http_status = 422


class ProtocolError(RouterError):
    """A peer sent bytes that PS3.8 does not allow; the association is aborted, nothing else."""


class SpoolFull(RouterError):
    """No room for another instance: the sender must keep it and come back (A700)."""

    dimse_status = 0xA700
    http_status = 503


class SpoolFailed(RouterError):
    """The disk under the spool answered with an error: the instance is not acknowledged."""

    dimse_status = 0xA700
    http_status = 503


class RecordReclaimed(SpoolFailed):
    """The bytes have left the spool for good: whoever wants them has to send them again."""


class CorruptRecord(RouterError):
    """Bytes in the spool do not match their checksum: they never leave the router."""


class CannotUnderstand(RouterError):
    """The data set cannot be read far enough to know its study (C000)."""

    dimse_status = 0xC000
    http_status = 409


class NotAuthorised(RouterError):
    """Policy refuses this sender or this instance (0124)."""

    dimse_status = 0x0124
    http_status = 403


class UnknownCandidate(RouterError):
    """No candidate of this AE title is registered."""

    http_status = 404


class UnknownStudy(RouterError):
    """The ledger holds no study of this Study Instance UID."""

    dimse_status = 0x0112
    http_status = 404


class RegistrationClosed(RouterError):
    """The routing YAML does not let this writer register itself."""

    http_status = 403


class AssociationRejected(RouterError):
    """The peer rejected the association (PS3.8 table 9-21)."""

    http_status = 502


class AssociationLost(RouterError):
    """The peer aborted, or the connection broke, before the operation was answered."""

    http_status = 502


class CandidateUnavailable(RouterError):
    """The candidate takes nothing at present, whatever it is sent; no instance is at fault."""

    http_status = 502


class AssociationAborted(AssociationLost):
    """The peer aborted the association in due form: it will have no more of this, but it lives."""

    http_status = 502


class ContextNotAccepted(RouterError):
    """The peer accepted no presentation context for an operation; it will not take the instance."""

    dimse_status = 0x0122
    http_status = 502


class QueryFailed(RouterError):
    """The peer does not answer what it was asked by C-FIND."""

    http_status = 502


class TransferSyntaxNotSupported(RouterError):
    """An instance comes in a transfer syntax that cannot be one (PS3.18 table I.2-2: C122)."""

    dimse_status = 0xC122
    http_status = 409


class PeerTimeout(AssociationLost):
    """The peer did not answer in time."""

    http_status = 504


class LedgerFailed(RouterError):
    """The ledger cannot be read or written; acknowledged instances stay safe in the spool."""

    dimse_status = 0xA700
    http_status = 503


class StateConflict(RouterError):
    """The revision or delivery is past the state that a change asks for; nothing was changed."""

    http_status = 409


class UnknownDelivery(StateConflict):
    """The ledger holds no delivery of this number."""

    http_status = 404
