"""What the end of an attempt means for a delivery. Pure."""

from __future__ import annotations

from collections import Counter

from router.domain.delivery import Delivery, DeliveryState


def judge(
    delivery: Delivery,
    setbacks: Counter[str],
    refusals: Counter[str],
    *,
    why_stopped: str,
    gives_up: bool,
    notes: Counter[str] | None = None,
) -> tuple[DeliveryState, str]:
    """The state that a delivery is in after an attempt, and the reason for a person to read.

    A delivery is delivered only when every instance was stored. While anything may still be
    sent, it is retried, until somebody ``gives_up``; what was refused for good waits until then
    to be called dead. ``notes``: what is to be known of instances that were stored.
    """
    left = delivery.instances - delivery.delivered - delivery.refused
    refused = f"{delivery.refused} of {_instances(delivery.instances)} refused for good"
    if left:
        parts = [f"{left} of {_instances(delivery.instances)} still to be sent"]
        parts += [refused] if delivery.refused else []
        parts += [why_stopped] if why_stopped else []
        reason = "; ".join(parts) + _listed(setbacks)
        if gives_up:
            return DeliveryState.DEAD, f"given up: {reason}"
        return DeliveryState.RETRYING, reason
    if delivery.refused:
        return DeliveryState.DEAD, refused + _listed(refusals)
    return DeliveryState.DELIVERED, _listed(notes or Counter()).removeprefix(": ")


def _instances(count: int) -> str:
    return f"{count} instance" if count == 1 else f"{count} instances"


def _listed(reasons: Counter[str]) -> str:
    if not reasons:
        return ""
    return ": " + "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
