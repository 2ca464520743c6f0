"""Where an index is: a SQLite file, or a database of a PostgreSQL server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

SCHEMES = frozenset({"postgresql", "postgres"})
_HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """A database as libpq's connection URIs name it. As text it shows no password."""

    url: str

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        if parts.password is None:
            return self.url
        user, _, host = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user.partition(':')[0]}:{_HIDDEN}@{host}").geturl()

    def __repr__(self) -> str:
        return f"PostgresAddress({str(self)!r})"


IndexAddress = Path | PostgresAddress
"""An index that a writer is told of."""


def parse_index(text: str) -> IndexAddress:
    """A path, or ``postgresql://USER@HOST/DATABASE``; raises ``ValueError``."""
    if "://" not in text:
        return Path(text)
    parts = urlsplit(text)
    if not (parts.scheme in SCHEMES and parts.path.strip("/") and _has_port(parts)):
        address = PostgresAddress(text)
        raise ValueError(
            f"'{address}' names no index: write postgresql://USER@HOST/DATABASE, or a path"
        )
    return PostgresAddress(text)


def _has_port(parts: SplitResult) -> bool:
    """Whether the port is one, or is left out."""
    try:
        return parts.port != 0
    except ValueError:
        return False
