"""What is not given to a candidate because it took another one down. Pure."""

from __future__ import annotations

from router.domain.delivery import DeliveryItem, Outcome, OutcomeKind


def withheld(item: DeliveryItem) -> Outcome | None:
    """The outcome of an instance that is held back until a person decides; None: it may be sent."""
    if item.suspicion is None:
        return None
    return Outcome(
        OutcomeKind.PERMANENT,
        None,
        f"held back: associations with {item.suspicion.ae_title} dropped {item.suspicion.drops} "
        "times on this instance; retry sends it all the same",
    )
