"""AE titles and UIDs: parsed once at an edge, trusted afterwards."""

from __future__ import annotations

from router.domain.errors import InvalidAETitle, InvalidUID

MAX_AE_TITLE = 16
MAX_UID = 64


def ae_title(text: str) -> str:
    """The AE title without its insignificant spaces (PS3.5 section 6.2, VR AE).

    Raises ``InvalidAETitle`` for one that is empty, longer than 16 bytes, or has a backslash or a
    control character.
    """
    title = text.strip(" ")
    if not title:
        raise InvalidAETitle("an AE title cannot be empty or only spaces")
    if not title.isascii() or not title.isprintable() or "\\" in title:
        raise InvalidAETitle(
            f"AE title {title!r}: only printable ASCII without a backslash is allowed"
        )
    if len(title) > MAX_AE_TITLE:
        raise InvalidAETitle(f"AE title {title!r} has {len(title)} characters; 16 are allowed")
    return title


def uid(text: str) -> str:
    """The UID without padding (PS3.5 section 9.1); raises ``InvalidUID``."""
    value = text.strip(" \0")
    components = value.split(".")
    if len(value) > MAX_UID or not value.isascii() or not all(map(str.isdecimal, components)):
        raise InvalidUID(f"{value!r} is not a UID: at most 64 digits and dots")
    return value
