"""Requests of ours on an association that a peer requested: one at a time, between its answers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from router.dicom.association import Association
from router.dicom.dimse import NEventReportRQ, NEventReportRSP
from router.dicom.handlers import Invoked

MAX_WAITING = 64
MAX_MESSAGE_ID = 0xFFFF


@dataclass(frozen=True, slots=True)
class _Invocation:
    context_id: int
    request: NEventReportRQ
    data: bytes
    invoked: Invoked


class Invocations:
    """Keeps what is to be asked until it may be, and who waits for the answer."""

    __slots__ = ("_last_id", "_outstanding", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[_Invocation] = deque()
        self._outstanding: _Invocation | None = None
        self._last_id = 0

    def put(self, context_id: int, request: NEventReportRQ, data: bytes, invoked: Invoked) -> None:
        """Take a request; its message id is given when it is sent."""
        if len(self._waiting) >= MAX_WAITING:
            invoked(None)
            return
        self._waiting.append(_Invocation(context_id, request, data, invoked))

    def queue_next(self, association: Association, now: float) -> bytes:
        """The bytes that follow what the association has queued, if it is time to ask."""
        is_free = association.can_send and not association.owed and self._outstanding is None
        if not (self._waiting and is_free):
            return b""
        invocation = self._waiting.popleft()
        self._last_id = self._last_id % MAX_MESSAGE_ID + 1
        request = replace(invocation.request, message_id=self._last_id)
        self._outstanding = replace(invocation, request=request)
        context_id = invocation.context_id
        association.send_message(context_id, request, now)
        queued = association.data_to_send()
        data = association.data_buffers(context_id, memoryview(invocation.data), last=True)
        return b"".join((queued, *data))

    def answered(self, response: NEventReportRSP) -> None:
        """Tell who asked what the peer says."""
        invocation = self._outstanding
        if invocation is not None and response.message_id == invocation.request.message_id:
            self._outstanding = None
            invocation.invoked(response.status)

    def abandon(self) -> None:
        """The association has ended: nothing will be answered any more."""
        left = [*([self._outstanding] if self._outstanding else []), *self._waiting]
        self._outstanding = None
        self._waiting.clear()
        for invocation in left:
            invocation.invoked(None)
