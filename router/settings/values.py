"""Typed values at the edge: durations, sizes, endpoints, AE titles, criteria.

Each type parses what a person or a writer says into the plain value that the inside uses, with an
error text that says what would be right, and describes itself in a JSON Schema.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictBool,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)

from router.domain.candidate import Priority
from router.domain.criteria import Expression, as_json, parse_criteria
from router.domain.identifiers import ae_title
from router.domain.named_series import NamedSeries, parse_named_series
from router.domain.paths import PathTemplate, parse_template
from router.settings.problems import shown, suggestion

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)")
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+")
_ISO_DURATION = re.compile(
    r"P(?=.)(?:(?P<w>[0-9]+)W)?(?:(?P<d>[0-9]+)D)?"
    r"(?:T(?=.)(?:(?P<h>[0-9]+)H)?(?:(?P<m>[0-9]+)M)?(?:(?P<s>[0-9]+(?:\.[0-9]+)?)S)?)?"
)
_MULTIPLES = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", start=1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", start=1)},
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")
_ENDPOINT = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]]+)):(?P<port>[0-9]+)")
_MAX_PORT = 65535
MAX_URL = 2000
"""Characters of a URL at most."""


def parse_duration(value: object) -> timedelta:
    """``5s``, ``2m``, ``1h30m``, ``500ms``, ``7d`` or ISO 8601 (``PT1H30M``), up to a century.

    Raises ``ValueError`` with an example of what would be right.
    """
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"a duration needs a unit: {value}s, {value}m ...")
    text = value.strip() if isinstance(value, str) else ""
    seconds = _iso_seconds(text) if text.startswith("P") else _unit_seconds(text)
    if seconds is None:
        raise ValueError(f"{shown(value)} is no duration; write it as 500ms, 5s, 2m or 1h30m")
    if seconds > 36525 * 86400:
        raise ValueError(f"{shown(value)} is longer than a century")
    return timedelta(seconds=seconds)


def _unit_seconds(text: str) -> float | None:
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))


def _iso_seconds(text: str) -> float | None:
    found = _ISO_DURATION.fullmatch(text)
    if found is None:
        return None
    return sum(float(number) * _UNITS[unit] for unit, number in found.groupdict("0").items())


def format_duration(duration: timedelta) -> str:
    """The shortest text that :func:`parse_duration` reads back: ``1h30m``."""
    milliseconds = round(duration / timedelta(milliseconds=1))
    text = ""
    for unit in ("d", "h", "m", "s", "ms"):
        count, milliseconds = divmod(milliseconds, round(_UNITS[unit] * 1000))
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def parse_size(value: object) -> int:
    """Bytes: a number, or a number with kB, MB, GB, TB (1000) or KiB, MiB, GiB, TiB (1024).

    Raises ``ValueError`` with an example of what would be right.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    multiple = _MULTIPLES.get(found[2].lower()) if found else None
    if found is None or multiple is None:
        raise ValueError(f"{shown(value)} is no size; write it as 256MB, 2GiB or a number")
    return int(float(found[1]) * multiple)


def format_size(size: int) -> str:
    """The shortest exact text that :func:`parse_size` reads back: ``256MiB``."""
    for unit in ("TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "kB"):
        count, rest = divmod(size, _MULTIPLES[unit.lower()])
        if count and not rest:
            return f"{count}{unit}"
    return str(size)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to listen. Port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_endpoint(value: object) -> Endpoint:
    """``host:port``; an IPv6 address stands in brackets. Raises ``ValueError`` otherwise."""
    if isinstance(value, Endpoint):
        return value
    found = _ENDPOINT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        bare_port = isinstance(value, int) or (isinstance(value, str) and value.isdecimal())
        example = f"0.0.0.0:{value}" if bare_port else "0.0.0.0:11112 or [::]:11112"
        raise ValueError(f"{shown(value)} is no address to listen on; write {example}")
    if int(found["port"]) > _MAX_PORT:
        raise ValueError(f"port {found['port']} does not exist; the highest is {_MAX_PORT}")
    return Endpoint(found["v6"] or found["host"], int(found["port"]))


def parse_peer(text: str) -> Endpoint:
    """``host:port`` where somebody else listens; raises ``ValueError``."""
    try:
        endpoint = parse_endpoint(text)
    except ValueError:
        endpoint = None
    if endpoint is None or not endpoint.port:
        raise ValueError(f"{shown(text)}: expected host:port, such as 127.0.0.1:11112")
    return endpoint


def _parse_host(value: str) -> str:
    host = value.strip()
    if not host or re.search(r"[\s/]", host):
        raise ValueError(f"{shown(value)} is no host name or address")
    if host.count(":") == 1:
        raise ValueError(f'{shown(value)} is no host name; the port has a key of its own, "port"')
    return host


def _parse_web_address(value: str) -> str:
    return parse_url(value, ("http", "https"), "https://host/path")


def parse_url(value: str, schemes: Sequence[str], example: str, key: str = "auth") -> str:
    """A URL of one of these schemes, without credentials; raises ``ValueError``.

    ``key`` is where credentials are to stand.
    """
    text = value.strip()
    if len(text) > MAX_URL or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise ValueError(f"{shown(value)} is no URL")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"{shown(value)} is no URL; write {example}") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError(f'a URL must not hold a user or a password; the key for them is "{key}"')
    if parts.scheme not in schemes or not parts.hostname or port == 0:
        raise ValueError(f"{shown(value)} is no URL; write {example}")
    if parts.query or parts.fragment:
        raise ValueError(f"{shown(value)} must end with its path, without ? and #")
    return text.rstrip("/")


def _parse_template(value: object) -> PathTemplate:
    if isinstance(value, PathTemplate):
        return value
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {shown(value)}")
    return parse_template(value)


def _parse_priority(value: object) -> Priority:
    if isinstance(value, Priority):
        return value
    names = [priority.name.lower() for priority in Priority]
    if not isinstance(value, str) or value.lower() not in names:
        raise ValueError(f"{shown(value)} is no priority; {suggestion(str(value), names)}")
    return Priority[value.upper()]


def _parse_series(value: object) -> NamedSeries:
    if isinstance(value, NamedSeries):
        return value
    if not isinstance(value, str):
        raise ValueError(f"must be text such as \"'Axial T2' and 'Sag T1'\", not {shown(value)}")
    return parse_named_series(value)


def _parse_ae_titles(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _parse_ae_title(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"an AE title is text; put it in quotes: {shown(str(value))}")
    return ae_title(value)


AETitle = Annotated[
    str,
    BeforeValidator(_parse_ae_title),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 16}),
]
"""An AE title without its padding (PS3.5, VR AE)."""

AETitles = Annotated[
    tuple[AETitle, ...],
    BeforeValidator(_parse_ae_titles),
    Field(min_length=1),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": 16},
                {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string", "minLength": 1, "maxLength": 16},
                },
            ]
        }
    ),
]
"""One AE title, or a list of them."""

Host = Annotated[StrictStr, AfterValidator(_parse_host)]
"""A host name or an IP address."""

Port = Annotated[StrictInt, Field(ge=1, le=_MAX_PORT)]
"""A TCP port of somebody else."""

Flag = StrictBool
"""True or false; no other word for it."""

Count = Annotated[StrictInt, Field(ge=1)]
"""A number of things, one at least."""

Duration = Annotated[
    timedelta,
    PlainValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": rf"^(({_DURATION_PART.pattern})+|P.+)$",
            "examples": ["500ms", "5s", "1h30m", "PT1H30M"],
        }
    ),
]
"""A time span with its unit."""

Size = Annotated[
    int,
    PlainValidator(parse_size),
    PlainSerializer(format_size, return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? *([kKMGT]i?)?[bB]?$"},
                {"type": "integer", "minimum": 0},
            ],
            "examples": ["256MB", "2GiB"],
        }
    ),
]
"""Bytes."""

Rate = Annotated[Size, Field(ge=64 * 1000)]
"""Bytes per second; slower ones would let peers give up waiting."""

Listen = Annotated[
    Endpoint,
    PlainValidator(parse_endpoint),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^.+:[0-9]+$", "examples": ["0.0.0.0:11112"]}),
]
"""An address to listen on."""

CRITERIA_SCHEMA: dict[str, Any] = {
    "description": "ATTRIBUTE|OPERATOR|VALUE, or a composition of such by all, any and not.",
    "examples": ["MODALITY|IN|CR,DX"],
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "object", "minProperties": 1},
        {"type": "array", "minItems": 1},
    ],
}

Criteria = Annotated[
    Expression,
    PlainValidator(parse_criteria),
    PlainSerializer(as_json),
    WithJsonSchema(CRITERIA_SCHEMA),
]
"""Routing criteria or a discard filter."""

SeriesText = Annotated[
    NamedSeries,
    PlainValidator(_parse_series),
    PlainSerializer(lambda series: series.text, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 3,
            "examples": ["'Axial T2' and ('Sag T1 GRE' or 'Sag T1 TSE')"],
        }
    ),
]
"""Which series a study must have."""

PriorityName = Annotated[
    Priority,
    PlainValidator(_parse_priority),
    PlainSerializer(lambda priority: priority.name.lower(), return_type=str),
    WithJsonSchema({"type": "string", "enum": [priority.name.lower() for priority in Priority]}),
]
"""A priority by its name."""

Kind = Literal["dimse", "stow-rs", "orthanc-rest", "orthanc-transfers", "folder", "s3", "chris"]
"""How a candidate is reached."""

RegisteredKind = Literal["dimse", "stow-rs", "orthanc-rest", "orthanc-transfers"]
"""How a candidate may say that it is reached: over the network."""

Template = Annotated[
    PathTemplate,
    PlainValidator(_parse_template),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {"type": "string", "examples": ["{PatientID}/{StudyInstanceUID}/{SOPInstanceUID}.dcm"]}
    ),
]
"""A path with the values of attributes in it."""

WebAddress = Annotated[
    StrictStr,
    AfterValidator(_parse_web_address),
    WithJsonSchema({"type": "string", "pattern": "^https?://", "maxLength": MAX_URL}),
]
"""A URL without credentials, query or fragment, and without a slash at its end."""

BucketName = Annotated[StrictStr, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
"""The name of a bucket."""

RegionName = Annotated[StrictStr, Field(pattern=r"^[a-z0-9-]{1,40}$")]
"""The name of a region."""

Transcode = Literal["never", "when-refused"]
"""Whether a candidate gets an instance in another transfer syntax than the one that it came in."""

Calling = Literal["router", "modality"]
"""Whose AE title a candidate sees as the calling one."""

VariableName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""The name of a variable of the environment."""

UserName = Annotated[StrictStr, Field(min_length=1, max_length=200, pattern=r"^[^:\x00-\x1f]+$")]
"""A user, as RFC 7617 lets one be called."""
