"""The most memory that a process had, since it was last asked to be forgotten (Linux)."""

from __future__ import annotations

from pathlib import Path

FORGET = "5"
"""What ``/proc/PID/clear_refs`` takes for: begin the peak anew."""


def forget_peak(pid: int) -> None:
    """Let the peak begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text(FORGET)


def peak_bytes(pid: int) -> int:
    """The most resident bytes since then."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"process {pid} does not say how much memory it had")
