"""What the figures belong to: the machine, and the versions of everything that took part."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from router import __version__


@dataclass(frozen=True)
class Facts:
    """The machine and the versions, as pairs for a table."""

    day: str
    pairs: tuple[tuple[str, str], ...]

    def table(self) -> Iterable[str]:
        """As Markdown."""
        yield "| | |"
        yield "|---|---|"
        for name, value in self.pairs:
            yield f"| {name} | {value} |"


def facts() -> Facts:
    """Look around."""
    packages = ("pynetdicom", "pydicom", "SQLAlchemy")
    return Facts(
        datetime.now(UTC).date().isoformat(),
        (
            ("processor", f"{_processor()}, {os.cpu_count()} cores"),
            ("memory", f"{psutil.virtual_memory().total / 2**30:.0f} GiB"),
            ("kernel", f"{platform.system()} {platform.release()}"),
            ("disk", f"{file_system(Path(tempfile.gettempdir()))}; everything on loopback"),
            ("Python", platform.python_version()),
            ("router", __version__),
            ("dcmtk", _said("/usr/bin/storescp", "--version")),
            ("Orthanc", _said("/usr/sbin/Orthanc", "--version")),
            *((name, importlib.metadata.version(name)) for name in packages),
        ),
    )


def file_system(directory: Path) -> str:
    """Type of the file system that holds the directory."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    path = directory.resolve()
    inside = [(len(point), kind) for point, kind in mounts if path.is_relative_to(point)]
    return max(inside)[1]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.machine()


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    found = re.search(r"v?(\d+\.\d+\.\d+)", done.stdout + done.stderr)
    return found[1] if found else "unknown"
