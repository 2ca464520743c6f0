"""What all models of the HTTP API share, and the answers that are of no resource."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, RootModel


class Answer(BaseModel):
    """Anything that the API answers."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Query(BaseModel):
    """The query of a request; unknown parameters are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Command(BaseModel):
    """The body of a request; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Done(Answer):
    """The request has been carried out."""

    status: Literal["ok"] = "ok"
    """Always ok: everything else is a problem."""


class Document(RootModel[dict[str, Any]]):
    """An OpenAPI 3.1 document."""
