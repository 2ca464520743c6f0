"""A byte stream over TLS: OpenSSL between two buffers in memory, over the same kind of stream.

PS3.15 annex B leaves the profile to whoever makes the ``SSLContext``; nothing is decided here. A
peer that renegotiates, as TLS 1.2 lets it, is given up: its ``OSError`` says so.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from contextlib import suppress
from math import inf

from anyio.lowlevel import checkpoint

from router.dicom.pdata import Buffer
from router.net.stream import MAX_BUFFERS, ByteStream, after

RECEIVE_BYTES = 32 * 1024
MAX_UNSENT_BYTES = 256 * 1024
"""No more is encrypted while the network has not taken so much of what was."""


class TLSStream:
    """Implements :class:`router.net.stream.ByteStream` over another one, which it owns."""

    def __init__(self, stream: ByteStream, context: ssl.SSLContext, server_hostname: str):
        self._stream = stream
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_hostname
        )
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))
        self._unsent: list[Buffer] = []  # encrypted
        self._may_have_more = False  # decrypted, or received and ready to be

    @classmethod
    async def handshake(
        cls, stream: ByteStream, context: ssl.SSLContext, server_hostname: str
    ) -> TLSStream:
        """Begin TLS as its client; raises ``OSError``, and closes ``stream`` if it fails."""
        try:
            secured = cls(stream, context, server_hostname)
            while not secured._try_handshake():
                await secured.wait(readable=True)
        except BaseException:
            stream.close()
            raise
        return secured

    def try_send(self, buffers: Sequence[Buffer]) -> int:
        """Encrypt all of it, or nothing while too much waits for the network."""
        self._flush()
        if sum(map(len, self._unsent)) >= MAX_UNSENT_BYTES:
            return 0
        data, taken = memoryview(b"".join(buffers)), 0  # joined: fewer records
        while taken < len(data):
            taken += self._tls.write(data[taken:])
        self._flush()
        return taken

    def try_receive_into(self, buffer: memoryview) -> int | None:
        """Decrypt what is there now. A peer that leaves without a word has left all the same."""
        while True:
            try:
                data = self._tls.read(len(buffer))
            except ssl.SSLWantReadError:
                if not self._feed():
                    self._may_have_more = False
                    return None
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return 0
            else:
                self._may_have_more = True
                buffer[: len(data)] = data
                return len(data)

    async def wait(
        self, *, readable: bool = False, writable: bool = False, until: float = inf
    ) -> None:
        """Wait for the network; what is encrypted leaves meanwhile."""
        if readable and self._may_have_more:
            await checkpoint()
            return
        with suppress(OSError):  # whoever tries next hears of it
            self._flush()
        sends = writable or bool(self._unsent)
        await self._stream.wait(readable=readable, writable=sends, until=until)

    def close(self) -> None:
        """Say that nothing more comes, if that can be said at once, and close the connection."""
        with suppress(OSError):
            self._tls.unwrap()
        with suppress(OSError):
            self._flush()
        self._stream.close()

    def _try_handshake(self) -> bool:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if not self._feed():
                    return False
            except ssl.SSLError:
                with suppress(OSError):
                    self._flush()  # the alert that says why
                raise
            else:
                self._flush()
                return True

    def _feed(self) -> bool:
        """Pass on what the network has; whether that was anything."""
        size = self._stream.try_receive_into(self._buffer)
        if size is None:
            return False
        if size:
            self._incoming.write(self._buffer[:size])
        else:
            self._incoming.write_eof()
        return True

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._unsent.append(self._outgoing.read())
        while self._unsent:
            sent = self._stream.try_send(self._unsent[:MAX_BUFFERS])
            if not sent:
                return
            self._unsent = after(self._unsent, sent)
