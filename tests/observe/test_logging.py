from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from router.domain.criteria import explain, parse_criteria
from router.observe.logging import configure_logging


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_json_lines_carry_event_level_logger_and_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(json=True, level="INFO")

    structlog.get_logger("router.somewhere").info("study routed", study_instance_uid="1.2.3")

    (line,) = _lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "study routed",
        "level": "info",
        "logger": "router.somewhere",
        "study_instance_uid": "1.2.3",
    }


def test_what_libraries_log_looks_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True, level="INFO")

    logging.getLogger("aiohttp.server").warning("bad %s", "request")

    (line,) = _lines(capsys)
    assert (line["event"], line["level"], line["logger"]) == (
        "bad request",
        "warning",
        "aiohttp.server",
    )


def test_what_a_peer_says_cannot_steer_the_terminal_of_whoever_reads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(json=False, level="INFO")

    structlog.get_logger("router").info(
        "association\x1b[2J", calling_ae_title="\x1b[2J\x07CT\u202e1", reason="Müller\x9b"
    )

    text = capsys.readouterr().err
    assert text.rstrip("\n").isprintable()
    assert "Müller" in text


def test_lines_for_people_are_key_and_value(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=False, level="INFO")

    structlog.get_logger("router").info("registered", ae_title="XRAY")

    assert "ae_title=XRAY" in capsys.readouterr().err


def test_without_a_terminal_lines_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()

    structlog.get_logger("router").info("started")

    assert _lines(capsys)[0]["event"] == "started"


def test_events_below_the_level_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True, level="warning")

    structlog.get_logger("router").info("too quiet")
    logging.getLogger("library").info("too quiet")

    assert capsys.readouterr().err == ""


def test_a_patient_is_never_named(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True, level="INFO")

    structlog.get_logger("router").info("study", patient_name="DOE^JANE", patient_id="4711")

    text = capsys.readouterr().err
    assert "DOE" not in text
    assert "4711" not in text


@pytest.mark.parametrize(
    ("criteria", "logged"),
    [
        ("PATIENT_NAME|CONTAINS|DOE", "PatientName (withheld): yes"),
        (
            {"all": ["MODALITY|EQUAL|CT", {"not": "PATIENT_ID|IN|4711,4712"}]},
            "[Modality is {CT}; EQUAL CT: yes] and [not [PatientID (withheld): yes]: no]: no",
        ),
        ("MODALITY|EQUAL|CT", "Modality is {CT}; EQUAL CT: yes"),
    ],
)
def test_the_reason_of_a_decision_names_no_patient(
    capsys: pytest.CaptureFixture[str], criteria: object, logged: str
) -> None:
    configure_logging(json=True, level="INFO")
    facts = {"PatientName": ("DOE^JANE",), "PatientID": ("4711",), "Modality": ("CT",)}

    reason = explain(parse_criteria(criteria), facts).explanation
    structlog.get_logger("router").info("instance discarded", reason=reason)

    assert _lines(capsys)[0]["reason"] == logged


def test_exceptions_are_logged_with_their_place(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True, level="INFO")
    log = structlog.get_logger("router")

    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("failed")

    (line,) = _lines(capsys)
    assert line["exception"][0]["exc_value"] == "broken"


@pytest.mark.parametrize("json", [True, False])
def test_the_trace_of_an_exception_tells_no_values_of_variables(
    capsys: pytest.CaptureFixture[str], json: bool
) -> None:
    configure_logging(json=json, level="INFO")
    name = "^".join(("DOE", "JANE"))

    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger("router").exception("failed", length=len(name))

    text = capsys.readouterr().err
    assert "broken" in text
    assert "DOE^JANE" not in text


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="no log level"):
        configure_logging(level="LOUD")
