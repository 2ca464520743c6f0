"""Every proposal gets an answer: by the standard where it says so, else by policy."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dicom import uids
from router.dicom.negotiation import (
    AcceptancePolicy,
    AcceptedContext,
    accepted_contexts,
    describe_rejection,
    group_contexts,
    negotiate,
    propose,
)
from router.dicom.pdu import (
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    ContextResult,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    UserInformation,
    decode,
    encode,
)
from tests.dicom.strategies import REQUESTS

CT = "1.2.840.10008.5.1.4.1.1.2"
ILE, ELE = uids.IMPLICIT_VR_LITTLE_ENDIAN, uids.EXPLICIT_VR_LITTLE_ENDIAN
JPEG = "1.2.840.10008.1.2.4.70"
POLICY = AcceptancePolicy(ae_titles=frozenset({"ROUTER"}), max_length=4096)
REQUEST = AssociateRQ(
    called_ae_title="ROUTER",
    calling_ae_title="CT1",
    contexts=(ProposedContext(1, CT, (ELE, ILE)),),
    user=UserInformation(max_length=16384),
)


def accepted(request: AssociateRQ, policy: AcceptancePolicy = POLICY) -> AssociateAC:
    answer = negotiate(request, policy)
    assert isinstance(answer, AssociateAC)
    return answer


def rejected(request: AssociateRQ, policy: AcceptancePolicy = POLICY) -> tuple[int, int, int]:
    answer = negotiate(request, policy)
    assert isinstance(answer, AssociateRJ)
    return answer.result, answer.source, answer.reason


def results(*contexts: ProposedContext, policy: AcceptancePolicy = POLICY) -> list[ContextResult]:
    return list(accepted(replace(REQUEST, contexts=contexts), policy).results)


# -- rejections (PS3.8 table 9-21) -----------------------------------------------------------------


def test_an_association_for_another_ae_title_is_rejected() -> None:
    assert rejected(replace(REQUEST, called_ae_title="OTHER")) == (1, 1, 7)


def test_a_router_without_an_ae_title_answers_to_any_but_none() -> None:
    anyone = replace(POLICY, ae_titles=frozenset())
    accepted(replace(REQUEST, called_ae_title="OTHER"), anyone)
    assert rejected(replace(REQUEST, called_ae_title=""), anyone) == (1, 1, 7)


def test_who_does_not_say_who_calls_is_rejected() -> None:
    assert rejected(replace(REQUEST, calling_ae_title="")) == (1, 1, 3)


@pytest.mark.parametrize("title", ["\x1b[2J\r\n\tCT1", "CT1\0left over", "CT\x7f1"])
def test_a_name_with_control_characters_is_rejected(title: str) -> None:
    """It would become SourceApplicationEntityTitle, whose VR has none (PS3.5 table 6.2-1)."""
    assert rejected(replace(REQUEST, calling_ae_title=title)) == (1, 1, 3)


@pytest.mark.parametrize("title", ["Gerät 1", "Gerät 1".encode().decode("latin-1"), "A\\B"])
def test_a_name_that_is_merely_unusual_is_accepted(title: str) -> None:
    accepted(replace(REQUEST, calling_ae_title=title))


def test_who_is_not_on_the_list_is_rejected() -> None:
    policy = replace(POLICY, calling_ae_titles=frozenset({"CT1"}))
    accepted(REQUEST, policy)
    assert rejected(replace(REQUEST, calling_ae_title="CT2"), policy) == (1, 1, 3)


def test_another_application_context_is_rejected() -> None:
    assert rejected(replace(REQUEST, application_context="1.2.3")) == (1, 1, 2)


@pytest.mark.parametrize("version", [1, 3, 0x8001])
def test_further_bits_of_the_protocol_version_are_no_reason_to_reject(version: int) -> None:
    accepted(replace(REQUEST, protocol_version=version))


@pytest.mark.parametrize("version", [0, 2])
def test_another_protocol_version_is_rejected(version: int) -> None:
    assert rejected(replace(REQUEST, protocol_version=version)) == (1, 2, 2)


@pytest.mark.parametrize(
    ("rejection", "text"),
    [
        (AssociateRJ(1, 1, 7), "called AE title not recognised (permanently, 1/1/7)"),
        (AssociateRJ(2, 3, 2), "local limit exceeded (for now, 2/3/2)"),
        (AssociateRJ(1, 9, 9), "reason unknown (permanently, 1/9/9)"),
    ],
)
def test_a_rejection_is_told_in_words(rejection: AssociateRJ, text: str) -> None:
    assert describe_rejection(rejection) == text


# -- presentation contexts -------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [ILE, ELE, JPEG, uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, "1.2"])
def test_for_storage_the_first_syntax_is_accepted_whatever_it_is(syntax: str) -> None:
    assert results(ProposedContext(1, CT, (syntax, ELE))) == [ContextResult(1, 0, syntax)]


def test_for_anything_else_a_plain_syntax_is_preferred() -> None:
    [result] = results(ProposedContext(1, uids.VERIFICATION, (JPEG, ELE, ILE)))
    assert result == ContextResult(1, 0, ELE)


def test_a_syntax_that_is_no_uid_is_passed_over() -> None:
    assert results(ProposedContext(1, CT, ("", "x.y", ELE))) == [ContextResult(1, 0, ELE)]


@pytest.mark.parametrize("syntaxes", [(), ("",), ("no uid",)])
def test_without_any_syntax_there_is_nothing_to_accept(syntaxes: tuple[str, ...]) -> None:
    [result] = results(ProposedContext(1, CT, syntaxes))
    assert result.result == 4


@pytest.mark.parametrize(
    "abstract_syntax",
    [
        "1.2.840.10008.5.1.4.1.2.2.1",  # Study Root Query/Retrieve - FIND
        "1.2.840.10008.5.1.4.31",  # Modality Worklist - FIND
        "1.2.840.10008.3.1.2.3.3",  # Modality Performed Procedure Step
        "1.2.840.10008.5.1.4.34.5",  # Unified Worklist and Procedure Step
        "",
        "no uid",
    ],
)
def test_what_stores_no_studies_is_not_supported(abstract_syntax: str) -> None:
    [result] = results(ProposedContext(1, abstract_syntax, (ELE,)))
    assert result.result == 3


def test_unknown_storage_classes_are_accepted_if_policy_says_so() -> None:
    private = ProposedContext(1, "1.3.12.2.1107.5.9.1", (ELE,))
    assert results(private)[0].result == 0
    policy = replace(POLICY, accept_unknown_sop_classes=False)
    assert results(private, policy=policy)[0].result == 3


def test_storage_commitment_is_accepted_if_policy_says_so() -> None:
    context = ProposedContext(1, uids.STORAGE_COMMITMENT_PUSH, (ELE,))
    assert results(context)[0].result == 3
    policy = replace(POLICY, accept_storage_commitment=True)
    assert results(context, policy=policy)[0].result == 0


def test_contexts_of_the_same_class_are_answered_each() -> None:
    contexts = (
        ProposedContext(1, CT, (ELE,)),
        ProposedContext(3, CT, (ILE,)),
        ProposedContext(5, CT, (JPEG,)),
    )
    assert [one.transfer_syntax for one in results(*contexts)] == [ELE, ILE, JPEG]


def test_an_even_id_is_refused_and_a_repeated_one_answered_once() -> None:
    contexts = (
        ProposedContext(2, CT, (ELE,)),
        ProposedContext(3, CT, (ELE,)),
        ProposedContext(3, uids.VERIFICATION, (ILE,)),
    )
    assert [(one.context_id, one.result) for one in results(*contexts)] == [(2, 1), (3, 0)]


def test_the_first_of_repeated_ids_is_the_one_that_counts() -> None:
    request = replace(
        REQUEST,
        contexts=(ProposedContext(3, CT, (ELE,)), ProposedContext(3, uids.VERIFICATION, (ILE,))),
    )
    assert accepted_contexts(request, accepted(request)) == {3: AcceptedContext(3, CT, ELE)}


def test_an_association_without_any_usable_context_is_accepted_all_the_same() -> None:
    assert results(ProposedContext(1, "1.2.840.10008.5.1.4.31", (ELE,)))[0].result == 3
    assert results() == []


# -- user information ------------------------------------------------------------------------------


def test_the_answer_says_who_we_are_and_how_much_we_take() -> None:
    user = accepted(REQUEST).user
    assert user.max_length == 4096
    assert user.implementation_class_uid == uids.IMPLEMENTATION_CLASS
    assert user.implementation_version == uids.IMPLEMENTATION_VERSION
    assert len(user.implementation_version) <= 16
    assert uids.is_valid_uid(user.implementation_class_uid)


def test_one_operation_at_a_time_is_answered_to_who_asks() -> None:
    asking = replace(REQUEST, user=UserInformation(async_operations=(0, 8)))
    assert accepted(asking).user.async_operations == (1, 1)
    assert accepted(REQUEST).user.async_operations is None


@pytest.mark.parametrize(("requested", "answer"), [(True, b""), (False, None)])
def test_an_identity_is_answered_if_an_answer_was_asked_for(
    requested: bool, answer: bytes | None
) -> None:
    identity = UserIdentity(2, requested, b"user", b"secret")
    asking = replace(REQUEST, user=UserInformation(user_identity=identity))
    assert accepted(asking).user.user_identity_response == answer


def test_a_requestor_may_be_scu_of_everything_and_scp_of_commitment_reports() -> None:
    commitment = uids.STORAGE_COMMITMENT_PUSH
    roles = (RoleSelection(CT, scu=True, scp=True), RoleSelection(commitment, scu=True, scp=True))
    contexts = (*REQUEST.contexts, ProposedContext(3, commitment, (ILE,)))
    asking = replace(REQUEST, contexts=contexts, user=UserInformation(roles=roles))
    answered = accepted(asking, replace(POLICY, accept_storage_commitment=True)).user.roles
    assert [(role.scu, role.scp) for role in answered] == [(True, False), (True, True)]
    assert not accepted(asking).user.roles[1].scp


def test_a_requestor_may_be_scp_of_storage_where_it_may_ask_by_c_get() -> None:
    mr, find = "1.2.840.10008.5.1.4.1.1.4", uids.STUDY_ROOT_FIND
    contexts = tuple(
        ProposedContext(2 * at + 1, one, (ILE,)) for at, one in enumerate((CT, mr, "1.2.3.4", find))
    )
    roles = (
        RoleSelection(CT, scu=False, scp=True),
        RoleSelection(mr, scu=True, scp=False),
        RoleSelection("1.2.3.4", scu=True, scp=True),
        RoleSelection(find, scu=True, scp=True),
    )
    asking = replace(REQUEST, contexts=contexts, user=UserInformation(roles=roles))
    policy = replace(POLICY, services=frozenset({find, uids.STUDY_ROOT_GET}))

    assert accepted(asking, policy).user.roles == (
        *roles[:3],
        RoleSelection(find, scu=True, scp=False),
    )
    assert not any(role.scp for role in accepted(asking).user.roles)


# -- any proposal ----------------------------------------------------------------------------------


@given(REQUESTS)
def test_every_context_is_answered_once_with_a_syntax_that_was_offered(
    request: AssociateRQ,
) -> None:
    answer = accepted(request, AcceptancePolicy())
    assert [one.context_id for one in answer.results] == [
        one.context_id for one in request.contexts
    ]
    offered = {one.context_id: one.transfer_syntaxes for one in request.contexts}
    assert all(one.transfer_syntax in offered[one.context_id] for one in answer.results)
    assert accepted_contexts(request, answer).keys() == {
        one.context_id for one in answer.results if one.result == 0
    }


def test_answers_to_what_was_not_proposed_are_ignored() -> None:
    answer = AssociateAC(
        "ROUTER",
        "CT1",
        (ContextResult(1, 0, ELE), ContextResult(99, 0, ELE)),
        UserInformation(),
    )
    assert accepted_contexts(REQUEST, answer) == {1: AcceptedContext(1, CT, ELE)}


# -- proposing -------------------------------------------------------------------------------------


def test_roles_are_answered_once_and_only_for_proposed_classes() -> None:
    roles = [RoleSelection(f"1.2.{number}", scu=True, scp=True) for number in range(900)]
    mine = RoleSelection(CT, scu=True, scp=False)
    asking = replace(REQUEST, user=UserInformation(roles=(*roles, mine, mine)))

    answer = accepted(asking)

    assert answer.user.roles == (mine,)


def test_no_text_of_a_request_makes_its_answer_too_long_to_be_sent() -> None:
    odd = "\xff" * 60_000
    contexts = (
        ProposedContext(1, CT, (odd, ILE)),
        ProposedContext(3, CT, (odd, ILE)),
        ProposedContext(5, odd, (odd,)),
    )
    asking = replace(
        REQUEST,
        contexts=contexts,
        user=UserInformation(roles=(RoleSelection(odd, scu=True, scp=True),)),
    )

    answer = accepted(asking)

    assert decode(2, encode(answer)[6:]) == answer
    assert [one.result for one in answer.results] == [0, 0, 3]


def test_what_no_uid_can_be_is_not_repeated_in_a_refusal() -> None:
    [refused] = results(ProposedContext(1, "1.2.840.10008.5.1.1.1", ("not a uid", ELE)))

    assert (refused.result, refused.transfer_syntax) == (3, ELE)


_PAIRS = st.lists(st.tuples(st.sampled_from([CT, "1.2", "1.3"]), st.sampled_from([ELE, ILE])))


@given(_PAIRS)
def test_a_proposal_has_one_context_for_each_pair(pairs: list[tuple[str, str]]) -> None:
    contexts = propose(pairs)
    assert [(one.abstract_syntax, one.transfer_syntaxes) for one in contexts] == [
        (sop_class, (syntax,)) for sop_class, syntax in dict.fromkeys(pairs)
    ]
    assert [one.context_id for one in contexts] == list(range(1, 2 * len(contexts), 2))


def test_more_pairs_than_an_association_has_contexts_are_grouped() -> None:
    pairs = [(f"1.2.{number}", ELE) for number in range(300)]
    groups = group_contexts(pairs + pairs)
    assert [len(group) for group in groups] == [128, 128, 44]
    assert [pair for group in groups for pair in group] == pairs
    assert propose(groups[0])[-1].context_id == 255
    with pytest.raises(ValueError, match="129 presentation contexts"):
        propose(pairs[:129])
