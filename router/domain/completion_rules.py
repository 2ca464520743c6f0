"""Which completion policy holds for a study: the first rule that matches decides."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from router.domain.attributes import Attribute, parse_attribute
from router.domain.completion import CompletionPolicy
from router.domain.expression import Expression, attributes_of
from router.domain.instance import Facts

SERIES_DESCRIPTION = "SeriesDescription"


@dataclass(frozen=True, slots=True)
class CompletionRule:
    """A policy for some studies."""

    policy: CompletionPolicy
    sources: frozenset[str] = frozenset()
    """Calling AE titles, one of which has brought an instance of the revision; empty: any."""
    criteria: Expression | None = None
    """What the values of the study must match, as far as they have arrived."""

    def may_match(self, sources: Collection[str]) -> bool:
        """Whether the sources are its own; its criteria are not looked at."""
        return not self.sources or not self.sources.isdisjoint(sources)

    def matches(self, sources: Collection[str], facts: Facts) -> bool:
        """Whether it decides about a study."""
        return self.may_match(sources) and (self.criteria is None or self.criteria.matches(facts))


@dataclass(frozen=True, slots=True)
class CompletionRules:
    """All rules in their order, and the policy where none matches."""

    otherwise: CompletionPolicy
    rules: tuple[CompletionRule, ...] = ()

    @property
    def attributes(self) -> frozenset[Attribute]:
        """What must be known of studies to tell which rule matches, and which series are there."""
        named = {parse_attribute(SERIES_DESCRIPTION)} if self._name_series() else set()
        criteria = [rule.criteria for rule in self.rules if rule.criteria is not None]
        return frozenset(named).union(*map(attributes_of, criteria))

    def _name_series(self) -> bool:
        return any(policy.series for policy in self._policies())

    def _policies(self) -> list[CompletionPolicy]:
        return [*(rule.policy for rule in self.rules), self.otherwise]

    def policy(self, sources: Collection[str], facts: Facts) -> CompletionPolicy:
        """The policy of a study that came from these sources and has these values so far."""
        for rule in self.rules:
            if rule.matches(sources, facts):
                return rule.policy
        return self.otherwise

    def soonest(self, sources: Collection[str]) -> CompletionPolicy:
        """A policy that is never later than the one that will turn out to hold.

        It needs no facts: by it studies are looked at, not completed.
        """
        possible = [rule.policy for rule in self.rules if rule.may_match(sources)]
        return soonest([*possible, self.otherwise])


def soonest(policies: Sequence[CompletionPolicy]) -> CompletionPolicy:
    """The shortest of all their waits; series that they name count as there."""
    return CompletionPolicy(
        quiet_after=_shortest(policy.quiet_after for policy in policies),
        stable_after=min(policy.stable_after for policy in policies),
        max_wait=_shortest(policy.max_wait for policy in policies),
    )


def _shortest(waits: Iterable[timedelta | None]) -> timedelta | None:
    return min((wait for wait in waits if wait is not None), default=None)
