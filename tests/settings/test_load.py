from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from router.domain.candidate import Level, Priority
from router.domain.criteria import parse_criteria
from router.domain.errors import ConfigurationError
from router.settings.load import (
    Examination,
    default_settings,
    examine_settings,
    examine_text,
    load_settings,
    registration_token,
)
from router.settings.models import Settings
from router.settings.values import Endpoint
from tests.net.certificates import make_identity

CONFIG = Path(__file__).parents[2] / "config"
EXAMPLES = sorted((CONFIG / "examples").glob("*.yaml"))


def _examined(text: str) -> Examination:
    return examine_text(text, "router.yaml", Path("folder"))


def _settings(text: str) -> Settings:
    examination = _examined(text)
    assert examination.settings is not None, examination.report
    return examination.settings


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_have_no_problems(path: Path) -> None:
    assert examine_settings(path).report == ""


def test_the_commented_configuration_says_the_defaults() -> None:
    written = load_settings(CONFIG / "router.yaml").model_dump(mode="json")
    written["router"]["data"] = "data"
    written["discard"] = []

    assert written == default_settings().model_dump(mode="json")


def test_an_empty_file_means_the_defaults() -> None:
    assert _settings("").router.ae_title == "ROUTER"
    assert _settings("# nothing\n").completion == default_settings().completion


def test_an_empty_key_means_its_default() -> None:
    settings = _settings("discard:\ncandidates:\ncompletion:\n  quiet_after:\n")
    assert settings.discard == ()
    assert settings.candidates == {}
    assert settings.completion == default_settings().completion


def test_an_unknown_key_without_a_value_is_still_an_error() -> None:
    assert 'unknown key "discards"' in _examined("discards:\n").report


def test_values_become_typed() -> None:
    settings = _settings(
        """
        router: {dicom: "[::1]:11112", max_pdu_length: 64KiB, timeouts: {idle: PT1H30M}}
        discard: [MODALITY|IS_NULL]
        candidates:
          XRAY: {criteria: "MODALITY|IN|CR,DX", level: series, priority: urgent}
        """
    )
    assert settings.router.dicom == Endpoint("::1", 11112)
    assert settings.router.max_pdu_length == 65536
    assert settings.router.timeouts.idle == timedelta(minutes=90)
    assert settings.discard == (parse_criteria("MODALITY|IS_NULL"),)
    assert settings.candidates["XRAY"].criteria == parse_criteria("MODALITY|IN|CR,DX")
    assert settings.candidates["XRAY"].level is Level.SERIES
    assert settings.candidates["XRAY"].priority is Priority.URGENT


def test_criteria_may_be_composed() -> None:
    settings = _settings(
        """
        candidates:
          RESEARCH:
            criteria:
              all:
                - MODALITY|IN|CT,MR
                - not: {routableAttribute: INSTITUTION_NAME, operator: EQUAL, value: NORTH}
        """
    )
    assert settings.candidates["RESEARCH"].criteria == parse_criteria(
        {
            "all": [
                "MODALITY|IN|CT,MR",
                {"not": {"routableAttribute": "INSTITUTION_NAME", "operator": "EQUAL",
                         "value": "NORTH"}},
            ]
        }
    )  # fmt: skip


@pytest.mark.parametrize("name", ["NO", "on", "0104", "12", "1e3", "null"])
def test_the_name_of_a_candidate_is_text_whatever_yaml_might_read_into_it(name: str) -> None:
    assert list(_settings(f"candidates: {{{name}: {{host: writer, port: 4242}}}}").candidates) == [
        name
    ]


def test_a_candidate_is_static_with_host_and_port() -> None:
    settings = _settings("candidates: {STATIC: {host: writer, port: 4242}, SELF: }")
    assert settings.candidates["STATIC"].is_static
    assert not settings.candidates["SELF"].is_static


def test_relative_paths_are_relative_to_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    config = tmp_path / "router.yaml"
    config.write_text("router: {data: spool}\nregistration: {token_file: token}\n")

    settings = load_settings(config)

    assert settings.router.data == tmp_path / "spool"
    assert settings.registration.token_file == tmp_path / "token"
    assert registration_token(settings) == "secret"


def test_absolute_paths_stay(tmp_path: Path) -> None:
    assert _settings(f"router: {{data: {tmp_path}}}").router.data == tmp_path


def test_the_data_folder_is_beside_the_file_by_default() -> None:
    assert _settings("").router.data == Path("folder/data")


def test_without_a_token_file_no_token_is_asked_for() -> None:
    assert registration_token(default_settings()) is None


def test_a_token_file_that_has_gone_is_a_configuration_error(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    settings = _settings(f"registration: {{token_file: {token}}}")
    token.unlink()

    with pytest.raises(ConfigurationError, match="cannot be read"):
        registration_token(settings)


def test_loading_raises_with_all_problems_at_once(tmp_path: Path) -> None:
    config = tmp_path / "router.yaml"
    config.write_text("routr: {}\ncompletion: {quiet_after: 5}\n")

    with pytest.raises(ConfigurationError) as caught:
        load_settings(config)

    assert str(caught.value).splitlines() == [
        f'{config}:1:1: error: unknown key "routr" (did you mean "router"?)',
        f"{config}:2:27: error: completion.quiet_after: a duration needs a unit: 5s, 5m ...",
    ]


def test_loading_logs_warnings_and_goes_on(tmp_path: Path) -> None:
    config = tmp_path / "router.yaml"
    config.write_text("completion: {quiet_after: 2m, stable_after: 1m}\n")

    with capture_logs() as logs:
        settings = load_settings(config)

    assert settings.completion.quiet_after == timedelta(minutes=2)
    assert [line["log_level"] for line in logs] == ["warning"]


def test_a_file_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load_settings(tmp_path / "router.yaml")


def test_a_file_that_is_not_text_is_a_configuration_error(tmp_path: Path) -> None:
    config = tmp_path / "router.yaml"
    config.write_bytes(b"router: \xff\xfe")
    with pytest.raises(ConfigurationError, match="is not UTF-8 text"):
        load_settings(config)


def test_control_characters_are_placed() -> None:
    report = _examined("router:\n  ae_title: A\x00B\n").report
    assert report.startswith("router.yaml:2:14: error: character U+0000 is not allowed in YAML")


def test_bottomless_nesting_is_a_problem_and_not_a_crash() -> None:
    assert "nested too deeply" in _examined("[" * 100_000).report


def test_a_tag_that_would_make_an_object_is_refused() -> None:
    assert "has no meaning here" in _examined("discard: !!python/object:os.system x\n").report


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        default_settings().router.ae_title = "OTHER"  # type: ignore[misc]


def problems_of(text: str, folder: Path) -> list[str]:
    """What is wrong with a routing YAML."""
    return [problem.message for problem in examine_text(text, "router.yaml", folder).problems]


def test_a_certificate_that_cannot_be_used_is_named_before_anything_starts(tmp_path: Path) -> None:
    identity = make_identity(tmp_path, "router")
    other = make_identity(tmp_path, "other")
    listen = "listen: 127.0.0.1:2762"
    good = f"{listen}, certificate: router.pem, key: router.key"
    assert problems_of(f"tls: {{{good}}}", tmp_path) == []
    for wrong, words in (
        (f"tls: {{{listen}}}", "is missing"),
        (f"tls: {{{listen}, certificate: nowhere.pem}}", "nowhere.pem cannot be used"),
        (f"tls: {{{listen}, certificate: router.pem}}", "router.pem cannot be used"),  # no key
        (f"tls: {{{listen}, certificate: router.pem, key: {other.key}}}", "cannot be used"),
        (f"tls: {{{good}, authority: router.key}}", "router.key cannot be used"),
    ):
        [problem] = problems_of(wrong, tmp_path)
        assert words in problem
    assert identity.key.exists()


def test_the_port_for_tls_is_not_that_of_another_door(tmp_path: Path) -> None:
    make_identity(tmp_path, "router")
    text = "tls: {listen: 127.0.0.1:8080, certificate: router.pem, key: router.key}"
    [problem] = problems_of(text, tmp_path)
    assert "port 8080 is taken by router.http" in problem


def test_the_port_for_tls_is_the_router_itself_as_the_plain_one_is(tmp_path: Path) -> None:
    make_identity(tmp_path, "router")
    text = """\
tls: {listen: 0.0.0.0:2762, certificate: router.pem, key: router.key}
candidates:
  LOOP: {host: localhost, port: 2762, tls: {authority: router.pem}}
  OTHER: {host: writer, port: 2762, tls: {authority: router.pem}}
completion:
  sources:
    ME: {host: 127.0.0.1, port: 2762, ae_title: ROUTER}
"""
    problems = examine_text(text, "router.yaml", tmp_path).problems
    assert sorted(".".join(map(str, problem.path)) for problem in problems) == [
        "candidates.LOOP.port",
        "completion.sources.ME.port",
    ]
    assert all("the router's own address" in problem.message for problem in problems)
