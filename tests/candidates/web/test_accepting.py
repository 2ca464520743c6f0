"""What a client says that it takes, and what it gets for it."""

from __future__ import annotations

import pytest

from candidates.writer.web.accepting import Form, form_for
from router.dicomweb.accepting import media_ranges, takes_json

EXPLICIT, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"
MULTIPART = 'multipart/related; type="application/dicom"'


def form(accept: str, *kept: str, is_instance: bool = False) -> Form | None:
    return form_for(media_ranges([accept]), kept or (EXPLICIT,), is_instance=is_instance)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "multipart/*",
        "multipart/related",
        MULTIPART,
        "multipart/related;type=application/dicom",
        'Multipart/Related; Type="Application/DICOM"',
        f"{MULTIPART}; transfer-syntax=*",
        f'{MULTIPART}; transfer-syntax="*"',
        f"{MULTIPART}; transfer-syntax={EXPLICIT}",
        f"{MULTIPART}; transfer-syntax={JPEG}, {MULTIPART}; transfer-syntax={EXPLICIT}; q=0.1",
        f"image/jpeg, {MULTIPART}",
        f"{MULTIPART}; q=nonsense",
    ],
)
def test_instances_come_as_multipart(accept: str) -> None:
    assert form(accept) is Form.MULTIPART


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom",
        "application/dicom+json",
        "text/html",
        "nonsense",
        'multipart/related; type="image/jpeg"',
        f"{MULTIPART}; transfer-syntax={JPEG}",
        f"{MULTIPART}; q=0",
    ],
)
def test_what_is_not_offered_is_not_given(accept: str) -> None:
    assert form(accept) is None


def test_every_syntax_that_is_kept_must_be_taken() -> None:
    both = f"{MULTIPART}; transfer-syntax={JPEG}, {MULTIPART}; transfer-syntax={EXPLICIT}"

    assert form(both, EXPLICIT, JPEG) is Form.MULTIPART
    assert form(f"{MULTIPART}; transfer-syntax={JPEG}", EXPLICIT, JPEG) is None


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/dicom", Form.SINGLE),
        ("application/*", Form.SINGLE),
        (f"application/dicom; transfer-syntax={EXPLICIT}", Form.SINGLE),
        (f"application/dicom; transfer-syntax={JPEG}", None),
        (f"application/dicom; q=0.5, {MULTIPART}", Form.MULTIPART),
        (f"application/dicom, {MULTIPART}; q=0.5", Form.SINGLE),
        ("*/*", Form.MULTIPART),
    ],
)
def test_one_instance_comes_alone_where_that_is_preferred(
    accept: str, expected: Form | None
) -> None:
    assert form(accept, is_instance=True) is expected


@pytest.mark.parametrize(
    ("accept", "is_taken"),
    [
        ("", True),
        ("*/*", True),
        ("application/dicom+json", True),
        ("application/json; q=0.5, text/html", True),
        ("application/dicom+xml", False),
        ("application/dicom+json; q=0", False),
    ],
)
def test_json_is_given_to_whoever_takes_it(accept: str, is_taken: bool) -> None:
    assert takes_json(media_ranges([accept])) is is_taken


def test_several_headers_are_one_list() -> None:
    ranges = media_ranges(["text/html;q=0.2, */*;q=0.1", MULTIPART])

    assert [one.name for one in ranges] == ["multipart/related", "text/html", "*/*"]
