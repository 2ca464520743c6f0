"""The association state machine of PS3.8 section 9.2 as data: table 9-10 and its actions.

How to read it:

* An association is always in one of thirteen states, and nineteen things can happen to it. The
  table says for each pair which action to take; the action says the next state. A pair without an
  action cannot come from a peer: it means that we ourselves asked for something that makes no
  sense now, and is reported as :class:`LocalProtocolError` with the state unchanged.
* Everything that a *peer* can do (send any PDU, send rubbish, close the connection) has an action
  in every state that has a connection. The tests check that no such pair is missing.
* Both roles use the same table. One action depends on the role: AR-8, both sides asked for
  release at once (section 9.2.3, AR-8). The requestor of the association answers first (Sta9),
  the acceptor waits for that answer (Sta10).
* AE-6 lets the service provider itself reject a request that it cannot serve. Our provider never
  does: every request goes to the policy, whose rejection is Evt8 and looks the same on the wire.
* ARTIM, the one timer, bounds the two states in which nothing is left but to wait for the peer:
  Sta2 (connected, no request yet) and Sta13 (nothing more to say, connection not yet closed).

Nothing here performs an action; :mod:`router.dicom.association` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from types import MappingProxyType


class LocalProtocolError(RuntimeError):
    """Our own code asked an association for what its state does not allow: a bug, not a peer."""


class Role(Enum):
    """Which side of the association we are."""

    REQUESTOR = "requestor"
    ACCEPTOR = "acceptor"


class State(StrEnum):
    """Tables 9-1 to 9-5: what the association is waiting for."""

    IDLE = "Sta1"
    AWAITING_REQUEST = "Sta2"  # connection open, A-ASSOCIATE-RQ expected
    AWAITING_LOCAL_ANSWER = "Sta3"  # policy decides about the request
    AWAITING_CONNECTION = "Sta4"
    AWAITING_ANSWER = "Sta5"  # A-ASSOCIATE-AC or -RJ expected
    ESTABLISHED = "Sta6"  # data transfer
    AWAITING_RELEASE_ANSWER = "Sta7"  # A-RELEASE-RP expected
    AWAITING_LOCAL_RELEASE = "Sta8"  # peer asked for release, we have not answered yet
    COLLISION_REQUESTOR_TO_ANSWER = "Sta9"
    COLLISION_ACCEPTOR_AWAITS = "Sta10"
    COLLISION_REQUESTOR_AWAITS = "Sta11"
    COLLISION_ACCEPTOR_TO_ANSWER = "Sta12"
    AWAITING_CLOSE = "Sta13"


class Event(StrEnum):
    """Table 9-10, first column: what can happen."""

    ASSOCIATE_REQUEST = "Evt1"  # we want an association
    CONNECTION_CONFIRMED = "Evt2"
    ASSOCIATE_AC_RECEIVED = "Evt3"
    ASSOCIATE_RJ_RECEIVED = "Evt4"
    CONNECTION_INDICATED = "Evt5"  # somebody has connected
    ASSOCIATE_RQ_RECEIVED = "Evt6"
    ACCEPT = "Evt7"
    REJECT = "Evt8"
    SEND_DATA = "Evt9"
    P_DATA_RECEIVED = "Evt10"
    RELEASE_REQUEST = "Evt11"
    RELEASE_RQ_RECEIVED = "Evt12"
    RELEASE_RP_RECEIVED = "Evt13"
    RELEASE_RESPONSE = "Evt14"
    ABORT_REQUEST = "Evt15"
    ABORT_RECEIVED = "Evt16"
    CONNECTION_CLOSED = "Evt17"
    ARTIM_EXPIRED = "Evt18"
    INVALID_PDU = "Evt19"  # unrecognised or malformed


class Action(StrEnum):
    """Tables 9-6 to 9-9: what to do."""

    AE_1 = "AE-1"  # connect
    AE_2 = "AE-2"  # send A-ASSOCIATE-RQ
    AE_3 = "AE-3"  # indicate acceptance
    AE_4 = "AE-4"  # indicate rejection, close
    AE_5 = "AE-5"  # start ARTIM
    AE_6 = "AE-6"  # stop ARTIM, indicate the request
    AE_7 = "AE-7"  # send A-ASSOCIATE-AC
    AE_8 = "AE-8"  # send A-ASSOCIATE-RJ, start ARTIM
    DT_1 = "DT-1"  # send P-DATA-TF
    DT_2 = "DT-2"  # indicate data
    AR_1 = "AR-1"  # send A-RELEASE-RQ
    AR_2 = "AR-2"  # indicate the release request
    AR_3 = "AR-3"  # confirm release, close
    AR_4 = "AR-4"  # send A-RELEASE-RP, start ARTIM
    AR_5 = "AR-5"  # stop ARTIM
    AR_6 = "AR-6"  # indicate data
    AR_7 = "AR-7"  # send P-DATA-TF
    AR_8 = "AR-8"  # indicate the release request: collision
    AR_9 = "AR-9"  # send A-RELEASE-RP
    AR_10 = "AR-10"  # confirm release
    AA_1 = "AA-1"  # send A-ABORT of the service user, start ARTIM
    AA_2 = "AA-2"  # stop ARTIM, close
    AA_3 = "AA-3"  # indicate the abort, close
    AA_4 = "AA-4"  # indicate the loss of the connection
    AA_5 = "AA-5"  # stop ARTIM
    AA_6 = "AA-6"  # ignore
    AA_7 = "AA-7"  # send A-ABORT
    AA_8 = "AA-8"  # send A-ABORT of the service provider, indicate it, start ARTIM


# Laid out as table 9-10 is printed; a dot is an empty cell.
_TABLE_9_10 = """
       Sta1 Sta2 Sta3 Sta4 Sta5 Sta6 Sta7 Sta8 Sta9 Sta10 Sta11 Sta12 Sta13
Evt1   AE-1 .    .    .    .    .    .    .    .    .     .     .     .
Evt2   .    .    .    AE-2 .    .    .    .    .    .     .     .     .
Evt3   .    AA-1 AA-8 .    AE-3 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8  AA-8  AA-6
Evt4   .    AA-1 AA-8 .    AE-4 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8  AA-8  AA-6
Evt5   AE-5 .    .    .    .    .    .    .    .    .     .     .     .
Evt6   .    AE-6 AA-8 .    AA-8 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8  AA-8  AA-7
Evt7   .    .    AE-7 .    .    .    .    .    .    .     .     .     .
Evt8   .    .    AE-8 .    .    .    .    .    .    .     .     .     .
Evt9   .    .    .    .    .    DT-1 .    AR-7 .    .     .     .     .
Evt10  .    AA-1 AA-8 .    AA-8 DT-2 AR-6 AA-8 AA-8 AA-8  AA-8  AA-8  AA-6
Evt11  .    .    .    .    .    AR-1 .    .    .    .     .     .     .
Evt12  .    AA-1 AA-8 .    AA-8 AR-2 AR-8 AA-8 AA-8 AA-8  AA-8  AA-8  AA-6
Evt13  .    AA-1 AA-8 .    AA-8 AA-8 AR-3 AA-8 AA-8 AR-10 AR-3  AA-8  AA-6
Evt14  .    .    .    .    .    .    .    AR-4 AR-9 .     .     AR-4  .
Evt15  .    .    AA-1 AA-2 AA-1 AA-1 AA-1 AA-1 AA-1 AA-1  AA-1  AA-1  .
Evt16  .    AA-2 AA-3 .    AA-3 AA-3 AA-3 AA-3 AA-3 AA-3  AA-3  AA-3  AA-2
Evt17  .    AA-5 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4  AA-4  AA-4  AR-5
Evt18  .    AA-2 .    .    .    .    .    .    .    .     .     .     AA-2
Evt19  .    AA-1 AA-8 .    AA-8 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8  AA-8  AA-7
"""

# The last column of tables 9-6 to 9-9. For AR-8 this is the requestor's; see `step`.
_NEXT = {
    Action.AE_1: State.AWAITING_CONNECTION,
    Action.AE_2: State.AWAITING_ANSWER,
    Action.AE_3: State.ESTABLISHED,
    Action.AE_4: State.IDLE,
    Action.AE_5: State.AWAITING_REQUEST,
    Action.AE_6: State.AWAITING_LOCAL_ANSWER,
    Action.AE_7: State.ESTABLISHED,
    Action.AE_8: State.AWAITING_CLOSE,
    Action.DT_1: State.ESTABLISHED,
    Action.DT_2: State.ESTABLISHED,
    Action.AR_1: State.AWAITING_RELEASE_ANSWER,
    Action.AR_2: State.AWAITING_LOCAL_RELEASE,
    Action.AR_3: State.IDLE,
    Action.AR_4: State.AWAITING_CLOSE,
    Action.AR_5: State.IDLE,
    Action.AR_6: State.AWAITING_RELEASE_ANSWER,
    Action.AR_7: State.AWAITING_LOCAL_RELEASE,
    Action.AR_8: State.COLLISION_REQUESTOR_TO_ANSWER,
    Action.AR_9: State.COLLISION_REQUESTOR_AWAITS,
    Action.AR_10: State.COLLISION_ACCEPTOR_TO_ANSWER,
    Action.AA_1: State.AWAITING_CLOSE,
    Action.AA_2: State.IDLE,
    Action.AA_3: State.IDLE,
    Action.AA_4: State.IDLE,
    Action.AA_5: State.IDLE,
    Action.AA_6: State.AWAITING_CLOSE,
    Action.AA_7: State.AWAITING_CLOSE,
    Action.AA_8: State.AWAITING_CLOSE,
}

ARTIM_STARTS = frozenset({Action.AE_5, Action.AE_8, Action.AR_4, Action.AA_1, Action.AA_8})
"""Actions that start ARTIM, or start it anew."""

ARTIM_STOPS = frozenset({Action.AE_6, Action.AR_5, Action.AA_2, Action.AA_5})
"""Actions that stop ARTIM."""


def _parse(table: str) -> Mapping[tuple[State, Event], tuple[Action, State]]:
    header, *rows = (line.split() for line in table.strip().splitlines())
    cells: dict[tuple[State, Event], tuple[Action, State]] = {}
    for event, *actions in rows:
        for state, action in zip(header, actions, strict=True):
            if action != ".":
                cells[State(state), Event(event)] = Action(action), _NEXT[Action(action)]
    return MappingProxyType(cells)


TABLE: Mapping[tuple[State, Event], tuple[Action, State]] = _parse(_TABLE_9_10)
"""Table 9-10: what to do and where to go, for the requestor where the role matters."""


def step(state: State, event: Event, role: Role) -> tuple[Action, State]:
    """Look up the action for ``event`` in ``state``, and the state after it.

    Raises :class:`LocalProtocolError` where table 9-10 has an empty cell.
    """
    cell = TABLE.get((state, event))
    if cell is None:
        message = f"{event.name} ({event}) is not allowed in {state.name} ({state})"
        raise LocalProtocolError(message)
    if cell[0] is Action.AR_8 and role is Role.ACCEPTOR:
        return Action.AR_8, State.COLLISION_ACCEPTOR_AWAITS
    return cell
