"""Values of the keys that candidates of kind ``chris`` have."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated

from pydantic import AfterValidator, StrictStr, WithJsonSchema

from router.settings.problems import shown
from router.settings.values import MAX_URL, parse_url

SECURED_BROKERS = ("amqps", "rediss")
"""Schemes of brokers that are talked to over TLS."""
BROKER_SCHEMES = ("amqp", "redis", *SECURED_BROKERS)
SECURED_NATS = ("tls",)
"""The scheme of a NATS server that is told nothing but over TLS."""

_WORD = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_PACS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,19}")


def _matching(pattern: re.Pattern[str], what: str, value: str) -> str:
    if not pattern.fullmatch(value):
        raise ValueError(f"must be {what}, not {shown(value)}")
    return value


BrokerAddress = Annotated[
    StrictStr,
    AfterValidator(partial(parse_url, schemes=BROKER_SCHEMES, example="amqp://host:5672")),
    WithJsonSchema({"type": "string", "pattern": "^(amqp|redis)s?://", "maxLength": MAX_URL}),
]
"""The address of a broker."""

NatsAddress = Annotated[
    StrictStr,
    AfterValidator(
        partial(parse_url, schemes=("nats", "tls"), example="nats://host:4222", key="nats_auth")
    ),
    WithJsonSchema({"type": "string", "pattern": "^(nats|tls)://", "maxLength": MAX_URL}),
]
"""The address of a NATS server."""

Word = Annotated[
    StrictStr,
    AfterValidator(partial(_matching, _WORD, 'letters, digits, "_" and "-", and dots in between')),
    WithJsonSchema({"type": "string", "pattern": f"^{_WORD.pattern}$"}),
]
"""A name for other programs: letters, digits, ``_`` and ``-``, and dots in between."""

PacsName = Annotated[
    StrictStr,
    AfterValidator(
        partial(
            _matching, _PACS_NAME, 'at most 20 letters, digits, "_", "-" and ".", as CUBE takes'
        )
    ),
    WithJsonSchema({"type": "string", "pattern": f"^{_PACS_NAME.pattern}$"}),
]
"""A name that CUBE takes for a PACS."""
