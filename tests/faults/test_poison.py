"""An object that a writer goes down with is kept from the next one; everything else goes on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.corpus import make_ct_series, nested_sequences
from tests.e2e.stack import Process, RouterProcess, free_port, running, wait_until
from tests.faults.sending import send
from tests.peers import echoes

PIXEL_DATA = b"\xe0\x7f\x10\x00"
LEVELS = 500
"""More than pydicom can read; the router of this test lets them pass."""

SETTINGS: dict[str, Any] = {
    "router": {"max_sequence_depth": 1000},
    "completion": {"quiet_after": "200ms", "stable_after": "5s"},
    "delivery": {"retry": {"first": "200ms", "max": "1s"}},
}


class FragileWriter(Process):
    """A writer of pynetdicom that ends when it cannot read an object, and is started again."""

    __slots__ = ("ae_title", "folder", "port")

    def __init__(self, directory: Path, ae_title: str):
        self.ae_title, self.folder, self.port = ae_title, directory / ae_title, free_port()
        arguments = ["tests.faults.fragile_writer", str(self.port), str(self.folder), ae_title]
        super().__init__(ae_title, arguments, directory / f"{ae_title}.log")

    @property
    def falls(self) -> int:
        """How often it went down."""
        return len(list((self.folder / "falls").glob("*")))

    @property
    def stored(self) -> int:
        """How many instances it holds."""
        return len(list((self.folder / "stored").glob("*")))

    def close(self) -> None:
        """Make sure that it and its child are gone."""
        if self._child is not None and self._child.poll() is None:
            self.terminate()


def poison(path: Path) -> None:
    """Make an object of a file that pydicom cannot read."""
    content = path.read_bytes()
    at = content.index(PIXEL_DATA)
    path.write_bytes(content[:at] + nested_sequences(LEVELS) + content[at:])


def delivery_in(router: RouterProcess, ae_title: str, state: str) -> Any:
    """The delivery to a candidate when it is in a state; None before."""
    listed = router.get(f"/deliveries?candidate={ae_title}")["deliveries"]
    return next((one for one in listed if one["state"] == state), None)


@pytest.mark.timeout(240)
def test_what_one_writer_goes_down_with_is_not_given_to_the_next(tmp_path: Path) -> None:
    first, second = FragileWriter(tmp_path, "FIRST"), FragileWriter(tmp_path, "SECOND")
    candidates = {one.ae_title: {"host": "127.0.0.1", "port": one.port} for one in (first, second)}
    router = RouterProcess(tmp_path / "router", {**SETTINGS, "candidates": candidates})
    made = make_ct_series(tmp_path / "study", instances=3, rows=8, columns=8)
    poison(made[1])
    later = make_ct_series(tmp_path / "later", instances=2, rows=8, columns=8)

    with running(router, first):
        wait_until(lambda: echoes(first.port, "FIRST"), "the first writer answers")
        assert send(router, made).acknowledged == set(made)
        dead = wait_until(lambda: delivery_in(router, "FIRST", "dead"), "it is set aside", 120)
        assert (first.falls, first.stored) == (3, 2)
        assert "dropped 3 times on this instance" in dead["reason"]

        with running(second):
            held = wait_until(
                lambda: delivery_in(router, "SECOND", "dead"), "it is held back from the next", 120
            )
            assert (second.falls, second.stored) == (0, 2)
            assert "held back: associations with FIRST dropped 3 times" in held["reason"]

            assert send(router, later).acknowledged == set(later)
            for ae_title in ("FIRST", "SECOND"):
                has_it = partial(delivery_in, router, ae_title, "delivered")
                wait_until(has_it, f"{ae_title} gets what comes later")

            router.post(f"/deliveries/{held['id']}/retry", {})
            wait_until(lambda: second.falls == 1, "it is sent when a person says so")
