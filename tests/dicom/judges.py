"""What pynetdicom makes of bytes that we send: it shares no code with us."""

from __future__ import annotations

import struct
from typing import Any

from pynetdicom import pdu as theirs

PDU_CLASSES: dict[int, Any] = {
    1: theirs.A_ASSOCIATE_RQ,
    2: theirs.A_ASSOCIATE_AC,
    3: theirs.A_ASSOCIATE_RJ,
    4: theirs.P_DATA_TF,
    5: theirs.A_RELEASE_RQ,
    6: theirs.A_RELEASE_RP,
    7: theirs.A_ABORT_RQ,
}


def decoded_by_pynetdicom(stream: bytes) -> list[Any]:
    """Every PDU of a stream as pynetdicom decodes it; raises where it cannot, or one is cut."""
    units = []
    position = 0
    while position < len(stream):
        kind, length = struct.unpack_from(">BxI", stream, position)
        end = position + 6 + length
        if end > len(stream):
            raise AssertionError("a PDU was sent in part")
        unit = PDU_CLASSES[kind]()
        unit.decode(stream[position:end])
        units.append(unit)
        position = end
    return units
