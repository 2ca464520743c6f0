"""Byte streams: what is taken, how waits end, and TLS between us and the network."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.net.stream import TCPStream, after
from tests.net.raw import RawPeer, listening, wait_for_end
from tests.net.service import PATIENCE_S

BUFFERS = st.lists(st.binary(max_size=8), max_size=8)


@given(BUFFERS, st.data())
def test_what_is_left_is_all_behind_what_was_sent(
    buffers: Sequence[bytes], data: st.DataObject
) -> None:
    joined = b"".join(buffers)
    sent = data.draw(st.integers(0, len(joined)))

    left = after(buffers, sent)

    assert b"".join(left) == joined[sent:]
    assert all(len(buffer) for buffer in left[:1])


async def test_nothing_is_received_before_something_has_come_and_zero_at_the_end() -> None:
    go_on = anyio.Event()

    async def talk(peer: RawPeer) -> None:
        await go_on.wait()
        await peer.send(b"word")
        peer.finish_sending()

    buffer = memoryview(bytearray(10))
    async with listening(talk) as port:
        stream = await TCPStream.connect("127.0.0.1", port, PATIENCE_S)
        try:
            assert stream.try_receive_into(buffer) is None
            go_on.set()
            await stream.wait(readable=True)
            assert stream.try_receive_into(buffer) == 4
            await stream.wait(readable=True)
            assert stream.try_receive_into(buffer) == 0
        finally:
            stream.close()

    assert bytes(buffer[:4]) == b"word"


async def test_what_the_kernel_does_not_take_is_not_taken() -> None:
    async with listening(wait_for_end) as port:
        stream = await TCPStream.connect("127.0.0.1", port, PATIENCE_S)
        try:
            sent = 0
            while count := stream.try_send([bytes(1 << 20)]):
                sent += count
            assert sent > 0
            await stream.wait(writable=True)
            assert stream.try_send([b"more"]) > 0
        finally:
            stream.close()


async def test_closing_ends_a_wait() -> None:
    async with listening(wait_for_end) as port:
        stream = await TCPStream.connect("127.0.0.1", port, PATIENCE_S)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: stream.wait(readable=True))
                await anyio.lowlevel.checkpoint()
                stream.close()


CALLS: dict[str, Callable[[TCPStream], object]] = {
    "sending": lambda stream: stream.try_send([b"word"]),
    "receiving": lambda stream: stream.try_receive_into(memoryview(bytearray(1))),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_a_closed_stream_says_so(call: Callable[[TCPStream], object]) -> None:
    async with listening(wait_for_end) as port:
        stream = await TCPStream.connect("127.0.0.1", port, PATIENCE_S)
        stream.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            call(stream)
        with pytest.raises(OSError, match="Bad file descriptor"):
            await stream.wait(readable=True)
        stream.close()


async def test_where_one_address_of_a_host_refuses_the_next_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        refusing = server.getsockname()
    async with listening(wait_for_end) as port:
        tcp = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
        answers = [(*tcp, refusing), (*tcp, ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
        stream = await TCPStream.connect("writer", port, PATIENCE_S)
        stream.close()


async def test_where_one_address_of_a_host_swallows_packets_the_next_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as full,
        socket.create_connection(full.getsockname()),  # takes the only place in the queue
    ):
        async with listening(wait_for_end) as port:
            tcp = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
            answers = [(*tcp, full.getsockname()), (*tcp, ("127.0.0.1", port))]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
            stream = await TCPStream.connect("writer", port, timeout_s=1.0)
            stream.close()


async def test_where_all_addresses_of_a_host_refuse_the_last_refusal_counts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    with pytest.raises(ConnectionRefusedError) as refusal:
        await TCPStream.connect("localhost", port, PATIENCE_S)

    assert refusal.value.errno == errno.ECONNREFUSED
