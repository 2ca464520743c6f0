"""A writer that goes down with a data set that it cannot read, and is always started again.

``python -m tests.faults.fragile_writer PORT FOLDER AE_TITLE``. What it has stored is in
``FOLDER/stored``; each name in ``FOLDER/falls`` is a time that it went down.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path


async def main(port: str, folder: Path, ae_title: str) -> None:
    """Keep it running until terminated."""
    falls = folder / "falls"
    falls.mkdir(parents=True, exist_ok=True)
    arguments = ["-m", "tests.parsing_scp", port, str(folder / "stored"), ae_title, "--fragile"]
    terminated = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    async with asyncio.TaskGroup() as tasks:
        over = tasks.create_task(terminated.wait())
        while not over.done():
            child = await asyncio.create_subprocess_exec(sys.executable, *arguments)
            ended = tasks.create_task(child.wait())
            await asyncio.wait([over, ended], return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                (falls / str(len(list(falls.iterdir())) + 1)).touch()
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await ended


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
