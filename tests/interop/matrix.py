"""``python -m tests.interop.matrix``: measure all peers, print the matrix; ``--write`` keeps it.

Three tables: peers as senders to the router, peers as writers behind it, and the same senders with
other receivers in the router's place. The first two are held to ``expected`` by the tests.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path

from tests.interop.measuring import Column, Files, measure_sender, measure_writers, the_router
from tests.interop.programs import NODE_MODULES
from tests.interop.report import DOCUMENT, comparison_of, table_of, written
from tests.interop.senders import SENDERS
from tests.interop.writers import WRITERS, Writer

RECEIVERS: dict[str, Callable[[Path], AbstractContextManager[Writer]]] = {
    "the router": the_router,
    "dcmtk storescp": WRITERS["dcmtk"],
    "Orthanc": WRITERS["Orthanc"],
    "pynetdicom storescp": WRITERS["pynetdicom"],
}
DEBIAN = {
    "dcmtk": "dcmtk",
    "Orthanc": "orthanc",
    "odil": "odil",
    "CTN": "ctn",
    "gdcm": "libgdcm-tools",
    "PixelMed": "libpixelmed-java",
}
"""Peer to Debian package."""


def versions() -> str:
    """Which peers were measured."""
    found = {name: _debian(package) for name, package in DEBIAN.items()}
    package = json.loads((NODE_MODULES / "dcmjs-dimse" / "package.json").read_text())
    found |= {"dcmjs-dimse": package["version"], "pynetdicom": version("pynetdicom")}
    return ", ".join(f"{name} {number}" for name, number in found.items()) + "\n"


def _debian(package: str) -> str:
    """The version of a package, as its authors number it."""
    command = ["dpkg-query", "-W", "-f", "${Version}", package]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.partition("-")[0].partition("+dfsg")[0].partition("~dfsg")[0]


def measure_senders(receiver: Writer, folder: Path) -> Mapping[str, Column]:
    """All peers as senders to one receiver."""
    columns: dict[str, Column] = {}
    for name, opened in SENDERS.items():
        sys.stderr.write(f"  from {name}\n")
        with opened(folder / name) as sender:
            columns[name] = measure_sender(sender, receiver, Files(folder / name / "files"))
    return columns


def measured(folder: Path) -> Iterator[tuple[str, str]]:
    """All that is written: the name of its place, and the text."""
    yield "versions", versions()
    sys.stderr.write("through the router, to all peers\n")
    files = Files(folder / "files")
    yield "writers", table_of(measure_writers(folder / "writers", files, list(WRITERS)))
    beside: dict[str, Mapping[str, Column]] = {}
    for number, (name, opened) in enumerate(RECEIVERS.items()):
        sys.stderr.write(f"to {name}\n")
        place = folder / str(number)
        with opened(place / "receiver") as receiver:
            beside[name] = measure_senders(receiver, place)
        if not number:
            yield "senders", table_of(beside[name])
    yield "comparison", comparison_of(beside)


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.interop.matrix")
    parser.add_argument("--write", action="store_true", help=f"into {DOCUMENT.name}")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for place, text in measured(Path(folder)):
            sys.stdout.write(f"{place}\n\n{text}\n")
            sys.stdout.flush()
            if arguments.write:
                DOCUMENT.write_text(written(DOCUMENT.read_text(), place, text))


if __name__ == "__main__":
    main()
