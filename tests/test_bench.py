"""The benchmark measures what it says: one small round of a part of it, as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(300)
def test_a_small_round_measures_the_router_beside_its_peers(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    command = [sys.executable, "-m", "bench", "--smoke", "--only", "ingress,negotiation"]
    subprocess.run([*command, "--results", results], check=True, timeout=240)
    measured = {(one["scenario"], one["contender"]): one for one in json.loads(results.read_text())}

    assert not [one["errors"] for one in measured.values() if one["errors"]]
    for peer in ("router", "storescp", "Orthanc", "pynetdicom", "sink", "limit", "limit in C"):
        (run,) = measured["ingress", peer]["runs"]
        assert run["instances/s"] > 0
        assert run["failed"] == 0
    assert measured["negotiation", "router"]["runs"][0]["ms"] > 0
