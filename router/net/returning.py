"""C-STORE requests of ours on an association that a peer requested, while its C-GET is carried out.

One at a time (PS3.4 section C.4.3.3). Whoever asks for one waits until the peer has answered it.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import anyio
from anyio.lowlevel import checkpoint

from router.dicom.association import Association
from router.dicom.data_source import DataSource
from router.dicom.dimse import CStoreRQ, CStoreRSP
from router.domain.errors import AssociationLost, PeerTimeout
from router.net.pieces import chunk_for, fill

MAX_MESSAGE_ID = 0xFFFF


class Link(Protocol):
    """What is needed of the connection."""

    @property
    def is_writing_paused(self) -> bool:
        """Whether the peer has yet to take what was written."""
        ...

    def write(self, data: bytes) -> None:
        """Send bytes behind all that was sent before, if the connection is still there."""
        ...

    def give_up(self, text: str) -> None:
        """Abort the association; ``text`` says why."""
        ...


class Returning:
    """Sends instances to the peer; implements :class:`router.dicom.handlers.Returner`."""

    __slots__ = (
        "_answer",
        "_association",
        "_changed",
        "_chunk",
        "_last_id",
        "_link",
        "_time",
        "_timeout_s",
    )

    def __init__(self, association: Association, link: Link, timeout_s: float):
        """``timeout_s``: so long the next bytes may take to be taken, and an answer to come."""
        self._association = association
        self._link = link
        self._timeout_s = timeout_s
        self._time = asyncio.get_running_loop().time
        self._chunk: memoryview | None = None
        self._last_id = 0
        self._answer: int | None = None
        self._changed: anyio.Event | None = None  # there while somebody waits

    # -- called by the service --------------------------------------------------------------------

    @property
    def is_cancelled(self) -> bool:
        """Whether the peer wants no more of what it asked for."""
        return self._association.is_cancelled

    async def store(
        self, context_id: int, sop_class_uid: str, sop_instance_uid: str, source: DataSource
    ) -> int:
        """See :class:`router.dicom.handlers.Returner`."""
        self._check()
        self._last_id = self._last_id % MAX_MESSAGE_ID + 1
        self._answer = None
        request = CStoreRQ(self._last_id, sop_class_uid, sop_instance_uid)
        try:
            self._association.send_message(context_id, request, self._time())
            await self._send_data_set(context_id, source)
            return await self._answered()
        except BaseException as error:  # nobody knows what the peer has
            self._link.give_up(f"an instance could not be returned: {error}")
            raise

    async def _send_data_set(self, context_id: int, source: DataSource) -> None:
        chunk = self._chunk = self._chunk or chunk_for(self._association.payload)
        position, length = 0, source.length
        while True:
            view = chunk[: length - position]
            count = await fill(view, source, position) if view else 0
            position += count
            is_last = position == length
            await self._send(context_id, view[:count], last=is_last)
            if is_last:
                return
            await checkpoint()  # a fast peer and a large object must not keep the loop

    async def _send(self, context_id: int, chunk: memoryview, *, last: bool) -> None:
        try:
            with anyio.fail_after(self._timeout_s):
                while self._link.is_writing_paused:
                    await self._change()
        except TimeoutError:
            raise PeerTimeout(f"the peer took no bytes for {self._timeout_s:g} s") from None
        self._check()
        queued = self._association.data_to_send()
        buffers = self._association.data_buffers(context_id, chunk, last=last)
        self._link.write(b"".join((queued, *buffers)))

    async def _answered(self) -> int:
        try:
            with anyio.fail_after(self._timeout_s):
                while self._answer is None:
                    await self._change()
        except TimeoutError:
            raise PeerTimeout(f"the peer did not answer within {self._timeout_s:g} s") from None
        return self._answer

    async def _change(self) -> None:
        """Wait for something to happen; raises ``AssociationLost``."""
        self._check()
        self._changed = self._changed or anyio.Event()
        await self._changed.wait()

    def _check(self) -> None:
        if not self._association.can_send:
            raise AssociationLost("the peer has left")

    # -- called by the connection -----------------------------------------------------------------

    def answered(self, response: CStoreRSP) -> None:
        """Take what the peer says to a request of ours."""
        if response.message_id == self._last_id:
            self._answer = response.status
            self.look()

    def look(self) -> None:
        """Something has happened: bytes were taken, or the association has ended."""
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()
