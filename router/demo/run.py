"""Starts everything, sends as modalities do, watches, and proves where every byte arrived."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import anyio
import pydicom
import yaml
from anyio.abc import Process
from rich.console import Console
from rich.live import Live
from rich.table import Table

from router.demo.studies import DemoStudy, make_studies
from router.modality.sender import OutgoingFile, Report, Target, read_outgoing, send_files

START_WITHIN_S = 30.0
DELIVER_WITHIN_S = 120.0
LOOK_EVERY_S = 0.2

console = Console()

SETTINGS = {
    "discard": ["MODALITY|IS_NULL"],
    "completion": {"quiet_after": "1s", "stable_after": "10s"},
}


@dataclass(frozen=True, slots=True)
class DemoWriter:
    """One of the three writers."""

    ae_title: str
    criteria: str | None
    folder: Path


@dataclass(frozen=True, slots=True)
class Proof:
    """What one writer holds of one study."""

    expected: int
    identical: int

    def __str__(self) -> str:
        if self.expected == 0:
            return (
                "[dim]–[/dim]" if self.identical == 0 else f"[red]{self.identical} too many[/red]"
            )
        colour = "green" if self.identical == self.expected else "red"
        return f"[{colour}]{self.identical}/{self.expected} identical[/{colour}]"

    def __add__(self, other: Proof) -> Proof:
        return Proof(self.expected + other.expected, self.identical + other.identical)

    @property
    def holds(self) -> bool:
        """Whether everything that should be there is there, byte for byte."""
        return self.expected == self.identical


_Compared = tuple[int, list[Proof]]
"""How many instances a study has, and what each writer holds of it."""


async def run_demo() -> bool:
    """Run the whole demonstration; whether every instance is where it belongs."""
    logging.getLogger("pydicom").setLevel(logging.ERROR)  # it warns of the odd files, too
    with tempfile.TemporaryDirectory(prefix="dicom-router-demo-") as name:
        directory = Path(name)
        console.rule("[bold]dicom-router: one AE title in, every matching writer out")
        studies = make_studies(directory / "modalities")
        writers = _writers(directory)
        dicom_port, http_port = _free_port(), _free_port()
        config = _configure(directory, dicom_port, http_port)
        api = f"http://127.0.0.1:{http_port}"
        async with _started(config, writers, api, directory):
            console.print(f"router ROUTER on port {dicom_port}, API on {api}")
            async with aiohttp.ClientSession(base_url=api) as session:
                await _wait_for_writers(session, writers)
                await _send_and_watch(session, studies, dicom_port)
            return _prove(studies, writers)


def _writers(directory: Path) -> list[DemoWriter]:
    return [
        DemoWriter("GENERIC", "MODALITY|NOT_IN|CR,DX", directory / "generic"),
        DemoWriter("XRAY", "MODALITY|IN|CR,DX", directory / "xray"),
        DemoWriter("BACKUP", None, directory / "backup"),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _configure(directory: Path, dicom_port: int, http_port: int) -> Path:
    router = {
        "ae_title": "ROUTER",
        "dicom": f"127.0.0.1:{dicom_port}",
        "http": f"127.0.0.1:{http_port}",
        "data": str(directory / "data"),
    }
    config = directory / "router.yaml"
    config.write_text(yaml.safe_dump({"router": router, **SETTINGS}), encoding="utf-8")
    return config


@asynccontextmanager
async def _started(
    config: Path, writers: Sequence[DemoWriter], api: str, directory: Path
) -> AsyncIterator[None]:
    """Writers first: they wait for the router and register as soon as it is there."""
    commands = [_writer_command(writer, api) for writer in writers]
    commands.append([sys.executable, "-m", "router.cli.main", "serve", "--config", str(config)])
    processes: list[Process] = []
    with (directory / "processes.log").open("wb") as log:
        try:
            for command in commands:
                processes.append(  # noqa: PERF401 - who was started must be stopped if the next fails
                    await anyio.open_process(command, stdout=log, stderr=subprocess.STDOUT)
                )
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await _stop(processes)


def _writer_command(writer: DemoWriter, api: str) -> list[str]:
    options = {
        "--ae-title": writer.ae_title,
        "--directory": str(writer.folder),
        "--port": "0",
        "--router": api,
    }
    if writer.criteria:
        options["--criteria"] = writer.criteria
    command = [sys.executable, "-m", "candidates.writer.cli"]
    return command + [word for option in options.items() for word in option]


async def _stop(processes: Sequence[Process]) -> None:
    for process in reversed(processes):
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
    with anyio.move_on_after(15):
        for process in processes:
            await process.wait()
    for process in processes:
        if process.returncode is None:
            process.kill()


async def _wait_for_writers(session: aiohttp.ClientSession, writers: Sequence[DemoWriter]) -> None:
    wanted = {writer.ae_title for writer in writers}
    with anyio.fail_after(START_WITHIN_S):
        while True:
            try:
                async with session.get("/candidates") as response:
                    known = {found["ae_title"] for found in (await response.json())["candidates"]}
            except aiohttp.ClientError:
                known = set()
            if wanted <= known:
                break
            await anyio.sleep(LOOK_EVERY_S)
    for writer in writers:
        console.print(f"writer [bold]{writer.ae_title}[/bold] registered: {_describe(writer)}")


def _describe(writer: DemoWriter) -> str:
    return writer.criteria or "no criteria, it receives every study"


async def _send_and_watch(
    session: aiohttp.ClientSession, studies: Sequence[DemoStudy], port: int
) -> None:
    total = sum(len(study.files) for study in studies)
    progress = _Progress(total, len(studies))
    with Live(progress.table(), console=console, refresh_per_second=8) as live:
        async with anyio.create_task_group() as tasks:
            for study in studies:
                tasks.start_soon(_send, study, port, progress)
            with anyio.fail_after(DELIVER_WITHIN_S):
                while not await _all_delivered(session, progress):
                    live.update(progress.table())
                    await anyio.sleep(LOOK_EVERY_S)
        live.update(progress.table())
    console.print()


class _Progress:
    """What the live table shows."""

    def __init__(self, files: int, studies: int):
        self.files, self.studies = files, studies
        self.acknowledged = 0
        self.finished = 0
        self.deliveries: dict[str, tuple[int, int]] = {}  # AE title: delivered, instances

    def table(self) -> Table:
        table = Table("", "instances", title="live", title_justify="left")
        table.add_row("modalities → router, acknowledged", f"{self.acknowledged}/{self.files}")
        for ae_title, (delivered, instances) in sorted(self.deliveries.items()):
            table.add_row(f"router → {ae_title}, delivered", f"{delivered}/{instances}")
        return table


async def _send(study: DemoStudy, port: int, progress: _Progress) -> None:
    def acknowledged(file: OutgoingFile) -> None:
        progress.acknowledged += 1

    target = Target("127.0.0.1", port, "ROUTER", study.calling_ae_title)
    report: Report = await send_files(study.files, target, 2, acknowledged)
    progress.finished += 1
    for path, reason in report.failures:
        console.print(f"[yellow]{study.title}: {path.name} was not accepted: {reason}")


async def _all_delivered(session: aiohttp.ClientSession, progress: _Progress) -> bool:
    async with session.get("/deliveries", params={"limit": "1000"}) as response:
        deliveries = (await response.json())["deliveries"]
    async with session.get("/studies", params={"limit": "1000"}) as response:
        studies = (await response.json())["studies"]
    sums: dict[str, tuple[int, int]] = {}
    for delivery in deliveries:
        delivered, instances = sums.get(delivery["ae_title"], (0, 0))
        sums[delivery["ae_title"]] = (
            delivered + delivery["delivered"],
            instances + delivery["instances"],
        )
    progress.deliveries = sums
    arrived = progress.finished == progress.studies
    complete = all(study["state"] in ("settled", "reclaimed") for study in studies)
    return arrived and complete and bool(deliveries)


def _prove(studies: Sequence[DemoStudy], writers: Sequence[DemoWriter]) -> bool:
    """Compare what every writer holds with what the modalities sent, and print it."""
    held = {writer.ae_title: _held(writer.folder) for writer in writers}
    rows: dict[tuple[str, str], list[_Compared]] = {}
    for study in studies:
        sent = {file.sop_instance_uid: _digest(file) for file in study.files}
        modalities = _modalities(study)
        proofs = [
            _proof(sent, held[writer.ae_title], _belongs(modalities, writer)) for writer in writers
        ]
        rows.setdefault((study.title, study.calling_ae_title), []).append((len(sent), proofs))
    _print_proof(rows, list(held))
    every = [proof for row in rows.values() for _, proofs in row for proof in proofs]
    good = all(proof.holds for proof in every)
    syntaxes = {file.transfer_syntax_uid for study in studies for file in study.files}
    verdict = "every instance is where it belongs" if good else "something is NOT where it belongs"
    console.print(
        f"{verdict}: {sum(proof.expected for proof in every)} data sets in {len(syntaxes)} "
        "transfer syntaxes compared by SHA-256",
        style="bold green" if good else "bold red",
    )
    return good


def _print_proof(
    rows: Mapping[tuple[str, str], Sequence[_Compared]], writers: Sequence[str]
) -> None:
    table = Table("study", "from", "sent", *writers, title="proof", title_justify="left")
    for (title, calling_ae_title), compared in rows.items():
        name = title if len(compared) == 1 else f"{len(compared)} {title}"
        sent = sum(count for count, _ in compared)
        sums = [sum(column, Proof(0, 0)) for column in zip(*(p for _, p in compared), strict=True)]
        table.add_row(name, calling_ae_title, str(sent), *map(str, sums))
    console.print(table)


def _modalities(study: DemoStudy) -> frozenset[str]:
    """Read with pydicom: what belongs where is worked out here, and not asked of the router."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of the packaged files are odd on purpose
        heads = [
            pydicom.dcmread(file.path, specific_tags=["Modality"], force=True)
            for file in study.files
        ]
    return frozenset(str(head.get("Modality") or "") for head in heads)


def _belongs(modalities: frozenset[str], writer: DemoWriter) -> bool:
    """Whether the writer's criteria, in words of our own, want a study of these modalities."""
    if modalities == {""}:
        return False
    is_xray = bool(modalities & {"CR", "DX"})
    return {"GENERIC": not is_xray, "XRAY": is_xray, "BACKUP": True}[writer.ae_title]


def _proof(sent: dict[str, str], held: dict[str, str], belongs: bool) -> Proof:
    present = {uid: held[uid] for uid in sent if uid in held}
    if not belongs:
        return Proof(0, len(present))
    return Proof(len(sent), sum(present.get(uid) == digest for uid, digest in sent.items()))


def _held(folder: Path) -> dict[str, str]:
    files = (read_outgoing(path) for path in folder.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*"))
    return {file.sop_instance_uid: _digest(file) for file in files if file is not None}


def _digest(file: OutgoingFile) -> str:
    """SHA-256 of the data set, without the File Meta group around it."""
    digest = hashlib.sha256()
    with file.path.open("rb") as stream:
        stream.seek(file.data_set_offset, os.SEEK_SET)
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
