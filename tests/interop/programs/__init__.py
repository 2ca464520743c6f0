"""Peers that are libraries, made into programs."""

from __future__ import annotations

from pathlib import Path

PROGRAMS = Path(__file__).parent
NODE_MODULES = Path(__file__).parents[3] / ".cache" / "npm" / "node_modules"
"""Where ``make peers`` installs what ``package-lock.json`` lists."""


def node_environment() -> dict[str, str]:
    """What Node.js needs to find the library."""
    return {"NODE_PATH": str(NODE_MODULES)}
