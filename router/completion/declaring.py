"""A person, or another system, says that a study is complete."""

from __future__ import annotations

from collections.abc import Callable

from router.domain.errors import StateConflict
from router.ports import LedgerViews

CompleteNow = Callable[[str, str], bool]
"""Completes what is open of a study, with this reason; whether anything is."""

BY_REQUEST = "said to be complete over the HTTP API"


class Declarations:
    """Takes the word of those who know that a study has arrived."""

    def __init__(self, views: LedgerViews, complete_now: CompleteNow):
        self._views = views
        self._complete_now = complete_now

    async def complete(self, study_instance_uid: str) -> None:
        """Complete the open revision of a study, whatever its policy waits for.

        What is being received or recorded at the moment still belongs to it: it may be closed a
        little after this returns. Raises ``UnknownStudy``, ``StateConflict`` if nothing of the
        study is open, and ``LedgerFailed``.
        """
        if self._complete_now(study_instance_uid, BY_REQUEST):
            return
        study = await self._views.study(study_instance_uid)
        state = study.summary.state
        raise StateConflict(
            f"nothing of study {study_instance_uid} is open: "
            + ("all that came of it is in quarantine" if state is None else f"it is {state}")
        )
