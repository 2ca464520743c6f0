"""What this process has open."""

from __future__ import annotations

from pathlib import Path


def open_below(folder: Path) -> list[Path]:
    """Files below a folder that are open."""
    links = list(Path("/proc/self/fd").iterdir())
    targets = [link.readlink() for link in links if link.is_symlink()]
    return [one for one in targets if one.is_relative_to(folder)]


def open_attachments(storage: Path) -> list[Path]:
    """Attachments of a storage area that are open."""
    return [one for one in open_below(storage) if one.parent.parent.parent == storage]
