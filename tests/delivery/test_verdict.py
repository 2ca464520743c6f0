from __future__ import annotations

from collections import Counter

from router.delivery.verdict import judge
from router.domain.delivery import Delivery, DeliveryState
from tests.delivery.builders import delivery

NONE: Counter[str] = Counter()


def verdict(
    of: Delivery,
    setbacks: Counter[str] = NONE,
    refusals: Counter[str] = NONE,
    why_stopped: str = "",
    *,
    gives_up: bool = False,
) -> tuple[DeliveryState, str]:
    return judge(of, setbacks, refusals, why_stopped=why_stopped, gives_up=gives_up)


def test_it_is_delivered_only_when_every_instance_is_stored() -> None:
    assert verdict(delivery(delivered=3)) == (DeliveryState.DELIVERED, "")


def test_a_delivery_of_nothing_is_delivered() -> None:
    assert verdict(delivery(instances=0)) == (DeliveryState.DELIVERED, "")


def test_while_anything_is_left_it_is_retried_and_says_how_much_and_why() -> None:
    setbacks = Counter({"out of resources": 1, "the peer aborted": 2})
    assert verdict(delivery(instances=5, delivered=2), setbacks) == (
        DeliveryState.RETRYING,
        "3 of 5 instances still to be sent: the peer aborted (2); out of resources (1)",
    )


def test_a_reason_to_stop_is_told() -> None:
    assert verdict(delivery(instances=1), why_stopped="connection refused") == (
        DeliveryState.RETRYING,
        "1 of 1 instance still to be sent; connection refused",
    )


def test_what_was_refused_for_good_does_not_keep_the_rest_from_being_tried_again() -> None:
    state, reason = verdict(delivery(instances=3, delivered=1, refused=1))
    assert state is DeliveryState.RETRYING
    assert reason == "1 of 3 instances still to be sent; 1 of 3 instances refused for good"


def test_with_nothing_left_to_send_a_refusal_makes_it_dead() -> None:
    refusals = Counter({"cannot understand": 1})
    assert verdict(delivery(instances=3, delivered=2, refused=1), refusals=refusals) == (
        DeliveryState.DEAD,
        "1 of 3 instances refused for good: cannot understand (1)",
    )


def test_who_gives_up_makes_it_dead_and_says_what_was_left() -> None:
    assert verdict(delivery(), Counter({"no answer": 3}), gives_up=True) == (
        DeliveryState.DEAD,
        "given up: 3 of 3 instances still to be sent: no answer (3)",
    )


def test_giving_up_takes_nothing_from_what_is_delivered() -> None:
    assert verdict(delivery(delivered=3), gives_up=True) == (DeliveryState.DELIVERED, "")
