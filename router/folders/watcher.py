"""Looks into a folder again and again, and takes in what has become whole.

Polling, because no notification comes from files that another machine writes to a share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import structlog
from anyio import TASK_STATUS_IGNORED, CancelScope, to_thread
from anyio.abc import TaskStatus

from router.dicom import statuses
from router.folders.files import DONE, FAILED, Sight, files_in, move, open_file, sight_of
from router.ingress.uploads import FileReception, Upload, Uploads
from router.ports import Clock

READ_BYTES = 1 << 20
WAIT_FOR_ROOM_S = 30.0
"""Each file for which there is no room is a refusal that is recorded: so not at every look."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WatchedFolder:
    """A folder, and how it is watched; ``settle_s``: so long a file must not have changed."""

    path: Path
    is_moved: bool  # to ``done`` when it is stored; else deleted
    settle_s: float
    every_s: float


class FolderWatcher:
    """Watches one folder; what comes until it is empty again is one upload."""

    def __init__(
        self,
        folder: WatchedFolder,
        uploads: Uploads,
        clock: Clock,
        readiness: Callable[[], Sequence[str]],
    ):
        self._folder = folder
        self._uploads = uploads
        self._clock = clock
        self._readiness = readiness
        self._seen: dict[Path, tuple[Sight, float]] = {}
        self._fault = ""
        self._not_before = 0.0
        self._upload: Upload | None = None

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Watch until cancelled."""
        task_status.started()
        try:
            while True:
                await self._look()
                await self._clock.sleep(self._folder.every_s)
        finally:
            self._close(is_whole=False)

    async def _look(self) -> None:
        """Take what is whole; while something else is there, more of its study may be coming."""
        try:
            found = await to_thread.run_sync(files_in, self._folder.path)
        except OSError as error:
            self._complain(error.strerror or str(error))
            return
        self._fault = ""
        left = set(found)
        for path in self._settled(found):
            if not self._may_go_on() or not await self._take(path):
                return
            left.discard(path)
        if not left:
            self._close(is_whole=True)

    def _close(self, *, is_whole: bool) -> None:
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.close(is_whole=is_whole)

    def _may_go_on(self) -> bool:
        has_waited = self._clock.monotonic() >= self._not_before
        return has_waited and not self._uploads.is_behind and not self._readiness()

    def _settled(self, found: dict[Path, Sight]) -> list[Path]:
        """The files that look as they looked ``settle_s`` ago, the oldest first."""
        now = self._clock.monotonic()
        before = self._seen
        self._seen = {}
        for path, sight in found.items():
            known = before.get(path)
            self._seen[path] = known if known is not None and known[0] == sight else (sight, now)
        ready = [
            path for path, (_, since) in self._seen.items() if now - since >= self._folder.settle_s
        ]
        return sorted(ready, key=lambda path: found[path].changed_ns)

    async def _take(self, path: Path) -> bool:
        """Take a file in; False: there is no room for more."""
        if self._upload is None:
            self._upload = self._uploads.open(str(self._folder.path), "")
        try:
            answer = await self._store(path, self._upload)
        except OSError as error:
            log.warning("a file cannot be read", file=str(path), error=error.strerror)
            self._forget(path)
            return True
        if answer is None:
            self._forget(path)
            return True
        status, reason = answer
        if statuses.is_out_of_resources(status):
            self._not_before = self._clock.monotonic() + WAIT_FOR_ROOM_S
            return False
        is_stored = statuses.is_stored(status)
        if not is_stored:
            log.warning(
                "a file was not stored",
                file=str(path),
                status=statuses.describe(status),
                reason=reason,
            )
        await self._put_away(path, is_stored=is_stored)
        return True

    async def _store(self, path: Path, upload: Upload) -> tuple[int, str] | None:
        """Status and reason; None: the file changed while it was read. Raises ``OSError``."""
        stream = await to_thread.run_sync(open_file, path)
        file = FileReception(upload, None)
        is_over = False
        try:
            await self._read(stream, file)
            is_over = await to_thread.run_sync(sight_of, stream) == self._seen[path][0]
            return await file.finish() if is_over else None
        finally:
            if not is_over:
                file.abandon()
            with CancelScope(shield=True):
                await to_thread.run_sync(stream.close)

    async def _read(self, stream: BinaryIO, file: FileReception) -> None:
        while piece := await to_thread.run_sync(stream.read, READ_BYTES):
            file.write(memoryview(piece))

    async def _put_away(self, path: Path, *, is_stored: bool) -> None:
        """It is durable, or refused: it must not be taken again."""
        folder = self._folder
        try:
            if is_stored and not folder.is_moved:
                await to_thread.run_sync(partial(path.unlink, missing_ok=True))
            else:
                await to_thread.run_sync(move, path, folder.path, DONE if is_stored else FAILED)
        except OSError as error:
            log.error(
                "a file that was taken cannot be put away; it will be taken again",
                file=str(path),
                error=error.strerror,
            )
            self._forget(path)

    def _forget(self, path: Path) -> None:
        """Have it settle anew."""
        self._seen.pop(path, None)

    def _complain(self, fault: str) -> None:
        if fault != self._fault:
            log.error("a folder cannot be watched", folder=str(self._folder.path), error=fault)
        self._fault = fault
