"""What the spool's layout is worth: durable instances per second, against the alternatives.

    python -m bench.spool --directory DIR [--sizes 50000,525000] [--writers 1,8] [--rounds 5]

In every round each layout runs once, in random order; the table shows medians. ``spool`` is the
router's own spool, driven from callbacks on one event loop, as receiving associations do. ``file``
is a file per instance, flushed with its directory, driven the same way through the same threads.
The ``disk`` rows are plain threads without an event loop that write and flush, and nothing else:
what this disk gives to any program that appends, preallocates, rewrites, or opens with O_DSYNC.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio
import xxhash

from bench.machine import file_system
from router.domain.errors import RouterError
from router.domain.instance import Disposition, Identity, Instance, Provenance
from router.spool.files import sync_directory
from router.spool.log import SYNC_THREADS, LocalSpool, open_spool
from router.spool.sync_pool import SyncPool

FRAGMENT = 128 * 1024  # about what one wake-up of a socket brings
HEADER = bytes(350)
IDENTITY = Identity("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4", "1.2.3", "1.2.3.1", "1.2.840.10008.1.2")
PROVENANCE = Provenance("CT1", "ROUTER", "10.0.0.7:1", "a-1", datetime(2026, 3, 1, tzinfo=UTC))
FACTS = {f"Attribute{number}": (f"value {number}",) for number in range(14)}

Run = Callable[[Path, int, int, int], float]
"""Directory, size of an instance, writers, instances of each writer: seconds."""


def fragments_of(size: int) -> list[memoryview]:
    """An instance as it comes in."""
    data = memoryview(random.Random(size).randbytes(size))
    return [data[start : start + FRAGMENT] for start in range(0, size, FRAGMENT)]


class Chain:
    """One association: begins the next instance when the last one is acknowledged."""

    def __init__(self, store: Callable[[Callable[[], None]], None], count: int):
        self._store = store
        self._left = count
        self.has_finished = anyio.Event()

    def next(self) -> None:
        if not self._left:
            self.has_finished.set()
            return
        self._left -= 1
        self._store(self.next)


async def run_chains(chains: Sequence[Chain]) -> float:
    """Seconds until all are finished."""
    began = time.perf_counter()
    for chain in chains:
        chain.next()
    for chain in chains:
        await chain.has_finished.wait()
    return time.perf_counter() - began


def store_in_spool(
    spool: LocalSpool, fragments: Sequence[memoryview], done: Callable[[], None]
) -> None:
    writer = spool.create(HEADER)
    for fragment in fragments:
        writer.write([fragment])

    def sealed(result: Instance | RouterError) -> None:
        if isinstance(result, RouterError):
            raise result
        done()

    writer.seal(IDENTITY, PROVENANCE, FACTS, Disposition.ACCEPTED, "", sealed)


def run_spool(directory: Path, size: int, writers: int, count: int) -> float:
    async def run() -> float:
        async with open_spool(directory) as spool:
            store = partial(store_in_spool, spool, fragments_of(size))
            return await run_chains([Chain(store, count) for _ in range(writers)])

    return anyio.run(run)


def store_in_file(
    directory: Path,
    pool: SyncPool,
    numbers: Iterable[int],
    fragments: Sequence[memoryview],
    done: Callable[[], None],
) -> None:
    number = next(iter(numbers))
    descriptor = os.open(directory / f"{number}.dcm", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    digest = xxhash.xxh3_64()
    os.write(descriptor, HEADER)
    for fragment in fragments:
        digest.update(fragment)
        os.write(descriptor, fragment)

    def flush() -> None:
        os.fdatasync(descriptor)
        os.close(descriptor)
        sync_directory(directory)

    pool.submit(flush, lambda _: done())


def run_files(directory: Path, size: int, writers: int, count: int) -> float:
    async def run() -> float:
        async with SyncPool(SYNC_THREADS) as pool:
            numbers = iter(range(writers * count))
            store = partial(store_in_file, directory, pool, numbers, fragments_of(size))
            return await run_chains([Chain(store, count) for _ in range(writers)])

    return anyio.run(run)


def run_threads(
    prepare: Callable[[int, int, int], None],
    flags: int,
    directory: Path,
    size: int,
    writers: int,
    count: int,
) -> float:
    """One thread and one file for each writer: write, flush, write, flush."""
    data = b"".join(fragments_of(size))
    barrier = threading.Barrier(writers + 1)

    def work(number: int) -> None:
        descriptor = os.open(directory / f"{number}.seg", os.O_RDWR | os.O_CREAT | flags, 0o600)
        prepare(descriptor, size, count)
        os.fsync(descriptor)
        barrier.wait()
        for index in range(count):
            os.pwrite(descriptor, data, index * size)
            if not flags & os.O_DSYNC:
                os.fdatasync(descriptor)
        barrier.wait()
        os.close(descriptor)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    barrier.wait()
    began = time.perf_counter()
    barrier.wait()
    elapsed = time.perf_counter() - began
    for thread in threads:
        thread.join()
    return elapsed


def nothing(descriptor: int, size: int, count: int) -> None:
    """The file grows with every write."""


def preallocate(descriptor: int, size: int, count: int) -> None:
    """Its blocks are reserved, but not written."""
    os.posix_fallocate(descriptor, 0, size * count)


def fill(descriptor: int, size: int, count: int) -> None:
    """Its blocks are written: as if an old segment were used again."""
    for index in range(count):
        os.pwrite(descriptor, bytes(size), index * size)


LAYOUTS: dict[str, Run] = {
    "spool": run_spool,
    "file": run_files,
    "disk: append": partial(run_threads, nothing, 0),
    "disk: preallocated": partial(run_threads, preallocate, 0),
    "disk: rewritten": partial(run_threads, fill, 0),
    "disk: O_DSYNC": partial(run_threads, nothing, os.O_DSYNC),
}


def measure(run: Run, directory: Path, size: int, writers: int, count: int) -> float:
    """Instances per second, in a directory of its own."""
    place = Path(tempfile.mkdtemp(dir=directory, prefix="bench-spool-"))
    try:
        elapsed = run(place, size, writers, count)
    finally:
        shutil.rmtree(place)
        os.sync()  # nobody pays for what the one before left behind
    return writers * count / elapsed


def machine(directory: Path) -> str:
    """What the figures belong to."""
    return (
        f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}, {file_system(directory)}"
    )


def arguments() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--directory", type=Path, required=True, help="on the disk in question")
    parser.add_argument("--sizes", type=numbers, default=[50_000, 525_000], help="bytes")
    parser.add_argument("--writers", type=numbers, default=[1, 8], help="at the same time")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=100, help="written per measurement")
    parser.add_argument("--layouts", default=",".join(LAYOUTS), help="of: %(default)s")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    layouts = options.layouts.split(",")
    options.directory.mkdir(parents=True, exist_ok=True)
    print(machine(options.directory))
    print(f"durable instances/s, medians of {options.rounds} rounds (slowest-fastest)\n")
    for size in options.sizes:
        for writers in options.writers:
            count = max(options.megabytes * 1_000_000 // size // writers, 10)
            rates: dict[str, list[float]] = {name: [] for name in layouts}
            for _ in range(options.rounds):
                for name in random.sample(layouts, len(layouts)):
                    rates[name].append(
                        measure(LAYOUTS[name], options.directory, size, writers, count)
                    )
            print(f"{size} bytes, {writers} at a time, {writers * count} instances")
            for name, found in rates.items():
                spread = f"({min(found):.0f}-{max(found):.0f})"
                print(f"  {name:20} {statistics.median(found):8.0f} {spread}")


if __name__ == "__main__":
    main()
