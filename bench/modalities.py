"""Forty modalities through a day: ``python -m bench.modalities PORT SECONDS FILE``.

Each works by itself: a study, a pause, the next study; more of them in the middle of the day. A
study comes in bursts, an association for each series. Every acknowledged instance is a line of
FILE: its modality and its UID. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import anyio

from bench.generator import UID_DIGITS, answer, associate, encode


@dataclass(frozen=True)
class Kind:
    """A kind of modality: how many there are, what a study of it is, how many it makes in a day."""

    modality: str
    machines: int
    series: tuple[int, int]  # of a study
    instances: tuple[int, int]  # of a series
    size: tuple[int, int]  # of an instance, in bytes
    studies: int  # of one machine in a day


KINDS = (
    Kind("CT", 6, (2, 4), (40, 120), (500_000, 550_000), 10),
    Kind("MR", 6, (4, 8), (20, 60), (100_000, 250_000), 6),
    Kind("DX", 12, (1, 2), (1, 2), (6_000_000, 12_000_000), 14),
    Kind("US", 8, (1, 1), (15, 40), (400_000, 1_200_000), 12),
    Kind("XA", 2, (2, 4), (1, 2), (30_000_000, 80_000_000), 6),
    Kind("MG", 2, (1, 1), (4, 4), (20_000_000, 30_000_000), 12),
    Kind("PT", 2, (1, 2), (100, 200), (33_000, 35_000), 6),
    Kind("SR", 2, (1, 1), (1, 3), (20_000, 60_000), 20),
)
"""Forty machines and about 440 studies: a hospital of medium size."""

FULL_DAY_S = 600.0
"""A day that is simulated in less time has less studies: as dense, but shorter."""


@dataclass
class Day:
    """What came of it."""

    acknowledged: TextIO
    studies: int = 0
    bytes: int = 0
    refused: int = 0
    broken: int = 0
    latencies: list[float] = field(default_factory=list)


async def work(port: int, kind: Kind, number: int, length_s: float, day: Day) -> None:
    """One machine, from morning to evening."""
    chance = random.Random(f"{kind.modality}{number}")
    began = time.monotonic()
    wanted = kind.studies * min(1.0, length_s / FULL_DAY_S)
    whole = int(wanted) + (chance.random() < wanted % 1)
    for moment in sorted(_moments(chance, whole)):
        await anyio.sleep(max(0.0, began + moment * length_s - time.monotonic()))
        study = f"1.2.826.0.1.3680043.10.{uuid.uuid4().int % 10**15}"
        for _ in range(chance.randint(*kind.series)):
            count, size = chance.randint(*kind.instances), chance.randint(*kind.size)
            try:
                await send_series(port, f"{kind.modality}{number}", kind, study, count, size, day)
            except (OSError, ConnectionError):
                day.broken += 1
        day.studies += 1


def _moments(chance: random.Random, count: int) -> list[float]:
    """When its studies begin, in parts of the day: most of them in the middle."""
    moments: list[float] = []
    while len(moments) < count:
        moment = chance.random()
        if chance.random() < 0.2 + 0.8 * math.sin(math.pi * moment) ** 2:
            moments.append(moment * 0.97)
    return moments


async def send_series(
    port: int, calling: str, kind: Kind, study: str, count: int, size: int, day: Day
) -> None:
    """One association with one series."""
    loop = asyncio.get_running_loop()
    connection, association = await associate("127.0.0.1", port, "ROUTER", calling)
    with connection:
        payload = encode(study, size, association.payload + 6, kind.modality)
        view = memoryview(payload.pdus)
        base = uuid.uuid4().int % 10**38
        for index in range(count):
            uid = f"1.2.826.1{base + index:0{UID_DIGITS - 9}d}"
            payload.name(uid.encode())
            began = time.perf_counter()
            await loop.sock_sendall(connection, view)
            status = await answer(loop, connection)
            day.latencies.append(time.perf_counter() - began)
            if status == 0:
                day.acknowledged.write(f"{kind.modality} {uid}\n")
                day.bytes += size
            else:
                day.refused += 1
        association.release(loop.time())
        await loop.sock_sendall(connection, association.data_to_send())
        await loop.sock_recv(connection, 4096)


async def main() -> None:
    """The day."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("port", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    with options.file.open("w") as acknowledged:
        day = Day(acknowledged)
        async with anyio.create_task_group() as tasks:
            for kind in KINDS:
                for number in range(kind.machines):
                    tasks.start_soon(work, options.port, kind, number, options.seconds, day)
    latencies = sorted(day.latencies) or [0.0]
    print(
        json.dumps(
            {
                "studies": day.studies,
                "bytes": day.bytes,
                "instances": len(day.latencies),
                "refused": day.refused,
                "broken": day.broken,
                "p50_ms": latencies[len(latencies) // 2] * 1000,
                "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
                "max_ms": latencies[-1] * 1000,
            }
        )
    )


if __name__ == "__main__":
    anyio.run(main)
