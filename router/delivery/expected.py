"""Which errors are part of delivering, and what a person reads of them."""

from __future__ import annotations

from router.domain.errors import RouterError

EXPECTED = (RouterError, OSError)
"""What candidates, networks and disks do; anything else is a fault of our own."""


def told(error: Exception) -> str:
    """What a person reads of an error."""
    name = type(error).__name__
    return str(error) or name if isinstance(error, EXPECTED) else f"{name}: {error}"
