"""Runs one target under atheris: ``python -m tests.fuzz TARGET [libFuzzer's options] [FOLDER]``.

It starts from the seeds and the kept corpus. New inputs of interest go into the folder, if there is
one; what breaks a promise is written to ``crash-*`` in the working directory, and becomes a test.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path

import atheris
import structlog

CORPUS = Path(__file__).with_name("corpus")


def main() -> None:
    """Fuzz one target until its runs or its time are over."""
    with atheris.instrument_imports(include=["router"]):
        from tests.fuzz.seeds import seeds
        from tests.fuzz.targets import MAX_BYTES, TARGETS
    logging.disable()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    name, *arguments = sys.argv[1:]
    options = [f"-max_len={MAX_BYTES}", "-timeout=20", "-rss_limit_mb=4096"]
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))  # libFuzzer leaves without a word to us
    found, sown = folder / "found", folder / "sown"
    for each in (found, sown):
        each.mkdir()
    for number, seed in enumerate(seeds()[name]):
        (sown / f"seed-{number}").write_bytes(seed)
    folders = [*([] if _names_folder(arguments) else [str(found)]), str(sown)]
    kept = [str(CORPUS / name)] if (CORPUS / name).is_dir() else []
    atheris.Setup([sys.argv[0], *options, *arguments, *folders, *kept], TARGETS[name])
    atheris.Fuzz()


def _names_folder(arguments: list[str]) -> bool:
    return any(not one.startswith("-") and os.path.isdir(one) for one in arguments)  # noqa: PTH112


main()
