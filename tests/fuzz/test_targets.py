"""The targets hold on what is known, on what is near to it, and for a bounded time of fuzzing.

atheris has wheels for Linux on x86-64 only (see pyproject.toml). Elsewhere the corpus and the
inputs that hypothesis makes of it stand in for it.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import peers
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import MAX_BYTES, TARGETS

CORPUS = Path(__file__).with_name("corpus")
HAS_ATHERIS = sys.platform == "linux" and platform.machine() == "x86_64"
RUNS = 1500
SECONDS = 3


@cache
def known(name: str) -> tuple[bytes, ...]:
    """The seeds of a target, what fuzzing has found since, and what once broke it."""
    return (*seeds()[name], *(path.read_bytes() for path in sorted((CORPUS / name).glob("*"))))


@pytest.mark.parametrize("name", TARGETS)
def test_every_known_input_keeps_the_promises(name: str) -> None:
    for data in known(name):
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_is_longer_than_fuzzing_makes_them(name: str) -> None:
    assert {len(data) for data in known(name) if len(data) > MAX_BYTES} == set()


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60)
@given(data=st.data())
def test_what_is_near_to_a_known_input_keeps_them(name: str, data: st.DataObject) -> None:
    changed = bytearray(data.draw(st.sampled_from(known(name))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed)))
        removed = data.draw(st.sampled_from([0, 0, 1, 4, 20]))
        changed[at : at + removed] = data.draw(
            st.binary(max_size=8) | st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0"])
        )

    TARGETS[name](bytes(changed[:MAX_BYTES]))


@pytest.mark.parametrize("name", TARGETS)
def test_bounded_fuzzing_finds_nothing(name: str, tmp_path: Path) -> None:
    if not HAS_ATHERIS:
        peers.unable("atheris is not installed: it has no wheel for this platform")
    bounds = [f"-runs={RUNS}", f"-max_total_time={SECONDS}", "-seed=1"]
    run = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", name, *bounds],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=100,
        check=False,
    )

    assert run.returncode == 0, f"{run.stdout[-2000:]}\n{run.stderr[-4000:]}"
    assert list(tmp_path.glob("crash-*")) == []
