"""Logging: one line per event to standard error, for a person on a terminal or as JSON.

What libraries log through :mod:`logging` goes the same way. What identifies a person is withheld
here, whoever logs it, as a field or in the explanation of a criterion: UIDs name studies in a log,
nothing names people. Tracebacks come without the values of variables, for the same reason.
"""

from __future__ import annotations

import logging
import re
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

PATIENT_FIELDS = frozenset(
    {
        "patient_address",
        "patient_birth_date",
        "patient_id",
        "patient_name",
        "other_patient_ids",
        "referring_physician_name",
    }
)
"""Fields that no log line may carry a value for."""

WITHHELD = "(withheld)"

_EXPLAINED = re.compile(
    r"\b(\w*Patient\w*|\w*Physician\w*|\w*PersonName|OperatorsName) (?:is \{.*?\}|has no value); "
    r"\w+.*?: (yes|no)\b",
    re.DOTALL,
)
"""A criterion about a person, as an explanation tells it: its values, its operands, its result."""


def configure_logging(*, json: bool | None = None, level: str = "INFO") -> None:
    """Log events of ``level`` (a name of :mod:`logging`) and above to standard error.

    ``json`` chooses JSON lines or lines for people; by default JSON unless standard error is a
    terminal. Raises ``ValueError`` for an unknown level.
    """
    threshold = _threshold(level)
    on_terminal = sys.stderr.isatty()
    as_json = not on_terminal if json is None else json
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        withhold_patient_data,
    ]
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(as_json=as_json, colors=on_terminal),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)


def withhold_patient_data(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Withhold all values that identify a person (a structlog processor)."""
    for name, value in event.items():
        if name in PATIENT_FIELDS:
            event[name] = WITHHELD
        elif isinstance(value, str) and " is {" in value:
            event[name] = _EXPLAINED.sub(rf"\1 {WITHHELD}: \2", value)
    return event


def _rendering(*, as_json: bool, colors: bool) -> list[Processor]:
    if as_json:
        frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        return [
            structlog.processors.ExceptionRenderer(frames),
            structlog.processors.JSONRenderer(),
        ]
    return [
        _escape_control_characters,
        structlog.dev.ConsoleRenderer(
            colors=colors, pad_event_to=32, exception_formatter=structlog.dev.plain_traceback
        ),
    ]


def _escape_control_characters(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep what peers say from steering the terminal that it is shown on; JSON escapes anyway."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = "".join(map(_escaped, value))
    return event


def _escaped(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]


def _threshold(level: str) -> int:
    threshold = logging.getLevelNamesMapping().get(level.upper())
    if threshold is None:
        raise ValueError(f"{level!r} is no log level: DEBUG, INFO, WARNING, ERROR or CRITICAL")
    return threshold
