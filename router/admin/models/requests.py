"""What may be asked of the HTTP API: the queries of lists, the bodies of decisions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from router.admin.models.base import Command, Query
from router.domain.delivery import DeliveryState
from router.domain.study import RevisionState
from router.settings.values import AETitle

Limit = Annotated[int, Field(ge=1, le=1000)]
Cursor = Annotated[int, Field(ge=0)]


class PageQuery(Query):
    """Which part of a list, newest first."""

    limit: Limit = 100
    """Entries at most."""
    after: Cursor | None = None
    """The ``next`` of the page before."""


class StudyQuery(PageQuery):
    """Which studies."""

    state: RevisionState | None = None
    """Only studies with any revision in this state."""
    patient_id: str | None = None
    """Only studies of this patient."""


class DeliveryQuery(PageQuery):
    """Which deliveries."""

    state: DeliveryState | None = None
    """Only deliveries in this state."""
    candidate: str | None = None
    """Only deliveries to the candidate with this AE title."""


class RefusalQuery(PageQuery):
    """Which refusals."""

    disposition: Literal["discarded", "refused"] | None = None
    """Only what a discard filter dropped, or only what was answered with a failure."""


class Redirection(Command):
    """Where a delivery goes instead."""

    aet: AETitle
    """AE title of a candidate that is known."""


class Dismissal(Command):
    """Why a delivery is not needed."""

    reason: Annotated[str, Field(min_length=1, max_length=1000)]
    """For those who ask later."""


class Resending(Command):
    """Who gets a study again."""

    aet: Annotated[tuple[AETitle, ...], Field(min_length=1)] | None = None
    """AE titles of candidates that are known; left out: all that the study was given to."""
