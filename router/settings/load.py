"""From a routing YAML to settings, or to everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
from pydantic import ValidationError

from router.domain.errors import ConfigurationError
from router.settings.checks import check
from router.settings.explanation import Finding, explain, known_keys
from router.settings.models import Settings
from router.settings.problems import Position, Problem, Severity, report
from router.settings.section import FOLDER
from router.settings.source import Source, read_source

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Examination:
    """What a routing YAML comes to. ``settings`` is None exactly when a problem is an error."""

    name: str
    settings: Settings | None
    problems: tuple[Problem, ...]

    @property
    def report(self) -> str:
        """All problems with file, line and column, one per line, in the order of the text."""
        return report(self.name, self.problems)


def default_settings() -> Settings:
    """The settings of an empty routing YAML; data goes to ``./data``."""
    return Settings()


def load_settings(path: Path | str) -> Settings:
    """The settings that a routing YAML holds; warnings are logged.

    Raises ``ConfigurationError`` with every problem, each with its file, line and column.
    """
    examination = examine_settings(path)
    if examination.settings is None:
        raise ConfigurationError(examination.report)
    for problem in examination.problems:
        log.warning("the configuration looks odd", problem=problem.text(examination.name))
    return examination.settings


def registration_token(settings: Settings) -> str | None:
    """The token that a registration must carry; None: none is asked for.

    Raises ``ConfigurationError`` if its file is gone since the settings were loaded.
    """
    return _token(settings.registration.token_file, "registration.token_file")


def stow_token(settings: Settings) -> str | None:
    """The token that a STOW-RS request must carry; as ``registration_token``."""
    return _token(settings.stow.token_file, "stow.token_file")


def _token(path: Path | None, key: str) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"{key}: {path} cannot be read: {error.strerror}") from error


def examine_settings(path: Path | str) -> Examination:
    """Read a routing YAML. Never raises: a file that cannot be read is a problem like any."""
    name = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        return _unreadable(name, f"cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        return _unreadable(name, "is not UTF-8 text")
    return examine_text(text, name, Path(path).parent)


def examine_text(text: str, name: str, folder: Path) -> Examination:
    """Examine the text of a routing YAML, whose relative paths are relative to ``folder``."""
    source = read_source(text, name)
    problems = list(source.problems)
    settings: Settings | None = None
    if not any(problem.path == () for problem in problems):
        try:
            settings = Settings.model_validate(source.content, context={FOLDER: folder})
        except ValidationError as error:
            problems += _misfits(source, error)
        else:
            problems += _contradictions(source, settings)
    if any(problem.severity is Severity.ERROR for problem in problems):
        settings = None
    return Examination(name, settings, tuple(problems))


def _misfits(source: Source, error: ValidationError) -> Iterator[Problem]:
    reported = {problem.path for problem in source.problems}
    for finding in explain(error, partial(known_keys, Settings)):
        if finding.path in reported:
            continue
        yield Problem(
            _position(source, finding), finding.path, finding.message, _hint(source, finding)
        )


def _position(source: Source, finding: Finding) -> Position:
    if finding.key is not None:
        return source.key_position((*finding.path, finding.key))
    return source.position(finding.path)


def _hint(source: Source, finding: Finding) -> str:
    """The finding's own hint, unless a comma has cut a value in ``{...}`` in two."""
    if not finding.hint or finding.key is None or finding.path not in source.flow_mappings:
        return finding.hint
    if source.at((*finding.path, finding.key)) is not None:
        return finding.hint
    return "inside {...} a value with a comma needs quotes"


def _contradictions(source: Source, settings: Settings) -> Iterator[Problem]:
    for objection in check(settings):
        yield Problem(
            source.position(objection.path),
            objection.path,
            objection.message,
            objection.hint,
            objection.severity,
        )


def _unreadable(name: str, message: str) -> Examination:
    return Examination(name, None, (Problem(Position(1, 1), (), f"the file {message}"),))
