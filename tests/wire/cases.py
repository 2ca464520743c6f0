"""All cases, by name."""

from __future__ import annotations

from tests.wire import (
    cases_association,
    cases_dimse,
    cases_encodings,
    cases_hostile,
    cases_pdata,
    cases_states,
)
from tests.wire.expected import Case

CASES: tuple[Case, ...] = (
    *cases_association.CASES,
    *cases_states.CASES,
    *cases_pdata.CASES,
    *cases_dimse.CASES,
    *cases_encodings.CASES,
    *cases_hostile.CASES,
)
