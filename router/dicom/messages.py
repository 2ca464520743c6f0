"""From runs of fragments to DIMSE messages (PS3.7 section 6.3, PS3.8 annex E): one direction.

Command sets are small and are assembled; data sets are passed through.
"""

from __future__ import annotations

from collections.abc import Mapping

from router.dicom.commandset import MAX_COMMAND_SET_BYTES
from router.dicom.dimse import Message
from router.dicom.dimse_codec import decode_message
from router.dicom.events import (
    AssociationEvent,
    CommandReceived,
    DataFragments,
    MessageEnded,
    MessageStarted,
)
from router.dicom.negotiation import AcceptedContext
from router.dicom.pdata import Fragments, Malformed
from router.domain.errors import ProtocolError

_UNEXPECTED_PARAMETER = 5  # reasons of table 9-26
_INVALID_VALUE = 6


class MessageReader:
    """Follows the messages of one peer, one at a time, command set before data set."""

    __slots__ = ("_command", "_command_context", "_contexts", "_message", "_message_context")

    def __init__(self, contexts: Mapping[int, AcceptedContext]):
        self._contexts = contexts
        self._command = bytearray()
        self._command_context: int | None = None
        self._message: Message | None = None  # whose data set is expected
        self._message_context: AcceptedContext | None = None

    @property
    def is_between_messages(self) -> bool:
        """Whether all messages begun so far are complete."""
        return self._message is None and self._command_context is None

    def take(self, run: Fragments, events: list[AssociationEvent]) -> Malformed | None:
        """Add to ``events`` what the run means; or say why it cannot be what the peer may send."""
        context = self._contexts.get(run.context_id)
        if context is None:
            text = f"presentation context {run.context_id} was not accepted"
            return Malformed(text, _INVALID_VALUE)
        if run.is_command:
            return self._take_command(run, context, events)
        message = self._message
        if message is None:
            text = "a data set without a command that announces it"
            return Malformed(text, _UNEXPECTED_PARAMETER)
        if context is not self._message_context:
            text = f"data of context {run.context_id} inside a message of another"
            return Malformed(text, _UNEXPECTED_PARAMETER)
        if run.slices:
            events.append(DataFragments(run.slices))
        if run.is_last:
            self._message = self._message_context = None
            events.append(MessageEnded(message, context))
        return None

    def _take_command(
        self, run: Fragments, context: AcceptedContext, events: list[AssociationEvent]
    ) -> Malformed | None:
        if self._message is not None:
            return Malformed("a command in the middle of a data set", _UNEXPECTED_PARAMETER)
        if self._command_context not in (None, run.context_id):
            text = f"a command of context {run.context_id} inside a command of another"
            return Malformed(text, _UNEXPECTED_PARAMETER)
        self._command_context = run.context_id
        for piece in run.slices:
            self._command += piece
        if len(self._command) > MAX_COMMAND_SET_BYTES:
            return Malformed(f"a command set beyond {MAX_COMMAND_SET_BYTES} bytes", _INVALID_VALUE)
        return self._end_command(context, events) if run.is_last else None

    def _end_command(
        self, context: AcceptedContext, events: list[AssociationEvent]
    ) -> Malformed | None:
        command, self._command = bytes(self._command), bytearray()
        self._command_context = None
        try:
            message = decode_message(command)
        except ProtocolError as error:
            return Malformed(str(error), _INVALID_VALUE)
        if message.has_data_set:
            self._message, self._message_context = message, context
            events.append(MessageStarted(message, context))
        else:
            events.append(CommandReceived(message, context))
        return None
