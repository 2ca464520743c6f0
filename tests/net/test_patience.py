"""When a peer is given up, as arithmetic."""

from __future__ import annotations

import math

import pytest

from router.net.patience import MIN_PROGRESS_BYTES, Patience

IDLE_S, MESSAGE_S = 600.0, 60.0


@pytest.fixture
def patience() -> Patience:
    return Patience(IDLE_S, MESSAGE_S, now=0.0)


def test_between_messages_a_peer_may_be_silent_for_the_idle_time(patience: Patience) -> None:
    patience.heard(100, 10.0)
    patience.left(10.0, in_the_middle=False)

    assert patience.deadline(is_owed=False) == 10.0 + IDLE_S
    assert patience.verdict(10.0 + IDLE_S - 0.1, is_owed=False) is None
    assert patience.verdict(10.0 + IDLE_S, is_owed=False) == "nothing was received for 600 s"


def test_nothing_is_expected_while_an_answer_is_owed(patience: Patience) -> None:
    assert patience.deadline(is_owed=True) == math.inf
    assert patience.verdict(1e9, is_owed=True) is None


def test_a_message_that_stands_still_is_given_up(patience: Patience) -> None:
    patience.heard(50_000, 5.0)
    patience.left(5.0, in_the_middle=True)
    patience.heard(MIN_PROGRESS_BYTES - 1, 64.0)
    patience.left(64.0, in_the_middle=True)

    assert patience.deadline(is_owed=False) == 65.0
    assert patience.verdict(65.0, is_owed=False) == "a message stood still: 4095 bytes in 60 s"


def test_a_message_that_gets_on_has_as_long_again(patience: Patience) -> None:
    patience.left(5.0, in_the_middle=True)
    patience.heard(MIN_PROGRESS_BYTES, 64.0)
    patience.left(64.0, in_the_middle=True)

    assert patience.verdict(65.0, is_owed=False) is None
    assert patience.deadline(is_owed=False) == 125.0
    assert patience.verdict(125.0, is_owed=False) == "a message stood still: 0 bytes in 60 s"


def test_the_end_of_a_message_is_progress(patience: Patience) -> None:
    patience.left(5.0, in_the_middle=True)
    patience.heard(1, 64.0)
    patience.left(64.0, in_the_middle=False)

    assert patience.verdict(65.0, is_owed=False) is None
    assert patience.deadline(is_owed=False) == 64.0 + IDLE_S


def test_all_that_was_heard_is_counted(patience: Patience) -> None:
    patience.heard(3, 1.0)
    patience.heard(0, 2.0)
    patience.heard(4, 3.0)

    assert patience.received == 7
