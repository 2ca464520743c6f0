"""How attributes are written, and what they are then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import dictionary_has_tag, keyword_dict, tag_for_keyword

from router.domain.attributes import BASE_ATTRIBUTES, PSEUDO, Attribute, Step, parse_attribute
from router.domain.errors import InvalidCriteria

IN_DATA_SETS = sorted(keyword for keyword, tag in keyword_dict.items() if keyword and tag >> 16 > 2)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Modality", "Modality"),
        ("MODALITY", "Modality"),
        (" modality ", "Modality"),
        ("INSTITUTION_NAME", "InstitutionName"),
        ("STUDY_DESCRIPTION", "StudyDescription"),
        ("SOP_CLASS_UID", "SOPClassUID"),
        ("(0008,0060)", "Modality"),
        ("(0008, 0060)", "Modality"),
        ("(0009,1002)", "(0009,1002)"),
        ("(6000,3000)", "(6000,3000)"),
        ("SOURCE_AE_TITLE", "SourceAETitle"),
        ("CalledAETitle", "CalledAETitle"),
        ("SOURCE_ADDRESS", "SourceAddress"),
        ("TRANSFER_SYNTAX_UID", "TransferSyntaxUID"),
        ("(0002,0010)", "TransferSyntaxUID"),
    ],
)
def test_one_attribute_has_one_name_however_it_is_written(written: str, name: str) -> None:
    assert parse_attribute(written).name == name


@given(st.sampled_from(IN_DATA_SETS))
def test_every_keyword_of_the_dictionary_is_an_attribute(keyword: str) -> None:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    assert dictionary_has_tag(tag)

    attribute = parse_attribute(keyword)

    assert attribute.name == keyword
    assert attribute.steps == (Step(tag >> 16, tag & 0xFFFF),)
    assert parse_attribute(f"({tag >> 16:04X},{tag & 0xFFFF:04x})") == attribute


@given(
    st.recursive(
        st.sampled_from(IN_DATA_SETS)
        | st.sampled_from(list(PSEUDO))
        | st.from_regex(r"\A\([0-9A-F]{3}[13579BDF],\"[A-Za-z][A-Za-z .()]{0,20}\",[0-9A-F]{2}\)\Z")
        | st.from_regex(r"\A\(00[1-9A-F]{2},[0-9A-F]{4}\)\Z"),
        lambda inner: inner.map(lambda name: f"RequestAttributesSequence[0].{name}"),
        max_leaves=3,
    ).filter(lambda path: not any(path.endswith(f"].{pseudo}") for pseudo in PSEUDO))
)
def test_a_canonical_name_names_the_same_attribute_again(written: str) -> None:
    attribute = parse_attribute(written)

    assert parse_attribute(attribute.name) == attribute


@pytest.mark.parametrize("name", PSEUDO)
def test_attributes_of_the_association_are_not_looked_for_in_the_data_set(name: str) -> None:
    attribute = parse_attribute(name)

    assert attribute.is_pseudo
    assert attribute == Attribute(name, (), PSEUDO[name])


@pytest.mark.parametrize("written", ['(0009,"GEMS_IDEN_01",02)', '(0009,xx02,"GEMS_IDEN_01")'])
def test_a_private_element_has_a_creator_and_the_vr_of_its_dictionary(written: str) -> None:
    attribute = parse_attribute(written)

    assert attribute.name == '(0009,"GEMS_IDEN_01",02)'
    assert attribute.steps == (Step(0x0009, 0x02, "GEMS_IDEN_01"),)
    assert attribute.vr == "SH"


def test_a_creator_may_have_brackets_and_dots() -> None:
    (step,) = parse_attribute('(0029,"SIEMENS (CSA) 1.0",10)').steps

    assert step == Step(0x0029, 0x10, "SIEMENS (CSA) 1.0")


@pytest.mark.parametrize(
    ("written", "item", "name"),
    [
        ("RequestAttributesSequence[0].ScheduledProcedureStepID", 0, "[0]"),
        ("REQUEST_ATTRIBUTES_SEQUENCE[12].SCHEDULED_PROCEDURE_STEP_ID", 12, "[12]"),
        ("RequestAttributesSequence[*].ScheduledProcedureStepID", None, "[*]"),
        ("RequestAttributesSequence.ScheduledProcedureStepID", None, "[*]"),
        ("(0040,0275)[0].(0040,0009)", 0, "[0]"),
    ],
)
def test_a_path_goes_into_one_item_or_any(written: str, item: int | None, name: str) -> None:
    attribute = parse_attribute(written)

    assert attribute.name == f"RequestAttributesSequence{name}.ScheduledProcedureStepID"
    assert attribute.steps == (Step(0x0040, 0x0275, None, item), Step(0x0040, 0x0009))
    assert attribute.vr == "SH"


@pytest.mark.parametrize(
    ("written", "vr"),
    [("InstanceNumber", "IS"), ("PixelPaddingValue", "US"), ("(0009,1002)", ""), ("Rows", "US")],
)
def test_the_vr_comes_from_the_dictionary(written: str, vr: str) -> None:
    assert parse_attribute(written).vr == vr


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("Modallity", "'Modallity' is not a DICOM attribute; did you mean Modality?"),
        ("SOURCE_AET", "'SOURCE_AET' is not a DICOM attribute; did you mean SourceAETitle?"),
        ("Xyzzy", "'Xyzzy' is not a DICOM attribute"),
        ("_", "'_' is not a DICOM attribute"),
        (
            "(0008,60)",
            '(0008,60) is not a tag: expected (0008,0060), or (0009,"CREATOR",02) for private ones',
        ),
        (
            '(0008,"CREATOR",02)',
            '(0008,"CREATOR",02): a private element has an odd group and a creator',
        ),
        ("Modality.PatientID", "Modality in 'Modality.PatientID' is not a sequence"),
        ("Modality[0]", "'Modality[0]' ends with an item; name an attribute of that item"),
        (
            "RequestAttributesSequence.",
            "'RequestAttributesSequence.' ends with a dot; name an attribute of that item",
        ),
        ("MessageID", "MessageID is an element of a header and never stands in a data set"),
        ("(0002,0003)", "(0002,0003) is an element of a header and never stands in a data set"),
        (
            "RequestAttributesSequence.TransferSyntaxUID",
            "TransferSyntaxUID is an element of a header and never stands in a data set",
        ),
        (
            "",
            (
                "'' is not an attribute: expected a keyword such as Modality, a tag such as "
                "(0008,0060), or a path such as RequestAttributesSequence[0].ScheduledStationName"
            ),
        ),
    ],
)
def test_what_is_no_attribute_is_explained(written: str, complaint: str) -> None:
    with pytest.raises(InvalidCriteria) as caught:
        parse_attribute(written)

    assert str(caught.value) == complaint


@given(st.text(max_size=80))
def test_no_text_does_worse_than_being_refused(text: str) -> None:
    try:
        attribute = parse_attribute(text)
    except InvalidCriteria:
        return
    assert parse_attribute(attribute.name) == attribute


def test_a_path_is_not_followed_for_ever() -> None:
    with pytest.raises(InvalidCriteria, match="is not an attribute"):
        parse_attribute(".".join(["RequestAttributesSequence"] * 8 + ["PatientID"]))


def test_what_is_read_from_every_instance_is_named_once() -> None:
    assert len({attribute.name for attribute in BASE_ATTRIBUTES}) == len(BASE_ATTRIBUTES)
