"""Holds associations open, silent or with one byte a second: ``python -m bench.crowd PORT N``.

Prints a line when all are open, and lasts until it is killed. Half of them are silent; the others
send a C-STORE request one byte a second.
"""

from __future__ import annotations

import argparse
import asyncio

import anyio
from anyio.abc import TaskStatus

from bench.generator import associate, encode


async def hold(port: int, number: int, *, task_status: TaskStatus[None]) -> None:
    """One association, for ever."""
    loop = asyncio.get_running_loop()
    connection, association = await associate("127.0.0.1", port, "ROUTER", f"IDLE{number}")
    task_status.started()
    drip = encode("1.2.3", 50_000, association.payload + 6).pdus
    with connection:
        for position in range(len(drip)):
            await anyio.sleep(1.0)
            if number % 2:
                await loop.sock_sendall(connection, drip[position : position + 1])


async def main() -> None:
    """Open all, say so, stay."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("port", type=int)
    parser.add_argument("associations", type=int)
    options = parser.parse_args()
    async with anyio.create_task_group() as tasks:
        for number in range(options.associations):
            await tasks.start(hold, options.port, number)
        print("open", flush=True)


if __name__ == "__main__":
    anyio.run(main)
