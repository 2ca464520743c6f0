"""The command ``check``: every problem of a routing YAML, for people or for editors."""

from __future__ import annotations

from pathlib import Path

from router.cli.output import fail, messages, print_json, print_table
from router.cli.policies import policies, sources
from router.settings.load import Examination, examine_settings
from router.settings.problems import Problem, dotted


def check(path: Path, as_json: bool) -> bool:
    """Print what there is to say about the file; whether the router can be started with it."""
    examination = examine_settings(path)
    is_usable = examination.settings is not None
    if as_json:
        print_json(_as_json(examination))
    elif is_usable:
        messages.print(examination.report or f"{path}: in order", style="green", soft_wrap=True)
        _show_policies(examination)
    else:
        fail(examination.report)
    return is_usable


def _show_policies(examination: Examination) -> None:
    if examination.settings is None:
        return
    print_table("completion", ("studies", "complete when"), policies(examination.settings))
    asked = sources(examination.settings)
    if asked:
        print_table("asked for counts", ("calling AE title", "source"), asked)


def _as_json(examination: Examination) -> dict[str, object]:
    in_order = sorted(examination.problems, key=lambda problem: problem.position)
    return {
        "file": examination.name,
        "usable": examination.settings is not None,
        "completion": _completion(examination),
        "problems": [_problem(examination.name, problem) for problem in in_order],
    }


def _completion(examination: Examination) -> list[dict[str, str]]:
    if examination.settings is None:
        return []
    return [
        {"studies": whose, "complete_when": when} for whose, when in policies(examination.settings)
    ]


def _problem(name: str, problem: Problem) -> dict[str, object]:
    return {
        "file": name,
        "line": problem.position.line,
        "column": problem.position.column,
        "severity": problem.severity,
        "path": dotted(problem.path),
        "message": problem.message,
        "hint": problem.hint,
    }
