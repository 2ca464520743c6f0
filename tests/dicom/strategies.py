"""Strategies for what goes over an association."""

from __future__ import annotations

from hypothesis import strategies as st

from router.dicom.pdu import (
    Abort,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    ContextResult,
    ExtendedNegotiation,
    ProposedContext,
    ReleaseRP,
    ReleaseRQ,
    RoleSelection,
    UserIdentity,
    UserInformation,
)

UIDS = st.integers(0, 2**120).map(lambda number: f"2.25.{number}")
AE_TITLES = st.text("AZaz09_ -.", min_size=1, max_size=16).map(lambda text: text.strip() or "AE")
CONTEXT_IDS = st.integers(0, 127).map(lambda number: 2 * number + 1)
_BYTES = st.binary(max_size=40)
_U16, _U32 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)

PROPOSALS = st.builds(
    ProposedContext, CONTEXT_IDS, UIDS, st.lists(UIDS, min_size=1, max_size=4).map(tuple)
)
RESULTS = st.builds(ContextResult, CONTEXT_IDS, st.integers(0, 4), UIDS)
ROLES = st.builds(RoleSelection, UIDS, st.booleans(), st.booleans())
IDENTITIES = st.builds(
    UserIdentity, st.integers(1, 5), st.booleans(), st.binary(min_size=1), _BYTES
)


def _users(*, requesting: bool) -> st.SearchStrategy[UserInformation]:
    return st.builds(
        UserInformation,
        max_length=_U32,
        implementation_class_uid=UIDS,
        implementation_version=st.text("AZ_09", min_size=1, max_size=16),
        async_operations=st.none() | st.tuples(_U16, _U16),
        roles=st.lists(ROLES, max_size=3, unique_by=lambda role: role.sop_class_uid).map(tuple),
        extended=st.lists(
            st.builds(ExtendedNegotiation, UIDS, st.binary(min_size=1, max_size=40)),
            max_size=2,
            unique_by=lambda one: one.sop_class_uid,
        ).map(tuple),
        user_identity=st.none() | IDENTITIES if requesting else st.none(),
        user_identity_response=st.none() if requesting else st.none() | _BYTES,
    )


REQUESTS = st.builds(
    AssociateRQ,
    AE_TITLES,
    AE_TITLES,
    st.lists(PROPOSALS, min_size=1, max_size=5, unique_by=lambda context: context.context_id).map(
        tuple
    ),
    _users(requesting=True),
)
ACCEPTANCES = st.builds(
    AssociateAC,
    AE_TITLES,
    AE_TITLES,
    st.lists(RESULTS, min_size=1, max_size=5, unique_by=lambda one: one.context_id).map(tuple),
    _users(requesting=False),
)
_BYTE = st.integers(0, 255)
CONTROL_PDUS = st.one_of(
    REQUESTS,
    ACCEPTANCES,
    st.builds(AssociateRJ, _BYTE, _BYTE, _BYTE),
    st.builds(Abort, _BYTE, _BYTE),
    st.just(ReleaseRQ()),
    st.just(ReleaseRP()),
)
