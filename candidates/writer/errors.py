"""What a person may have to act on when a writer cannot go on."""

from __future__ import annotations


class WriterFailed(Exception):
    """The root: a fault that the writer explains and ends on, or refuses an instance for."""


class ArchiveInUse(WriterFailed):
    """Another process owns the storage area or the index, or has taken it over."""


class ArchiveMismatch(WriterFailed):
    """Storage area and index cannot belong together."""


class IndexFailed(WriterFailed):
    """The index cannot be opened, or answered with an error."""


class IndexUnavailable(IndexFailed):
    """The index could not be reached: nothing was asked of it."""
