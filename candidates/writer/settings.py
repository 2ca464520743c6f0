"""What a writer is told when it is started, and how its options are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from candidates.writer.address import StorageAddress, parse_storage
from candidates.writer.index.address import IndexAddress, parse_index
from candidates.writer.tags import ABOVE_INSTANCES, MAIN_TAGS
from router.domain.criteria import parse_criteria
from router.domain.errors import InvalidCriteria
from router.domain.expression import Expression, attributes_of
from router.domain.identifiers import ae_title
from router.settings.values import Endpoint, parse_peer, parse_url

KNOWN = frozenset(keyword for level in ABOVE_INSTANCES for keyword in MAIN_TAGS[level])
"""What criteria for cold studies may look at."""

Addresses = Mapping[str, tuple[str, int]]
"""Host and port by AE title."""


@dataclass(frozen=True, slots=True)
class CoolingPolicy:
    """When a study is let go of."""

    hot_for: timedelta  # since the last of it arrived
    archives: frozenset[str]  # AE titles; one of them has to have all of it
    criteria: Expression | None = None  # only studies that match; None: all

    def __post_init__(self) -> None:
        """Raises ``InvalidCriteria`` for criteria about what the index does not know."""
        if self.criteria is not None:
            unknown = {one.name for one in attributes_of(self.criteria)} - KNOWN
            if unknown:
                raise InvalidCriteria(
                    f"{', '.join(sorted(unknown))}: not in the index; "
                    f"there are {', '.join(sorted(KNOWN))}"
                )


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """What a writer is told when it is started; checked by the command line."""

    ae_title: str
    directory: StorageAddress
    spool: Path | None  # where instances stand until they are in S3; None: as temporary files do
    index: IndexAddress | None  # None: in the directory
    compress: bool
    host: str
    port: int  # 0 takes a free one
    router_url: str | None  # None: registers nowhere
    criteria: str | None  # None: a backup writer
    advertised_host: str
    token: str | None
    commitment: bool  # the router shall ask for it
    report_to: Addresses
    move_to: Addresses
    http: Endpoint | None  # where DICOMweb is offered
    http_token: str | None
    cooling: CoolingPolicy | None  # None: everything is kept


@dataclass(frozen=True, slots=True)
class Peer:
    """An application entity and where it listens."""

    ae_title: str
    endpoint: Endpoint


def parse_application(text: str) -> Peer:
    """``AET=HOST:PORT``; raises ``ValueError``."""
    title, separator, where = text.partition("=")
    if not separator:
        raise ValueError(f"{text!r} is not AET=HOST:PORT")
    return Peer(ae_title(title), parse_peer(where))


def parse_router_url(text: str) -> str:
    """The router's HTTP address; raises ``ValueError``."""
    return parse_url(text, ("http", "https"), "http://router:8080")


def checked_criteria(text: str) -> str:
    """The criteria as they were written, so that the router hears the writer's own words.

    Raises ``ValueError`` for what cannot be understood.
    """
    parse_criteria(text)
    return text


def checked_index(text: str) -> str:
    """A path or an address of an index, as it was written; raises ``ValueError``."""
    parse_index(text)
    return text


def checked_storage(text: str) -> str:
    """A path or an address of a storage area, as it was written; raises ``ValueError``."""
    parse_storage(text)
    return text


def addresses_of(peers: list[Peer] | None) -> Addresses:
    """By AE title."""
    return {one.ae_title: (one.endpoint.host, one.endpoint.port) for one in peers or ()}
