"""The lives of revisions and deliveries, as tables that leave nothing to chance."""

from __future__ import annotations

from itertools import product

import pytest

from router.domain.delivery import (
    DELIVERY_TRANSITIONS,
    DeliveryEvent,
    DeliveryState,
    next_delivery_state,
)
from router.domain.errors import StateConflict
from router.domain.study import (
    REVISION_TRANSITIONS,
    RevisionEvent,
    RevisionState,
    next_revision_state,
)


@pytest.mark.parametrize(("state", "event"), list(product(DeliveryState, DeliveryEvent)))
def test_every_event_of_a_delivery_leads_on_or_is_a_conflict_that_says_what_would_be_right(
    state: DeliveryState, event: DeliveryEvent
) -> None:
    expected = DELIVERY_TRANSITIONS.get((state, event))
    if expected is not None:
        assert next_delivery_state(state, event) is expected
        return
    with pytest.raises(StateConflict, match=f"cannot {event} a delivery that is {state}") as raised:
        next_delivery_state(state, event)
    for known, what in DELIVERY_TRANSITIONS:
        assert (what is not event) or known in str(raised.value)


@pytest.mark.parametrize(("state", "event"), list(product(RevisionState, RevisionEvent)))
def test_every_event_of_a_revision_leads_on_or_is_a_conflict_that_says_what_would_be_right(
    state: RevisionState, event: RevisionEvent
) -> None:
    expected = REVISION_TRANSITIONS.get((state, event))
    if expected is not None:
        assert next_revision_state(state, event) is expected
        return
    with pytest.raises(StateConflict, match=f"cannot {event} a revision that is {state}") as raised:
        next_revision_state(state, event)
    for known, what in REVISION_TRANSITIONS:
        assert (what is not event) or known in str(raised.value)


def reachable_deliveries(start: DeliveryState) -> set[DeliveryState]:
    found = {start}
    while (
        more := {after for (state, _), after in DELIVERY_TRANSITIONS.items() if state in found}
        - found
    ):
        found |= more
    return found


def test_every_state_of_a_delivery_can_be_reached() -> None:
    assert reachable_deliveries(DeliveryState.PENDING) == set(DeliveryState)


@pytest.mark.parametrize("state", [state for state in DeliveryState if not state.is_terminal])
def test_every_delivery_that_is_not_over_can_still_be_delivered_and_be_given_up(
    state: DeliveryState,
) -> None:
    assert {DeliveryState.DELIVERED, DeliveryState.DEAD} <= reachable_deliveries(state)


def test_a_delivery_that_is_delivered_stays_so_and_a_dead_one_only_a_person_revives() -> None:
    leaving = {(state, event) for state, event in DELIVERY_TRANSITIONS if state.is_terminal}
    assert leaving == {
        (DeliveryState.DEAD, DeliveryEvent.REVIVE),
        (DeliveryState.DEAD, DeliveryEvent.DISMISS),
    }


def test_every_state_of_a_revision_can_be_reached_and_leads_to_an_end() -> None:
    for start in RevisionState:
        found = {start}
        while (
            more := {after for (state, _), after in REVISION_TRANSITIONS.items() if state in found}
            - found
        ):
            found |= more
        assert {RevisionState.RECLAIMED, RevisionState.DISCARDED} & found
        assert start is not RevisionState.OPEN or found == set(RevisionState)


def test_only_a_settled_revision_becomes_reclaimed() -> None:
    assert {state for state, event in REVISION_TRANSITIONS if event is RevisionEvent.RECLAIM} == {
        RevisionState.SETTLED
    }


def test_a_held_revision_is_left_only_by_somebody_who_says_that_it_is_complete() -> None:
    leaving = {event for state, event in REVISION_TRANSITIONS if state is RevisionState.HELD}
    assert leaving == {RevisionEvent.COMPLETE}
