"""Table 9-10, judged by an independent implementation of it."""

from __future__ import annotations

from itertools import product

import pytest
from pynetdicom import fsm

from router.dicom.state import (
    ARTIM_STARTS,
    ARTIM_STOPS,
    TABLE,
    Action,
    Event,
    LocalProtocolError,
    Role,
    State,
    step,
)

EVERY_CELL = list(product(State, Event))
FROM_THE_PEER = (
    Event.ASSOCIATE_AC_RECEIVED,
    Event.ASSOCIATE_RJ_RECEIVED,
    Event.ASSOCIATE_RQ_RECEIVED,
    Event.P_DATA_RECEIVED,
    Event.RELEASE_RQ_RECEIVED,
    Event.RELEASE_RP_RECEIVED,
    Event.ABORT_RECEIVED,
    Event.CONNECTION_CLOSED,
    Event.INVALID_PDU,
)
CONNECTED = [state for state in State if state not in (State.IDLE, State.AWAITING_CONNECTION)]


def description_of(action: Action) -> str:
    return str(fsm.ACTIONS[action][0])


def possible_states_after(action: str) -> tuple[str, ...]:
    states = fsm.ACTIONS[action][2]
    return (states,) if isinstance(states, str) else tuple(states)


def test_the_table_has_exactly_the_cells_of_the_standard() -> None:
    ours = {(str(event), str(state)): str(action) for (state, event), (action, _) in TABLE.items()}

    assert ours == fsm.TRANSITION_TABLE


@pytest.mark.parametrize(("state", "event"), EVERY_CELL)
@pytest.mark.parametrize("role", Role)
def test_each_cell_leads_where_the_standard_says(state: State, event: Event, role: Role) -> None:
    expected = fsm.TRANSITION_TABLE.get((str(event), str(state)))
    try:
        action, following = step(state, event, role)
    except LocalProtocolError:
        assert expected is None
    else:
        assert action == expected
        assert following in possible_states_after(expected)


def test_in_a_release_collision_the_role_decides_who_answers_first() -> None:
    state, event = State.AWAITING_RELEASE_ANSWER, Event.RELEASE_RQ_RECEIVED

    assert step(state, event, Role.REQUESTOR) == (Action.AR_8, State("Sta9"))
    assert step(state, event, Role.ACCEPTOR) == (Action.AR_8, State("Sta10"))


def test_a_request_always_goes_to_the_policy() -> None:
    cell = step(State.AWAITING_REQUEST, Event.ASSOCIATE_RQ_RECEIVED, Role.ACCEPTOR)

    assert cell == (Action.AE_6, State("Sta3"))


@pytest.mark.parametrize(("state", "event"), list(product(CONNECTED, FROM_THE_PEER)))
def test_whatever_a_peer_does_has_an_action(state: State, event: Event) -> None:
    assert (state, event) in TABLE


def test_a_step_that_makes_no_sense_names_event_and_state() -> None:
    with pytest.raises(LocalProtocolError, match=r"RELEASE_REQUEST \(Evt11\).*IDLE \(Sta1\)"):
        step(State.IDLE, Event.RELEASE_REQUEST, Role.REQUESTOR)


def test_artim_starts_and_stops_with_the_actions_that_say_so() -> None:
    stops = {action for action in Action if "stop artim" in description_of(action).lower()}
    timed = {action for action in Action if "ARTIM" in description_of(action)}

    assert stops == ARTIM_STOPS
    assert timed - stops == ARTIM_STARTS
