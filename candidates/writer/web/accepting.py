"""In which form a client takes instances (PS3.18 section 8.7.4)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum

from router.dicomweb.accepting import MediaRange

MULTIPART, DICOM = "multipart/related", "application/dicom"
_MULTIPART_RANGES = frozenset({MULTIPART, "multipart/*", "*/*"})
_SINGLE_RANGES = frozenset({DICOM, "application/*"})


class Form(StrEnum):
    """How instances can be returned."""

    MULTIPART = "multipart"
    SINGLE = "single"  # one instance alone


def form_for(
    ranges: Sequence[MediaRange], transfer_syntaxes: Collection[str], *, is_instance: bool
) -> Form | None:
    """How instances of these syntaxes are returned; None: the client does not take all of them."""
    for one in ranges:
        form = _form(one, is_instance=is_instance)
        if form is None:
            continue
        alike = [other for other in ranges if _form(other, is_instance=is_instance) is form]
        if all(any(other.takes(uid) for other in alike) for uid in transfer_syntaxes):
            return form
    return None


def _form(one: MediaRange, *, is_instance: bool) -> Form | None:
    if one.name in _MULTIPART_RANGES and one.parameters.get("type", DICOM).lower() == DICOM:
        return Form.MULTIPART
    return Form.SINGLE if is_instance and one.name in _SINGLE_RANGES else None
