"""What docs/moving-from-orthanc-simple-router.md shows is what the router takes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from router.domain.criteria import parse_criteria
from router.registry.request import RegistrationRequest
from router.settings.load import examine_text

PAGE = (Path(__file__).parents[1] / "docs" / "moving-from-orthanc-simple-router.md").read_text()


def block(language: str) -> str:
    """The one block of a language."""
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)
    return str(found)


def test_the_routing_yaml_has_no_problem(tmp_path: Path) -> None:
    examination = examine_text(block("yaml"), "router.yaml", tmp_path)

    assert examination.settings is not None, examination.report
    assert examination.report == ""


def test_what_the_old_writers_post_registers_them_with_their_criteria() -> None:
    request = RegistrationRequest.model_validate(json.loads(block("json")))

    assert (request.aet, request.address) == ("XRAY", "xray-writer:4242")
    assert request.criteria == parse_criteria("MODALITY|IN|CR,DX")
