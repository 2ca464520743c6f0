"""What the services need from the outside, as small protocols.

Adapters implement them (``spool``, ``ledger``, ``net``, ``delivery.destinations``); services and
tests know nothing else. Each method's docstring is its contract.
"""

from router.ports.clock import Clock
from router.ports.commitment import CommitmentLedger
from router.ports.destinations import (
    Destination,
    DestinationSession,
    InstanceDestination,
    RevisionDestination,
)
from router.ports.interventions import Intervention, InterventionLedger
from router.ports.ledger import (
    ArrivalLedger,
    DeliveryLedger,
    Ledger,
    RegistrationLedger,
    RetentionLedger,
    RevisionLedger,
)
from router.ports.spool import Sealed, Spool, SpoolReader, SpoolWriter
from router.ports.views import LedgerViews

__all__ = [
    "ArrivalLedger",
    "Clock",
    "CommitmentLedger",
    "DeliveryLedger",
    "Destination",
    "DestinationSession",
    "InstanceDestination",
    "Intervention",
    "InterventionLedger",
    "Ledger",
    "LedgerViews",
    "RegistrationLedger",
    "RetentionLedger",
    "RevisionDestination",
    "RevisionLedger",
    "Sealed",
    "Spool",
    "SpoolReader",
    "SpoolWriter",
]
