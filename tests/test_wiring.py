"""What settings become inside."""

from __future__ import annotations

from pathlib import Path

from router import wiring
from router.domain.completion import OnMaxWait
from router.settings.load import examine_text
from router.settings.models import Settings

TEXT = """
completion:
  quiet_after: 10s
  max_wait: 2h
  on_max_wait: hold
  sources: {PACS: {host: pacs.example, port: 104, ae_title: ARCHIVE}}
  rules:
    - {source: MR1, series: "'T2'", stable_after: 1h}
    - {criteria: "PROTOCOL_NAME|CONTAINS|QA", explicit: true, on_max_wait: discard}
"""


def settings(text: str = TEXT) -> Settings:
    examination = examine_text(text, "test.yaml", Path("folder"))
    assert examination.settings is not None, examination.report
    return examination.settings


def test_what_a_completion_rule_leaves_out_is_as_for_all() -> None:
    rules = wiring.completion_rules(settings())
    mr, qa = (rule.policy for rule in rules.rules)
    assert (mr.quiet_after, mr.max_wait) == (rules.otherwise.quiet_after, rules.otherwise.max_wait)
    assert mr.on_max_wait is OnMaxWait.HOLD
    assert mr.series is not None
    assert rules.otherwise.series is None
    assert qa.quiet_after is None
    assert qa.stable_after == rules.otherwise.stable_after
    assert qa.on_max_wait is OnMaxWait.DISCARD


def test_what_completion_rules_look_at_is_read_from_every_instance() -> None:
    read = {attribute.name for attribute in wiring.attributes_read_on_arrival(settings())}
    assert {"ProtocolName", "SeriesDescription"} <= read


def test_nothing_is_read_of_studies_where_no_rule_asks() -> None:
    assert wiring.completion_rules(settings("{}")).attributes == frozenset()


def test_sources_of_counts_are_known_by_who_calls() -> None:
    (source,) = wiring.count_sources(settings()).items()
    assert (source[0], source[1].ae_title, source[1].port) == ("PACS", "ARCHIVE", 104)
