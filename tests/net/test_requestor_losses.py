"""What a peer said before it left counts, and what it did not say does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from router.dicom import statuses
from router.dicom.dimse import CEchoRQ, CEchoRSP
from router.dicom.uids import VERIFICATION
from router.domain.errors import AssociationLost
from tests.net.calls import LARGE, associated, store, store_answer
from tests.net.raw import (
    ABORT,
    RELEASE_RP,
    RELEASE_RQ,
    RawPeer,
    association_request,
    message_bytes,
)
from tests.net.service import CT_CONTEXT

# -- the end in the middle of an object, and behind it --------------------------------------------


def by_abort(peer: RawPeer) -> None:
    assert peer.send_what_fits(ABORT) == len(ABORT)


ENDINGS = {
    "by A-ABORT": (by_abort, "aborted the association"),
    "by closing": (RawPeer.close, "closed the connection|broke the connection"),
    "by reset": (RawPeer.reset, "broke the connection"),
    "by half-closing": (RawPeer.finish_sending, "closed the connection"),
}
Ending = Callable[[RawPeer], None]
endings = pytest.mark.parametrize(("end", "text"), ENDINGS.values(), ids=ENDINGS.keys())


@endings
async def test_the_peer_ends_the_association_in_the_middle_of_an_object(
    end: Ending, text: str
) -> None:
    async def take_some(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_exactly(100_000)
        end(peer)
        await peer.receive_rest()

    async with associated(take_some) as association:
        with pytest.raises(AssociationLost, match=f"WRITER at .* ({text})"):
            await store(association, LARGE)
        assert not association.is_open


@endings
async def test_the_peer_ends_the_association_instead_of_answering(end: Ending, text: str) -> None:
    async def take_all(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_message()
        end(peer)
        await peer.receive_rest()

    async with associated(take_all) as association:
        with pytest.raises(AssociationLost, match=f"WRITER at .* ({text})"):
            await store(association)
        assert not association.is_open


@endings
async def test_the_peer_ends_the_association_behind_its_answer(end: Ending, text: str) -> None:
    async def answer(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_message()
        await peer.send(store_answer(statuses.SUCCESS))
        end(peer)
        await peer.receive_rest()

    async with associated(answer) as association:
        assert (await store(association)).status == statuses.SUCCESS


@endings
async def test_the_peer_ends_the_association_instead_of_releasing(end: Ending, text: str) -> None:
    async def vanish(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_pdu()
        end(peer)
        await peer.receive_rest()

    async with associated(vanish):
        pass


async def test_whoever_goes_on_behind_the_end_hears_its_cause() -> None:
    async def answer_and_abort(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_message()
        await peer.send(store_answer(statuses.SUCCESS) + ABORT)
        await peer.receive_rest()

    async with associated(answer_and_abort) as association:
        await store(association)
        with pytest.raises(AssociationLost, match="aborted the association"):
            await store(association)


async def test_a_refusal_before_the_object_is_complete_is_its_answer() -> None:
    async def refuse_early(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_pdu()
        await peer.send(store_answer(statuses.OUT_OF_RESOURCES))
        await peer.receive_data_set()
        await peer.release()

    async with associated(refuse_early) as association:
        assert (await store(association, LARGE)).status == statuses.OUT_OF_RESOURCES
        assert association.is_open


@pytest.mark.parametrize("end", [by_abort, RawPeer.close])
async def test_a_refusal_counts_even_if_the_peer_leaves_before_it_has_the_whole_object(
    end: Ending,
) -> None:
    async def refuse_and_leave(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_exactly(100_000)
        await peer.send(store_answer(statuses.OUT_OF_RESOURCES))
        peer.finish_sending()
        await peer.receive_exactly(LARGE // 2)

    async with associated(refuse_and_leave) as association:
        assert (await store(association, LARGE)).status == statuses.OUT_OF_RESOURCES
        assert not association.is_open


async def test_success_is_none_if_the_peer_leaves_before_it_has_the_whole_object() -> None:
    async def claim_and_leave(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_exactly(100_000)
        await peer.send(store_answer(statuses.SUCCESS))
        peer.finish_sending()
        await peer.receive_exactly(LARGE // 2)

    async with associated(claim_and_leave) as association:
        with pytest.raises(AssociationLost):
            await store(association, LARGE)


# -- what no peer should do -----------------------------------------------------------------------

NONSENSE = {
    "rubbish": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "broke the protocol: PDU type 0x48"),
    "an answer to another message": (store_answer(0, 7), "answered a message that it was not sent"),
    "an answer that others follow": (store_answer(0xFF00), "answered with a pending status"),
    "an association request": (association_request(), "broke the protocol"),
    "data of an unknown context": (
        message_bytes(99, CEchoRQ(1, VERIFICATION)),
        "presentation context 99 was not accepted",
    ),
    "a request for release": (RELEASE_RQ, "released the association"),
    "a request for release that it takes back": (RELEASE_RQ + ABORT, "aborted the association"),
    "a confirmation of no release": (RELEASE_RP, "broke the protocol"),
    "an answer of another kind": (
        message_bytes(CT_CONTEXT, CEchoRSP(1, VERIFICATION, 0)),
        "answered C-STORE with something else",
    ),
}


@pytest.mark.parametrize(("said", "text"), NONSENSE.values(), ids=NONSENSE.keys())
async def test_a_peer_that_answers_nonsense_loses_the_association(said: bytes, text: str) -> None:
    async def talk_nonsense(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_message()
        await peer.send(said)
        await peer.receive_rest()

    async with associated(talk_nonsense) as association:
        with pytest.raises(AssociationLost, match=text):
            await store(association)
        assert not association.is_open


async def test_a_second_answer_is_one_too_many() -> None:
    async def answer_twice(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_message()
        await peer.send(store_answer(statuses.SUCCESS) * 2)
        await peer.receive_rest()

    async with associated(answer_twice) as association:
        assert (await store(association)).status == statuses.SUCCESS
        with pytest.raises(AssociationLost, match="answered a message that it was not sent"):
            await store(association)


async def test_a_peer_that_breaks_the_protocol_is_told_so() -> None:
    heard = []

    async def talk_nonsense(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_message()
        await peer.send(RELEASE_RP)
        heard.append(await peer.receive_rest())

    async with associated(talk_nonsense) as association:
        with pytest.raises(AssociationLost):
            await store(association)

    assert heard == [ABORT[:8] + bytes((2, 2))]  # by the service provider: unexpected PDU


async def test_a_peer_that_wants_to_release_is_confirmed() -> None:
    heard = []

    async def release(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_message()
        await peer.send(RELEASE_RQ)
        heard.append(await peer.receive_rest())

    async with associated(release) as association:
        with pytest.raises(AssociationLost, match="released the association"):
            await store(association)

    assert heard == [RELEASE_RP]


async def test_when_both_sides_release_at_once_both_are_released() -> None:
    heard = []

    async def release_too(peer: RawPeer) -> None:
        await peer.accept_association()
        assert await peer.receive_pdu() == RELEASE_RQ
        await peer.send(RELEASE_RQ)
        heard.append(await peer.receive_pdu())
        await peer.send(RELEASE_RP)
        heard.append(await peer.receive_rest())

    async with associated(release_too):
        pass

    assert heard == [RELEASE_RP, b""]
