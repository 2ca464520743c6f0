"""The verdict of the door, as a table."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dicom.scanner import Finding, FindingKind, ScanResult
from router.domain.criteria import parse_criteria
from router.domain.filters import DiscardFilter
from router.domain.instance import Disposition, Facts, Identity, Provenance
from router.ingress.judgement import (
    HIDES_ATTRIBUTES,
    MAX_SHOWN,
    MAX_VALUES_SHOWN,
    DoorPolicy,
    Verdict,
    judge,
    recordable,
    recordable_facts,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
SYNTAX = "1.2.840.10008.1.2.1"
ANNOUNCED = Identity(CT, "1.2.3.1.1", "", "", SYNTAX)
PROVENANCE = Provenance("CT1", "ROUTER", "10.0.0.7", "a1", datetime(2026, 3, 1, tzinfo=UTC))
FACTS: Facts = {
    "SOPClassUID": (CT,),
    "SOPInstanceUID": ("1.2.3.1.1",),
    "StudyInstanceUID": ("1.2.3",),
    "SeriesInstanceUID": ("1.2.3.1",),
    "Modality": ("CT",),
}
DISCARD = DiscardFilter((parse_criteria("MODALITY|IS_NULL"),))
TOO_DEEP = Finding(FindingKind.NESTING_TOO_DEEP, "nested 65 levels deep")


def without(*names: str) -> Facts:
    return {name: values for name, values in FACTS.items() if name not in names}


def verdict_on(
    facts: Facts = FACTS,
    finding: Finding | None = None,
    warnings: tuple[Finding, ...] = (),
    policy: DoorPolicy | None = None,
    announced: Identity = ANNOUNCED,
) -> Verdict:
    scan = ScanResult(facts, finding, warnings)
    return judge(announced, scan, PROVENANCE, DISCARD, policy or DoorPolicy())


def test_an_instance_that_says_all_and_contradicts_nothing_is_accepted() -> None:
    verdict = verdict_on()
    assert (verdict.disposition, verdict.status) == (Disposition.ACCEPTED, 0x0000)
    assert verdict.identity == Identity(CT, "1.2.3.1.1", "1.2.3", "1.2.3.1", SYNTAX)
    assert verdict.keeps_bytes


def test_the_facts_hold_the_way_that_the_instance_came() -> None:
    facts = verdict_on().facts
    assert facts["SourceAETitle"] == ("CT1",)
    assert facts["CalledAETitle"] == ("ROUTER",)
    assert facts["SourceAddress"] == ("10.0.0.7",)
    assert facts["TransferSyntaxUID"] == (SYNTAX,)


@pytest.mark.parametrize(
    ("refuse_discarded", "status"), [(False, 0x0000), (True, 0x0124)], ids=["accept", "refuse"]
)
def test_what_a_discard_filter_matches_is_dropped_and_answered_by_policy(
    refuse_discarded: bool, status: int
) -> None:
    verdict = verdict_on(without("Modality"), policy=DoorPolicy(refuse_discarded=refuse_discarded))
    assert (verdict.disposition, verdict.status) == (Disposition.DISCARDED, status)
    assert verdict.reason == "discard filter: Modality has no value; IS_NULL: yes"
    assert not verdict.keeps_bytes


@pytest.mark.parametrize("kind", [FindingKind.NESTING_TOO_DEEP, FindingKind.DEFLATE_BOMB])
def test_what_would_harm_receivers_is_quarantined_and_answered_with_success(
    kind: FindingKind,
) -> None:
    verdict = verdict_on(finding=Finding(kind, "harmful"))
    assert (verdict.disposition, verdict.status) == (Disposition.QUARANTINED, 0x0000)
    assert verdict.reason == "harmful"
    assert verdict.keeps_bytes


def test_what_would_harm_receivers_is_refused_where_policy_says_so() -> None:
    verdict = verdict_on(finding=TOO_DEEP, policy=DoorPolicy(refuse_malformed=True))
    assert (verdict.disposition, verdict.status) == (Disposition.REFUSED, 0xC000)
    assert verdict.reason == "nested 65 levels deep"


def test_what_would_harm_receivers_and_names_no_study_is_refused() -> None:
    verdict = verdict_on(without("StudyInstanceUID", "SeriesInstanceUID"), finding=TOO_DEEP)
    assert (verdict.disposition, verdict.status) == (Disposition.REFUSED, 0xC000)


def test_what_would_harm_receivers_is_quarantined_even_if_a_discard_filter_matches() -> None:
    verdict = verdict_on(without("Modality"), finding=TOO_DEEP)
    assert verdict.disposition is Disposition.QUARANTINED


def test_file_meta_elements_in_a_data_set_are_passed_on_unless_policy_refuses_them() -> None:
    found = Finding(FindingKind.GROUP_0002, "(0002,0010) in the data set")

    passed = verdict_on(warnings=(found,))
    refused = verdict_on(warnings=(found,), policy=DoorPolicy(refuse_group_0002=True))

    assert (passed.disposition, passed.status) == (Disposition.ACCEPTED, 0x0000)
    assert (refused.disposition, refused.status) == (Disposition.REFUSED, 0xC000)
    assert refused.reason.startswith("(0002,0010) in the data set")


@pytest.mark.parametrize("name", ["SOPClassUID", "SOPInstanceUID"])
def test_a_data_set_that_contradicts_its_command_set_does_not_match(name: str) -> None:
    verdict = verdict_on({**FACTS, name: ("9.9.9",)})
    assert (verdict.disposition, verdict.status) == (Disposition.REFUSED, 0xA900)
    assert f"{name} is 9.9.9 in the data set" in verdict.reason


@pytest.mark.parametrize(
    "name", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
)
def test_a_data_set_that_names_itself_twice_is_quarantined(name: str) -> None:
    ambiguous = {**FACTS, name: (*FACTS[name], "1.2.666")}

    verdict = verdict_on(ambiguous)

    assert (verdict.disposition, verdict.status) == (Disposition.QUARANTINED, 0x0000)
    assert f"{name} has 2 values" in verdict.reason


def test_a_data_set_that_repeats_its_name_is_accepted() -> None:
    repeated = {**FACTS, "StudyInstanceUID": FACTS["StudyInstanceUID"] * 2}

    assert verdict_on(repeated).disposition is Disposition.ACCEPTED


@pytest.mark.parametrize("name", ["SOPClassUID", "SOPInstanceUID"])
def test_a_data_set_that_leaves_to_its_command_set_what_it_is_is_accepted(name: str) -> None:
    verdict = verdict_on(without(name))
    assert verdict.disposition is Disposition.ACCEPTED
    assert verdict.identity.sop_instance_uid == "1.2.3.1.1"


@pytest.mark.parametrize("name", ["StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("facts", ["absent", "empty"])
def test_a_data_set_that_names_no_study_or_series_is_not_understood(name: str, facts: str) -> None:
    verdict = verdict_on(without(name) if facts == "absent" else {**FACTS, name: ()})
    assert (verdict.disposition, verdict.status) == (Disposition.REFUSED, 0xC000)
    assert verdict.reason == f"the data set has no {name}"


def test_everything_that_is_missing_is_named_at_once() -> None:
    verdict = verdict_on({})
    assert verdict.reason == "the data set has no StudyInstanceUID and no SeriesInstanceUID"


@pytest.mark.parametrize("name", ["StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize(
    "uid", ["1." * 32 + "1", "1.2/../3", "1.2\x003", "1.2 3", "1.2.ä"], ids=ascii
)
def test_a_uid_that_cannot_be_kept_is_not_understood(name: str, uid: str) -> None:
    verdict = verdict_on({**FACTS, name: (uid,)})
    assert (verdict.disposition, verdict.status) == (Disposition.REFUSED, 0xC000)
    assert name in verdict.reason


@pytest.mark.parametrize("name", ["sop_class_uid", "sop_instance_uid"])
def test_a_command_set_with_a_uid_that_cannot_be_kept_is_not_understood(name: str) -> None:
    values = {"sop_class_uid": CT, "sop_instance_uid": "1.2.3.1.1", name: "1." * 40}
    announced = Identity(
        **values, study_instance_uid="", series_instance_uid="", transfer_syntax_uid=SYNTAX
    )
    facts = without("SOPClassUID", "SOPInstanceUID")
    verdict = verdict_on(facts, announced=announced)
    assert (verdict.disposition, verdict.status) == (Disposition.REFUSED, 0xC000)


def test_what_would_harm_receivers_is_not_kept_under_a_uid_that_cannot_be() -> None:
    facts = {**FACTS, "StudyInstanceUID": ("1." * 40,)}
    assert verdict_on(facts, finding=TOO_DEEP).disposition is Disposition.REFUSED


@pytest.mark.parametrize("uid", ["01.2.003", "1.2.ABC-7", "1..2", "x"])
def test_a_careless_uid_is_kept_as_it_is(uid: str) -> None:
    verdict = verdict_on({**FACTS, "StudyInstanceUID": (uid,)})
    assert verdict.disposition is Disposition.ACCEPTED
    assert verdict.identity.study_instance_uid == uid


@pytest.mark.parametrize("kind", sorted(HIDES_ATTRIBUTES))
def test_a_discard_filter_is_not_believed_where_attributes_may_be_hidden(kind: FindingKind) -> None:
    verdict = verdict_on(without("Modality"), warnings=(Finding(kind, "(0008,0060)"),))
    assert (verdict.disposition, verdict.status) == (Disposition.QUARANTINED, 0x0000)
    assert "Modality has no value" in verdict.reason
    assert f"{kind} ((0008,0060))" in verdict.reason


def test_a_discard_that_is_not_believed_is_refused_where_policy_says_so() -> None:
    verdict = verdict_on(
        without("Modality"),
        warnings=(Finding(FindingKind.TRUNCATED, "cut"),),
        policy=DoorPolicy(refuse_malformed=True),
    )
    assert (verdict.disposition, verdict.status) == (Disposition.REFUSED, 0xC000)


@pytest.mark.parametrize("kind", sorted(set(FindingKind) - HIDES_ATTRIBUTES))
def test_warnings_that_hide_nothing_leave_a_discard_filter_its_say(kind: FindingKind) -> None:
    verdict = verdict_on(without("Modality"), warnings=(Finding(kind, "odd"),))
    assert verdict.disposition is Disposition.DISCARDED


@pytest.mark.parametrize("kind", sorted(FindingKind))
def test_warnings_alone_keep_nothing_out(kind: FindingKind) -> None:
    verdict = verdict_on(warnings=(Finding(kind, "odd"),))
    assert verdict.disposition is Disposition.ACCEPTED


_TEXT = st.text(max_size=80)
_IDENTITIES = st.builds(Identity, _TEXT, _TEXT, _TEXT, _TEXT, _TEXT)
_FACTS = st.fixed_dictionaries(
    {},
    optional={
        name: st.lists(
            st.sampled_from([CT, "1.2.3", "1.2.3.1.1", "", "CT"]) | _TEXT, max_size=2
        ).map(tuple)
        for name in FACTS
    },
)
_FINDINGS = st.builds(Finding, st.sampled_from(FindingKind), st.just("odd"))


@given(_IDENTITIES, _FACTS, st.none() | _FINDINGS, st.lists(_FINDINGS, max_size=3), st.booleans())
def test_only_what_can_be_kept_is_kept_and_only_what_is_kept_or_dropped_is_answered_with_success(
    announced: Identity,
    facts: Facts,
    finding: Finding | None,
    warnings: list[Finding],
    refuse: bool,
) -> None:
    policy = DoorPolicy(refuse_discarded=refuse, refuse_malformed=refuse, refuse_group_0002=refuse)
    scan = ScanResult(facts, finding, tuple(warnings))
    verdict = judge(announced, scan, PROVENANCE, DISCARD, policy)
    identity = verdict.identity
    kept = [identity.sop_class_uid, identity.sop_instance_uid, identity.study_instance_uid]
    assert not verdict.keeps_bytes or all(0 < len(uid) <= 64 for uid in kept[2:])
    assert not verdict.keeps_bytes or all(len(uid) <= 64 for uid in kept)
    assert (verdict.disposition is Disposition.REFUSED) <= (verdict.status != 0)
    assert verdict.reason or verdict.disposition is Disposition.ACCEPTED


@given(_IDENTITIES)
def test_a_recordable_identity_fits_the_columns_of_a_ledger(identity: Identity) -> None:
    kept = recordable(identity)
    values = [
        kept.sop_class_uid,
        kept.sop_instance_uid,
        kept.study_instance_uid,
        kept.series_instance_uid,
        kept.transfer_syntax_uid,
    ]
    assert all(len(value) <= 64 and "\0" not in value for value in values)
    assert all(value.encode("utf-8") is not None for value in values)
    assert recordable(kept) == kept


def test_little_is_kept_of_the_facts_of_an_instance_that_is_not_kept() -> None:
    facts: Facts = {"PatientID": ("7",), "StudyDescription": ("x" * 60_000,) * 100}
    kept = recordable_facts(facts)
    assert kept["PatientID"] == ("7",)
    assert kept["StudyDescription"] == ("x" * MAX_SHOWN,) * MAX_VALUES_SHOWN
