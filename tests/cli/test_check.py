"""``dicom-router check`` and ``version``."""

from __future__ import annotations

from pathlib import Path

import pytest

from router import __version__
from tests.cli.command import ROOT, dicom_router

WRONG = """\
discard:
  - MODALITY|IS_NUL
candidates:
  XRAY: {criteria: MODALITY|IN|CR,DX}
"""
COMMA = "inside {...} a value with a comma needs quotes"
ODD = "completion: {quiet_after: 2m, stable_after: 1m}\n"


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    path = tmp_path / "router.yaml"
    path.write_text(WRONG)
    return path


async def test_a_routing_yaml_in_order_is_said_to_be() -> None:
    ran = await dicom_router("check", ROOT / "config/router.yaml")

    assert ran.status == 0
    assert "router.yaml: in order" in ran.err


async def test_each_problem_has_its_line_and_column_and_what_to_write(wrong: Path) -> None:
    ran = await dicom_router("check", wrong)

    assert ran.status == 2
    assert ran.err.splitlines() == [
        f"{wrong}:2:5: error: discard[0]: operator: 'IS_NUL' is unknown; did you mean IS_NULL?",
        f'{wrong}:4:35: error: candidates.XRAY: unknown key "DX" ({COMMA})',
    ]


async def test_a_narrow_terminal_leaves_each_problem_on_a_line_of_its_own(wrong: Path) -> None:
    ran = await dicom_router("check", wrong, columns=40)

    assert len(ran.err.splitlines()) == 2


async def test_problems_can_be_had_as_json(wrong: Path) -> None:
    ran = await dicom_router("check", "--json", wrong)

    assert ran.status == 2
    assert ran.json["usable"] is False
    assert ran.json["problems"] == [
        {
            "file": str(wrong),
            "line": 2,
            "column": 5,
            "severity": "error",
            "path": "discard[0]",
            "message": "operator: 'IS_NUL' is unknown; did you mean IS_NULL?",
            "hint": "",
        },
        {
            "file": str(wrong),
            "line": 4,
            "column": 35,
            "severity": "error",
            "path": "candidates.XRAY",
            "message": 'unknown key "DX"',
            "hint": COMMA,
        },
    ]


async def test_no_problem_is_an_empty_list() -> None:
    ran = await dicom_router("check", "--json", ROOT / "config/router.yaml")

    assert ran.status == 0
    assert ran.json["usable"] is True
    assert ran.json["problems"] == []


async def test_a_warning_does_not_make_a_routing_yaml_wrong(tmp_path: Path) -> None:
    path = tmp_path / "router.yaml"
    path.write_text(ODD)

    ran = await dicom_router("check", path)

    assert ran.status == 0
    assert f"{path}:1:45: warning: completion.stable_after" in ran.err


async def test_a_file_that_is_not_there_is_a_problem_like_any() -> None:
    ran = await dicom_router("check", "nowhere.yaml")

    assert ran.status == 2
    assert "nowhere.yaml:1:1: error: the file cannot be read: No such file" in ran.err


async def test_serve_does_not_start_with_a_wrong_routing_yaml(wrong: Path) -> None:
    ran = await dicom_router("serve", "--config", wrong)

    assert ran.status == 2
    assert f"{wrong}:2:5: error" in ran.err


async def test_the_version_is_printed() -> None:
    ran = await dicom_router("version")

    assert ran.out == f"{__version__}\n"


async def test_without_a_command_the_commands_are_listed() -> None:
    ran = await dicom_router()

    assert all(
        name in ran.out + ran.err
        for name in ("serve", "check", "explain", "send", "candidates", "studies", "demo")
    )


POLICIES = """\
completion:
  quiet_after: 10s
  sources: {PACS: {host: pacs.example, port: 104, ae_title: ARCHIVE}}
  rules:
    - source: [MR1, MR2]
      criteria: MODALITY|EQUAL|MR
      series: "'Axial T2' and 'Sag T1'"
      max_wait: 2h
      on_max_wait: hold
    - source: CT1
      explicit: true
"""


async def test_completion_policies_are_shown_in_the_order_in_which_they_decide(
    tmp_path: Path,
) -> None:
    path = tmp_path / "router.yaml"
    path.write_text(POLICIES)
    ran = await dicom_router("check", "--json", path)

    assert ran.status == 0
    assert [(one["studies"], one["complete_when"]) for one in ran.json["completion"]] == [
        (
            "from MR1, MR2 where Modality|EQUAL|MR",
            (
                "somebody who knows says so; or 'Axial T2' and 'Sag T1' have arrived, "
                "released and quiet for 10s; or no instance for 1m; after 2h hold"
            ),
        ),
        ("from CT1", "somebody who knows says so; or no instance for 1m"),
        (
            "all others",
            "somebody who knows says so; or released and quiet for 10s; or no instance for 1m",
        ),
    ]


async def test_who_is_asked_for_counts_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "router.yaml"
    path.write_text(POLICIES)
    ran = await dicom_router("check", path, columns=200)

    assert "ARCHIVE at pacs.example:104" in ran.out
