"""What ``check`` shows of completion policies: which holds for whom, in words."""

from __future__ import annotations

from collections.abc import Sequence

from router.domain.completion import CompletionPolicy
from router.domain.completion_rules import CompletionRule
from router.settings.models import Settings
from router.settings.values import format_duration
from router.wiring import completion_rules

OTHERS = "all others"


def policies(settings: Settings) -> Sequence[tuple[str, str]]:
    """For which studies, and when they are complete; in the order in which they decide."""
    rules = completion_rules(settings)
    everybody = OTHERS if rules.rules else "all studies"
    rows = [(_whose(rule), _when(rule.policy)) for rule in rules.rules]
    return [*rows, (everybody, _when(rules.otherwise))]


def sources(settings: Settings) -> Sequence[tuple[str, str]]:
    """Calling AE titles, and who is asked how many instances their studies have."""
    listed = settings.completion.sources
    return [(name, f"{at.ae_title} at {at.host}:{at.port}") for name, at in listed.items()]


def _whose(rule: CompletionRule) -> str:
    sources = f"from {', '.join(sorted(rule.sources))}" if rule.sources else ""
    criteria = f"where {rule.criteria}" if rule.criteria is not None else ""
    return " ".join(filter(None, (sources, criteria))) or "all studies"


def _when(policy: CompletionPolicy) -> str:
    parts = ["somebody who knows says so"]
    if policy.quiet_after is not None:
        named = f"{policy.series.text} have arrived, " if policy.series else ""
        parts.append(f"{named}released and quiet for {format_duration(policy.quiet_after)}")
    parts.append(f"no instance for {format_duration(policy.stable_after)}")
    text = "; or ".join(parts)
    if policy.max_wait is None:
        return text
    return f"{text}; after {format_duration(policy.max_wait)} {policy.on_max_wait}"
