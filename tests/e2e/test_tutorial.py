"""docs/tutorial.md, followed to the letter in one shell; only the ports are others."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.stack import free_port, wait_until

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
PORTS = ("11112", "8080", "4242", "4243", "4244")

pytestmark = pytest.mark.timeout(600)


@dataclass(slots=True)
class Shell:
    """A bash that is given block after block, as somebody does who pastes them."""

    child: subprocess.Popen[str]
    output: Path
    ports: dict[str, str]

    def run(self, block: str) -> str:
        """What a block prints."""
        assert self.child.stdin is not None
        before = len(self.read())
        self.child.stdin.write(f"{self.with_ports(block)}echo 'the end of'  'it'\n")
        self.child.stdin.flush()
        wait_until(lambda: "the end of it" in self.read()[before:], f"the end of {block}")
        return self.read()[before:]

    def with_ports(self, block: str) -> str:
        """The block with free ports, and ``send`` to where the router is."""
        to = f"dicom-router send --to 127.0.0.1:{self.ports['11112']} "
        text = re.sub("|".join(PORTS), lambda found: self.ports[found[0]], block)
        return text.replace("dicom-router send ", to)

    def read(self) -> str:
        return self.output.read_text(encoding="utf-8")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """In a folder with the virtual environment that ``make demo`` leaves."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    output = tmp_path / "output"
    ports = {port: str(free_port()) for port in PORTS}
    own = {"ROUTER_URL": f"http://127.0.0.1:{ports['8080']}", "LC_ALL": "C.UTF-8"}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    with output.open("w") as file:
        child = subprocess.Popen(
            ["bash"],
            cwd=tmp_path,
            env={**kept, **own},
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    try:
        yield Shell(child, output, ports)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        assert child.stdin is not None
        child.stdin.close()


def test_the_tutorial_does_what_it_says(shell: Shell) -> None:
    (
        _,
        set_up,
        start_router,
        ask_health,
        start_writers,
        candidates,
        make_files,
        explain,
        send,
        studies,
        kill_writer,
        retrying,
        start_again,
        delivered,
        discard,
        refusals,
        stop,
    ) = BLOCKS

    shell.run(set_up)
    assert "router.yaml: in order" in shell.run(start_router)
    assert "ready" in shell.run(ask_health)
    shell.run(start_writers)
    wait_until(lambda: shell.run(candidates).count(" live ") == 3, "all three are live")
    shell.run(make_files)
    assert re.findall(r"│ ([A-Z]+) +│ (yes|no) ", shell.run(explain)) == [
        *[("BACKUP", "yes"), ("GENERIC", "yes"), ("XRAY", "no")],
        *[("BACKUP", "yes"), ("GENERIC", "no"), ("XRAY", "yes")],
    ]
    assert "accepted: 2 of 2" in shell.run(send)
    both, about_one = studies.splitlines(keepends=True)
    wait_until(lambda: shell.run(both).count(" settled ") == 2, "both are settled")
    assert "no criteria: it receives every study" in shell.run(about_one)
    assert "accepted: 1 of 1" in shell.run(kill_writer)
    wait_until(lambda: " retrying " in shell.run(retrying), "the delivery is retrying")
    shell.run(start_again)
    wait_until(lambda: shell.run(delivered).count(" delivered │ 1/1 ") == 2, "it is delivered")
    restarted = shell.run(discard)
    assert "discard filter: " in restarted
    assert "ready" in restarted
    refused = shell.run(refusals)
    assert "accepted: 1 of 1" in refused
    assert '"disposition":"discarded"' in refused
    shell.run(f"{stop}wait\n")
