"""Three writers behind a router, and when they have everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.receivers import Receiver, storescp, wait_quickly
from bench.senders import held

QUIET_S = 0.2
"""How long the router waits after a release; taken off what is measured."""


@contextmanager
def writers(folder: Path, count: int = 3, *, tuned: bool = True) -> Iterator[list[Receiver]]:
    """So many storescp, in folders of their own."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(storescp(folder / f"writer{number}", tuned=tuned))
            for number in range(count)
        ]


def sections(receivers: Sequence[Receiver]) -> Mapping[str, Any]:
    """A routing YAML with these writers as candidates that get everything."""
    return {
        "completion": {"quiet_after": f"{round(QUIET_S * 1000)}ms", "stable_after": "1m"},
        "candidates": {
            f"WRITER{number}": {"host": "127.0.0.1", "port": receiver.port}
            for number, receiver in enumerate(receivers)
        },
    }


def all_stored(receivers: Sequence[Receiver], count: int, size: int) -> float:
    """Wait until each has so many instances of about so many bytes; when the last one came."""

    def there() -> float:
        found = [held(receiver.folder) for receiver in receivers]
        if all(one.files == count and one.bytes >= count * size for one in found):
            return max(one.last for one in found)
        return 0.0

    moment: float = wait_quickly(there, f"{count} instances at every writer", 120.0)
    return moment
