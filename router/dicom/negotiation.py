"""Association negotiation as a pure function of proposal and policy (PS3.7 annex D, PS3.8 7.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from router.dicom import uids
from router.dicom.pdu import (
    MAX_CONTEXTS,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    ContextResult,
    ProposedContext,
    RoleSelection,
    UserInformation,
)

ACCEPTED = 0
USER_REJECTION = 1
ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
TRANSFER_SYNTAXES_NOT_SUPPORTED = 4

REJECTED_PERMANENT, REJECTED_TRANSIENT = 1, 2
BY_SERVICE_USER, BY_ACSE, BY_PRESENTATION = 1, 2, 3

PROTOCOL_VERSION_NOT_SUPPORTED = AssociateRJ(REJECTED_PERMANENT, BY_ACSE, 2)
APPLICATION_CONTEXT_NOT_SUPPORTED = AssociateRJ(REJECTED_PERMANENT, BY_SERVICE_USER, 2)
CALLING_AE_TITLE_NOT_RECOGNISED = AssociateRJ(REJECTED_PERMANENT, BY_SERVICE_USER, 3)
CALLED_AE_TITLE_NOT_RECOGNISED = AssociateRJ(REJECTED_PERMANENT, BY_SERVICE_USER, 7)
LOCAL_LIMIT_EXCEEDED = AssociateRJ(REJECTED_TRANSIENT, BY_PRESENTATION, 2)

DEFAULT_MAX_LENGTH = 131_072

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_REJECTION_REASONS = {
    (BY_SERVICE_USER, 1): "no reason given",
    (BY_SERVICE_USER, 2): "application context name not supported",
    (BY_SERVICE_USER, 3): "calling AE title not recognised",
    (BY_SERVICE_USER, 7): "called AE title not recognised",
    (BY_ACSE, 1): "no reason given",
    (BY_ACSE, 2): "protocol version not supported",
    (BY_PRESENTATION, 1): "temporary congestion",
    (BY_PRESENTATION, 2): "local limit exceeded",
}


def describe_rejection(rejection: AssociateRJ) -> str:
    """What a rejection says (PS3.8 table 9-21), for people."""
    code = f"{rejection.result}/{rejection.source}/{rejection.reason}"
    reason = _REJECTION_REASONS.get((rejection.source, rejection.reason), "reason unknown")
    duration = "for now" if rejection.result == REJECTED_TRANSIENT else "permanently"
    return f"{reason} ({duration}, {code})"


@dataclass(frozen=True, slots=True)
class AcceptancePolicy:
    """What an acceptor accepts.

    ``ae_titles`` are the called AE titles it answers to (empty: any), ``calling_ae_titles`` who
    may call (None: anyone), ``max_length`` the longest P-DATA-TF variable field it receives.
    """

    ae_titles: frozenset[str] = frozenset()
    calling_ae_titles: frozenset[str] | None = None
    accept_unknown_sop_classes: bool = True
    accept_storage_commitment: bool = False
    services: frozenset[str] = frozenset()  # abstract syntaxes beside storage
    max_length: int = DEFAULT_MAX_LENGTH


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """A presentation context that both sides may use."""

    context_id: int
    abstract_syntax: str
    transfer_syntax: str


def negotiate(request: AssociateRQ, policy: AcceptancePolicy) -> AssociateAC | AssociateRJ:
    """Answer an association request.

    Rejects by table 9-21 of PS3.8, else answers every proposed context once. For storage the
    *first* valid transfer syntax offered is accepted, whatever it is: bytes are passed through, so
    any syntax serves, and the sender's order says which one spares it a conversion.
    """
    rejection = _reject(request, policy)
    if rejection is not None:
        return rejection
    results = tuple(_answer_contexts(request.contexts, policy))
    user = UserInformation(
        max_length=policy.max_length,
        implementation_class_uid=uids.IMPLEMENTATION_CLASS,
        implementation_version=uids.IMPLEMENTATION_VERSION,
        async_operations=(1, 1) if request.user.async_operations is not None else None,
        roles=tuple(_answer_roles(request, policy)),
        user_identity_response=_identity_response(request.user),
    )
    return AssociateAC(request.called_ae_title, request.calling_ae_title, results, user)


def _reject(request: AssociateRQ, policy: AcceptancePolicy) -> AssociateRJ | None:
    if not request.protocol_version & 1:
        return PROTOCOL_VERSION_NOT_SUPPORTED
    if request.application_context != uids.APPLICATION_CONTEXT:
        return APPLICATION_CONTEXT_NOT_SUPPORTED
    called = request.called_ae_title
    if not called or (policy.ae_titles and called not in policy.ae_titles):
        return CALLED_AE_TITLE_NOT_RECOGNISED
    calling = request.calling_ae_title
    allowed = policy.calling_ae_titles
    if not _is_name(calling) or (allowed is not None and calling not in allowed):
        return CALLING_AE_TITLE_NOT_RECOGNISED
    return None


def _is_name(calling: str) -> bool:
    """Whether it can stand in a File Meta group; characters beyond ASCII, which can, are common."""
    return bool(calling) and not _CONTROL.search(calling)


def _identity_response(user: UserInformation) -> bytes | None:
    """Identities are not verified here; who asks for an answer gets an empty, positive one."""
    identity = user.user_identity
    return b"" if identity is not None and identity.response_requested else None


def _answer_roles(request: AssociateRQ, policy: AcceptancePolicy) -> Iterator[RoleSelection]:
    """The requestor may be SCU, and SCP of what it is sent: instances by C-GET, reports.

    A role is answered once, and only where its class is proposed: whatever comes, the answer stays
    within what an item can hold.
    """
    unanswered = {context.abstract_syntax for context in request.contexts}
    for role in request.user.roles:
        if role.sop_class_uid in unanswered and uids.is_valid_uid(role.sop_class_uid):
            unanswered.remove(role.sop_class_uid)
            may_be_scp = _may_be_scp(role.sop_class_uid, policy)
            yield RoleSelection(role.sop_class_uid, role.scu, role.scp and may_be_scp)


def _may_be_scp(sop_class_uid: str, policy: AcceptancePolicy) -> bool:
    """Of storage commitment, to be sent reports; of storage, to be sent what it asks for."""
    if sop_class_uid == uids.STORAGE_COMMITMENT_PUSH:
        return policy.accept_storage_commitment
    is_storage = not uids.is_known_non_storage(sop_class_uid)
    return is_storage and uids.STUDY_ROOT_GET in policy.services


def _answer_contexts(
    contexts: Sequence[ProposedContext], policy: AcceptancePolicy
) -> Iterator[ContextResult]:
    seen: set[int] = set()
    for context in contexts:
        if context.context_id not in seen:
            seen.add(context.context_id)
            yield _answer_context(context, policy)


def _answer_context(context: ProposedContext, policy: AcceptancePolicy) -> ContextResult:
    usable = filter(uids.is_valid_uid, context.transfer_syntaxes)
    first = next(usable, None)
    answered = first or uids.IMPLICIT_VR_LITTLE_ENDIAN  # of no meaning, but has to be a UID
    if context.context_id % 2 == 0:
        return ContextResult(context.context_id, USER_REJECTION, answered)
    if not accepts_sop_class(context.abstract_syntax, policy):
        return ContextResult(context.context_id, ABSTRACT_SYNTAX_NOT_SUPPORTED, answered)
    if first is None:
        return ContextResult(context.context_id, TRANSFER_SYNTAXES_NOT_SUPPORTED, answered)
    if not uids.is_storage_sop_class(context.abstract_syntax) and first not in _PLAIN:
        answered = next((uid for uid in usable if uid in _PLAIN), first)
    return ContextResult(context.context_id, ACCEPTED, answered)


def accepts_sop_class(abstract_syntax: str, policy: AcceptancePolicy) -> bool:
    """Whether instances, or requests, of this SOP class are taken at all."""
    if abstract_syntax == uids.VERIFICATION or uids.is_storage_sop_class(abstract_syntax):
        return True
    if abstract_syntax == uids.STORAGE_COMMITMENT_PUSH:
        return policy.accept_storage_commitment
    if abstract_syntax in policy.services:
        return True
    return (
        policy.accept_unknown_sop_classes
        and uids.is_valid_uid(abstract_syntax)
        and not uids.is_known_non_storage(abstract_syntax)
    )


_PLAIN = (uids.IMPLICIT_VR_LITTLE_ENDIAN, uids.EXPLICIT_VR_LITTLE_ENDIAN)


def accepted_contexts(request: AssociateRQ, answer: AssociateAC) -> dict[int, AcceptedContext]:
    """The usable contexts by id, seen from either side; answers to nothing proposed are ignored."""
    proposed: Mapping[int, str] = {
        context.context_id: context.abstract_syntax for context in reversed(request.contexts)
    }
    return {
        result.context_id: AcceptedContext(
            result.context_id, proposed[result.context_id], result.transfer_syntax
        )
        for result in answer.results
        if result.result == ACCEPTED and result.context_id in proposed
    }


Pair = tuple[str, str]
"""SOP class and transfer syntax."""


def propose(pairs: Iterable[Pair]) -> tuple[ProposedContext, ...]:
    """One context for each pair, with ids 1, 3, 5 ...; raises ``ValueError`` above 128."""
    contexts = tuple(
        ProposedContext(2 * index + 1, sop_class, (transfer_syntax,))
        for index, (sop_class, transfer_syntax) in enumerate(dict.fromkeys(pairs))
    )
    if len(contexts) > MAX_CONTEXTS:
        raise ValueError(f"{len(contexts)} presentation contexts; an association has at most 128")
    return contexts


def group_contexts(pairs: Iterable[Pair]) -> list[list[Pair]]:
    """The pairs in groups that each fit into one association."""
    distinct = list(dict.fromkeys(pairs))
    return [distinct[at : at + MAX_CONTEXTS] for at in range(0, len(distinct), MAX_CONTEXTS)]
