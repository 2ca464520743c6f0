"""How ChRIS wants DICOM series: paths, what must be there, and what a registration says. Pure.

As oxidicom 3 has it (https://github.com/FNNDSC/oxidicom): what its backend, CUBE, finds under
``SERVICES/PACS/`` and is told of, it shows as a series of a PACS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from router.domain.attributes import parse_attribute
from router.domain.seahash import seahash

REQUIRED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID", "StudyDate")
"""Attributes without which CUBE cannot have an instance."""
ATTRIBUTES = tuple(
    parse_attribute(name)
    for name in (
        *REQUIRED,
        "PatientName",
        "PatientBirthDate",
        "PatientAge",
        "PatientSex",
        "AccessionNumber",
        "Modality",
        "ProtocolName",
        "StudyDescription",
        "SeriesDescription",
        "SeriesNumber",
        "InstanceNumber",
    )
)
"""What is read of an instance."""
ROOT = ("SERVICES", "PACS")
ENDING = ".dcm"
MAX_COMPONENT = 255
"""Bytes that a name may have in most file systems."""

_UNUSUAL = re.compile(r"[^A-Za-z0-9.-]+")
_NUMBER = re.compile(r"\+?([0-9]+)")
_AGE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([DWMY])")
_DAYS = {"D": 1.0, "W": 7.0, "M": 30.44, "Y": 365.24}
_DATES = (re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})"), re.compile(r"(....)-(..)-(..)"))
_SEXES = ("M", "F", "O")

Values = Mapping[str, str]
"""Values by keyword; what is missing or empty is left out."""


class NotForChris(ValueError):
    """CUBE cannot have an instance; the text says which attribute is at fault."""


@dataclass(frozen=True, slots=True)
class PacsFile:
    """Where an instance goes, and what CUBE is told of its series."""

    folder: tuple[str, ...]
    """Components of the path of its series."""
    name: str
    values: Values


def pacs_file(values: Values, pacs_name: str) -> PacsFile:
    """Place an instance; ``pacs_name`` as :func:`name_of_pacs` has it. Raises ``NotForChris``."""
    stripped = {keyword: text.replace("\0", "").strip() for keyword, text in values.items()}
    values = {keyword: text for keyword, text in stripped.items() if text}
    for keyword in REQUIRED:
        if keyword not in values:
            raise NotForChris(f"CUBE needs {_named(keyword)}, and it is missing")
    if day_of(values["StudyDate"]) is None:
        raise NotForChris(
            f"CUBE needs {_named('StudyDate')}, and {values['StudyDate']!r} is no date"
        )

    def clean(keyword: str, otherwise: str = "") -> str:
        return sanitise(values.get(keyword, "")) or otherwise

    patient = (clean("PatientID"), clean("PatientName"), clean("PatientBirthDate"))
    study = (
        clean("StudyDescription", "StudyDescription"),
        clean("AccessionNumber", "AccessionNumber"),
        clean("StudyDate"),
    )
    series = (
        _number(values, "SeriesNumber", 5),
        clean("SeriesDescription", "SeriesDescription"),
        f"{seahash(values['SeriesInstanceUID'].encode()):x}"[:7],
    )
    folder = (*ROOT, pacs_name, "-".join(patient), "-".join(study), "-".join(series))
    name = f"{_number(values, 'InstanceNumber', 4)}-{clean('SOPInstanceUID')}{ENDING}"
    if too_long := [part for part in (*folder, name) if len(part) > MAX_COMPONENT]:
        raise NotForChris(f"no file system takes the name {too_long[0][:32]}..., it is too long")
    return PacsFile(folder, name, values)


def registration(file: PacsFile, pacs_name: str, files: int) -> dict[str, str | int | None]:
    """Arguments of CUBE's task ``register_pacs_series``; ``files`` are in the series' folder.

    What CUBE would refuse the series for, and can do without, is left out.
    """
    values = file.values
    studied = day_of(values["StudyDate"])
    assert studied is not None, "an instance without a date is not placed"
    born, sex = values.get("PatientBirthDate", ""), values.get("PatientSex")
    return {
        "PatientID": values["PatientID"],
        "StudyDate": studied.isoformat(),
        "StudyInstanceUID": values["StudyInstanceUID"],
        "SeriesInstanceUID": values["SeriesInstanceUID"],
        "pacs_name": pacs_name,
        "path": "/".join(file.folder),
        "ndicom": files,
        "PatientName": values.get("PatientName"),
        "PatientBirthDate": born if day_of(born) else None,
        "PatientAge": days_of_age(values.get("PatientAge", "")),
        "PatientSex": sex if sex in _SEXES else None,
        "AccessionNumber": values.get("AccessionNumber"),
        "Modality": values.get("Modality"),
        "ProtocolName": values.get("ProtocolName"),
        "StudyDescription": values.get("StudyDescription"),
        "SeriesDescription": values.get("SeriesDescription"),
    }


def sanitise(text: str) -> str:
    """A value as it may stand in a path: runs of unusual characters become ``_``."""
    return _UNUSUAL.sub("_", text.replace("\0", ""))


def name_of_pacs(ae_title: str) -> str:
    """What CUBE calls a PACS, as it stands in the path: it takes no path under another name.

    An AE title that would lead elsewhere, or is none, becomes ``_``.
    """
    name = sanitise(ae_title.strip())
    return name if name.strip(".") else "_"


def day_of(text: str) -> date | None:
    """The day that ``YYYYMMDD`` or, against PS3.5, ``YYYY-MM-DD`` names; None: no day."""
    for form in _DATES:
        if found := form.fullmatch(text):
            try:
                return datetime.strptime("".join(found.groups()), "%Y%m%d").date()  # noqa: DTZ007
            except ValueError:
                return None
    return None


def days_of_age(text: str) -> int | None:
    """The days of an age (VR AS, PS3.5 table 6.2-1), such as ``030Y``; None: it is no age."""
    if (found := _AGE.fullmatch(text)) is None:
        return None
    return int(float(found[1]) * _DAYS[found[2]] + 0.5)


def _number(values: Values, keyword: str, width: int) -> str:
    """A number of at least so many characters; what is none stands as it is."""
    text = values.get(keyword) or keyword
    found = _NUMBER.fullmatch(text)
    if found and int(found[1]) < 2**32:
        text = str(int(found[1]))
    return sanitise(text).rjust(width, "0")


def _named(keyword: str) -> str:
    step = parse_attribute(keyword).steps[0]
    return f"{keyword} ({step.group:04x},{step.element:04x})"
