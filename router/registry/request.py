"""What a writer says of itself when it registers: the body of ``POST /candidates``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticKnownError

from router.domain.candidate import Level
from router.domain.criteria import Expression, parse_criteria
from router.settings.hours import HoursText
from router.settings.kinds import DEFAULT_KIND, kinds_with, knows, lacks
from router.settings.values import (
    CRITERIA_SCHEMA,
    AETitle,
    Calling,
    Count,
    Flag,
    Host,
    Port,
    PriorityName,
    Rate,
    RegisteredKind,
    Transcode,
    WebAddress,
)


def _parsable(words: Any) -> Any:
    parse_criteria(words)
    return words


CriteriaInOwnWords = Annotated[Any, AfterValidator(_parsable), WithJsonSchema(CRITERIA_SCHEMA)]
"""Criteria that can be parsed, as they were written."""


class RegistrationRequest(BaseModel):
    """What a writer says of itself.

    An unknown key is an error: a misspelt ``routingCriteria`` would make a backup writer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    aet: AETitle
    """The writer's AE title: the key of the registration."""
    kind: RegisteredKind | None = None
    """How the writer is reached; default dimse (C-STORE)."""
    host: Annotated[Host | None, Field(validate_default=True)] = None
    """Host name or address that the router shall send to; needed for kind dimse."""
    port: Annotated[Port | None, Field(validate_default=True)] = None
    """DICOM port that the router shall send to; needed for kind dimse."""
    url: Annotated[WebAddress | None, Field(validate_default=True)] = None
    """Where a writer that is reached over HTTP takes studies."""
    calling: Calling | None = None
    """Calling AE title that the writer sees: the router's (default), or that of the modality."""
    transcode: Transcode | None = None
    """Send what the writer refuses in Explicit VR Little Endian, when-refused; default never."""
    gzip: Flag | None = None
    """Compress what is sent to an Orthanc's transfers accelerator; default false."""
    routing_criteria: CriteriaInOwnWords | None = Field(default=None, alias="routingCriteria")
    """ATTRIBUTE|OPERATOR|VALUE as text, as an object, or composed by all, any and not; without
    any the writer is a backup writer, which gets every study."""
    level: Level | None = None
    """What criteria decide about: the whole study (default), each series, each instance."""
    priority: PriorityName | None = None
    """Place of its studies in its queue; default normal."""
    required: Flag | None = None
    """Whether a study is settled only when this writer has it; default true."""
    associations: Count | None = None
    """Parallel associations that the writer likes; default as the router is configured."""
    rate: Rate | None = None
    """Bytes per second that the writer is sent at most; left out: as fast as it goes."""
    window: tuple[HoursText, ...] | None = None
    """Hours in which the writer is sent to, by the router's clock or in UTC; left out: always."""
    commitment: Flag | None = None
    """Whether the writer is asked for storage commitment of each study; default false."""
    discard: tuple[CriteriaInOwnWords, ...] | None = None
    """Studies that match any of these are not for this writer, though its criteria match."""

    @field_validator("host", "port", "url", "gzip", "calling", "transcode", "commitment")
    @classmethod
    def _fits_the_kind(cls, value: object, info: ValidationInfo) -> object:
        kind, key = info.data.get("kind", ""), str(info.field_name)
        kind = DEFAULT_KIND if kind is None else kind
        if kind and value is None and lacks(kind, key):
            raise PydanticKnownError("missing")
        if kind and value is not None and not knows(kind, key):
            raise ValueError(f"is no key of kind {kind}; it is one of {kinds_with(key)}")
        return value

    @property
    def criteria(self) -> Expression | None:
        """The routing criteria, parsed; None for a backup writer."""
        return None if self.routing_criteria is None else parse_criteria(self.routing_criteria)

    @property
    def discard_filters(self) -> tuple[Expression, ...] | None:
        """What the writer does not want, parsed; None if it did not say."""
        return None if self.discard is None else tuple(map(parse_criteria, self.discard))

    @property
    def address(self) -> str:
        """Where the writer says it is: ``host:port``, or a URL."""
        return self.url or f"{self.host}:{self.port}"

    @property
    def text(self) -> str:
        """The writer's own words as JSON, from which the same request can be read again."""
        return self.model_dump_json(by_alias=True, exclude_unset=True)
