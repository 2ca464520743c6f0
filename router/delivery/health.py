"""Whether a candidate is fit to be sent to, and how hard. Pure: time is an argument."""

from __future__ import annotations

from router.delivery.waiting import NEVER
from router.domain.retry import RetryPolicy

PROBE_AFTER = 2
"""After so many back-offs in a row the candidate is probed before anything is sent."""


class Health:
    """What the lane has learnt of its candidate from how it answered so far.

    After a failure all deliveries of the candidate share one back-off, and one association is
    tried before more are.
    """

    def __init__(self, retry: RetryPolicy, setbacks_allowed: int):
        """``setbacks_allowed``: so many temporary failures in a row, and it is left alone."""
        self._retry = retry
        self._setbacks_allowed = setbacks_allowed
        self._is_proven = False  # it accepted an association, or woke us, since the last back-off
        self._is_probed = False  # it answered a C-ECHO since the last back-off
        self._back_offs = 0  # in a row
        self._setbacks = 0  # in a row
        self._ceiling = NEVER  # associations that the candidate lets us have at once
        self.left_alone_until = 0.0  # monotonic

    def is_left_alone(self, monotonic: float) -> bool:
        """Whether nothing may begin at present."""
        return monotonic < self.left_alone_until

    def associations_allowed(self, wanted: int) -> int:
        """How many of the associations that are wanted may be open at once."""
        return int(min(wanted, self._ceiling)) if self._is_proven else 1

    @property
    def needs_probe(self) -> bool:
        """Whether it has failed so often that it is asked whether it is there first."""
        return self._back_offs >= PROBE_AFTER and not self._is_probed

    def probed(self) -> None:
        """It answered: something may be sent, over one association."""
        self._is_probed = True

    def opened(self) -> None:
        """An association was accepted."""
        self._is_proven = True

    def answered(self) -> None:
        """The candidate took an instance, or refused it for good: it is well."""
        self._back_offs = self._setbacks = 0

    def failed(self) -> bool:
        """A temporary failure; whether it was one too many."""
        self._setbacks += 1
        return self._setbacks >= self._setbacks_allowed

    def limited_to(self, associations: int) -> None:
        """The candidate accepts no more associations than these."""
        self._ceiling = associations

    def unlimited(self) -> None:
        """Forget how many associations the candidate accepted."""
        self._ceiling = NEVER

    def back_off(self, monotonic: float) -> float:
        """Leave the candidate alone for a while; how long, in seconds."""
        self._back_offs += 1
        self._setbacks = 0
        self._is_proven = self._is_probed = False
        delay_s = self._retry.delay_s(self._back_offs)
        self.left_alone_until = monotonic + delay_s
        return delay_s

    def woken(self) -> None:
        """The candidate said that it is there: forget what was."""
        self._is_proven = True
        self._back_offs = self._setbacks = 0
        self._ceiling = NEVER
        self.left_alone_until = 0.0
