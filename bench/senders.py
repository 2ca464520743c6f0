"""What sends: our generator, and dcmtk's dcmsend over real files."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from bench.generator import CT_IMAGE, PLACEHOLDER, UID_DIGITS, data_set
from bench.receivers import AS_SHIPPED, TUNED
from router.dicom import uids
from router.dicom.part10 import file_header
from router.domain.instance import Identity


def generate(port: int, *, size: int, instances: int, associations: int = 1) -> dict[str, Any]:
    """Run the generator to its end; what it printed. failures are in it."""
    options = {"port": port, "bytes": size, "instances": instances, "associations": associations}
    command = [sys.executable, "-m", "bench.generator"]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=300)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@cache
def materials() -> Path:
    """A folder for what is made once and used often; gone at the end."""
    folder = Path(mkdtemp(prefix="bench-files-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def files(size: int, count: int) -> Path:
    """A folder with so many Part 10 files of about so many bytes, one study; made once."""
    folder = materials() / f"{count}x{size}"
    folder.mkdir()
    study = f"1.2.826.0.1.3680043.10.{size}.{count}"
    content = bytearray(data_set(study, size))
    place = content.index(PLACEHOLDER)
    for number in range(count):
        name = f"1.2.826.7.1{size:09d}{count:06d}{number:09d}".ljust(UID_DIGITS, "1")
        content[place : place + UID_DIGITS] = name.encode()
        identity = Identity(CT_IMAGE, name, study, study + ".1", uids.EXPLICIT_VR_LITTLE_ENDIAN)
        (folder / f"{number:05d}.dcm").write_bytes(file_header(identity, "BENCH") + content)
    os.sync()
    return folder


@dataclass(frozen=True)
class Sent:
    """When dcmsend called, and when it had sent everything (seconds since the epoch)."""

    began: float
    ended: float


def dcmsend(port: int, folder: Path, *, tuned: bool) -> Sent:
    """Send a folder over one association; what it took to read the files does not count."""
    command = ["/usr/bin/dcmsend", "-v", "-ma", "-aec", "ROUTER", "+sd"]
    command += ["--max-send-pdu", "131072"] if tuned else []
    environment: Mapping[str, str] = {**os.environ, **(TUNED if tuned else AS_SHIPPED)}
    began = 0.0
    with subprocess.Popen(
        [*command, "127.0.0.1", str(port), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if not began and "egotiating" in line:
                began = time.time()
    if child.returncode or not began:
        raise RuntimeError(f"dcmsend ended with {child.returncode}")
    return Sent(began, time.time())


@dataclass(frozen=True)
class Held:
    """What a writer's folder holds: how many files, how many bytes, and when the last one grew."""

    files: int
    bytes: int
    last: float


def held(folder: Path) -> Held:
    """Look into a writer's folder."""
    count, size, last = 0, 0, 0
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                status = entry.stat()
                count += 1
                size += status.st_size
                last = max(last, status.st_mtime_ns)
    return Held(count, size, last / 1e9)
