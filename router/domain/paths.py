"""Where the file of an instance goes: a template, and values that cannot lead anywhere else. Pure.

A path is relative, has no hidden, empty or special component, and only characters that every file
system and object store takes. Values come from strangers: whatever they hold, they fill a part of
one component and nothing more.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from router.domain.attributes import Attribute, parse_attribute

MAX_VALUE = 64
"""Characters of a value; a longer one is cut and told apart by its hash."""
MAX_COMPONENT = 200
MAX_COMPONENTS = 12
UNKNOWN = "UNKNOWN"
"""What stands for a value that is not there."""

_STUDY, _INSTANCE = "StudyInstanceUID", "SOPInstanceUID"
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_UNUSUAL = re.compile(r"[^A-Za-z0-9._-]")
_LITERAL = re.compile(r"[A-Za-z0-9._-]*")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A path with ``{Keyword}`` in it, as :func:`parse_template` reads it."""

    text: str
    attributes: tuple[Attribute, ...]
    study_depth: int
    """So many components name the folder of one study."""

    def __str__(self) -> str:
        return self.text

    def render(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """The components for an instance; values by attribute name, those that lack are UNKNOWN."""
        return tuple(
            _component(_PLACEHOLDER.sub(lambda name: clean(values.get(name[1], "")), part))
            for part in self.text.split("/")
        )


def parse_template(text: str) -> PathTemplate:
    """Read a template; raises ``ValueError`` with what would be right."""
    parts = text.split("/")
    if len(parts) > MAX_COMPONENTS:
        raise ValueError(f"has more than {MAX_COMPONENTS} parts")
    for part in parts:
        literal = _PLACEHOLDER.sub("", part)
        if not part or part.startswith(".") or not _LITERAL.fullmatch(literal):
            raise ValueError(
                f'"{part}" is no part of a path; it may have letters, digits, ".", "_", "-" and '
                "{Keyword}, and does not begin with a dot"
            )
        if len(part) > MAX_COMPONENT:
            raise ValueError(f'"{part}" is too long')
    names = [name for part in parts for name in _PLACEHOLDER.findall(part)]
    attributes = tuple(parse_attribute(name) for name in dict.fromkeys(names))
    for name, attribute in zip(dict.fromkeys(names), attributes, strict=True):
        if attribute.name != name or attribute.is_pseudo:
            raise ValueError(f"{{{name}}} is no DICOM keyword, such as {{PatientID}}")
    folders, file = parts[:-1], parts[-1]
    depths = [depth for depth, part in enumerate(folders, 1) if f"{{{_STUDY}}}" in part]
    if not depths:
        raise ValueError(f"needs a folder for each study: {{{_STUDY}}}/...")
    if f"{{{_INSTANCE}}}" not in file:
        raise ValueError(f"needs a file for each instance: .../{{{_INSTANCE}}}.dcm")
    return PathTemplate(text, attributes, depths[0])


def clean(value: str) -> str:
    """A value as it may stand in a path."""
    plain = unicodedata.normalize("NFKD", value.strip(" \0"))
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    plain = _UNUSUAL.sub("_", plain)
    if len(plain) > MAX_VALUE:
        digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        plain = f"{plain[: MAX_VALUE - 13]}-{digest}"
    return plain or UNKNOWN


def _component(text: str) -> str:
    """A component that is neither hidden nor special, whatever it was made of."""
    text = text.rstrip(".") or "_"
    if text.startswith(".") or _RESERVED.fullmatch(text):
        text = f"_{text}"
    if len(text) > MAX_COMPONENT:
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        text = f"{text[: MAX_COMPONENT - 13]}-{digest}"
    return text
