"""From keys to SQL: what of each level is asked for, and what is to be told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select, true

from candidates.writer.index.portable import distinct_values
from candidates.writer.index.schema import LEVELS, attachment, instance, patient, series, study
from candidates.writer.query.matching import condition
from candidates.writer.tags import MAIN_TAGS, Level, column_of
from router.dicom.query import QueryLevel
from router.domain.dictionary import tag_of, vr_of

LEVELS_ABOVE: Mapping[QueryLevel, tuple[Level, ...]] = {
    QueryLevel.STUDY: (Level.PATIENT, Level.STUDY),
    QueryLevel.SERIES: (Level.PATIENT, Level.STUDY, Level.SERIES),
    QueryLevel.IMAGE: (Level.PATIENT, Level.STUDY, Level.SERIES, Level.INSTANCE),
}
"""The levels whose attributes may be asked for at a query level."""

MODALITIES = "ModalitiesInStudy"

_COUNTED: Mapping[str, Callable[[], ColumnElement[int]]] = {
    "NumberOfStudyRelatedSeries": lambda: (
        select(func.count()).where(series.c.parent_id == study.c.id).scalar_subquery()
    ),
    "NumberOfStudyRelatedInstances": lambda: (
        select(func.count())
        .select_from(instance.join(series, instance.c.parent_id == series.c.id))
        .where(series.c.parent_id == study.c.id)
        .correlate(study)
        .scalar_subquery()
    ),
    "NumberOfSeriesRelatedInstances": lambda: (
        select(func.count()).where(instance.c.parent_id == series.c.id).scalar_subquery()
    ),
}


def columns(level: QueryLevel) -> dict[str, ColumnElement[Any]]:
    """What is known at a level, by keyword."""
    known: dict[str, ColumnElement[Any]] = {
        keyword: LEVELS[one].c[column_of(keyword)]
        for one in LEVELS_ABOVE[level]
        for keyword in MAIN_TAGS[one]
    }
    if level is QueryLevel.IMAGE:
        return known | {"AvailableTransferSyntaxUID": instance.c.transfer_syntax_uid}
    if level is QueryLevel.SERIES:
        return known | _counts("NumberOfSeriesRelatedInstances")
    known[MODALITIES] = (
        select(distinct_values(series.c.modality))
        .where(series.c.parent_id == study.c.id, series.c.modality != "")
        .correlate(study)
        .scalar_subquery()
    )
    return known | _counts("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances")


def _counts(*keywords: str) -> dict[str, ColumnElement[int]]:
    return {keyword: _COUNTED[keyword]() for keyword in keywords}


def find(level: QueryLevel, keys: Mapping[str, str], wanted: Iterable[str]) -> Select[Any]:
    """What matches all keys; a column for each keyword that is wanted and known, so labelled."""
    known = columns(level)
    told = [known[keyword].label(keyword) for keyword in wanted if keyword in known]
    last = LEVELS[LEVELS_ABOVE[level][-1]]
    asked = {keyword: key for keyword, key in keys.items() if keyword in known}
    return (
        select(*told, last.c.id)
        .select_from(_joined(level))
        .where(_matches(asked))
        .order_by(last.c.id)
    )


def attachments(keys: Mapping[str, str]) -> Select[Any]:
    """Every instance that matches, with its attachment; in order of study and series."""
    joined = _joined(QueryLevel.IMAGE).join(attachment, attachment.c.instance_id == instance.c.id)
    return (
        select(
            instance.c.sop_class_uid,
            instance.c.sop_instance_uid,
            instance.c.transfer_syntax_uid,
            attachment,
        )
        .select_from(joined)
        .where(_matches(keys))
        .order_by(series.c.parent_id, series.c.id, instance.c.id)
    )


def _matches(keys: Mapping[str, str]) -> ColumnElement[bool]:
    return and_(true(), *(_match(keyword, key) for keyword, key in keys.items()))


def _match(keyword: str, key: str) -> ColumnElement[bool]:
    vr = vr_of(tag_of(keyword) or 0)
    if keyword == MODALITIES:
        asked = condition(series.c.modality, "CS", key)
        inner = select(series.c.id).where(series.c.parent_id == study.c.id, asked)
        return true() if key.strip(" *") == "" else inner.correlate(study).exists()
    for level, tags in MAIN_TAGS.items():
        if keyword in tags:
            return condition(LEVELS[level].c[column_of(keyword)], vr, key)
    return true()  # unsupported keys are matched by everything (PS3.4 section C.2.2.1.3)


def _joined(level: QueryLevel) -> Any:
    joined = study.join(patient, study.c.parent_id == patient.c.id)
    if level is not QueryLevel.STUDY:
        joined = joined.join(series, series.c.parent_id == study.c.id)
    if level is QueryLevel.IMAGE:
        joined = joined.join(instance, instance.c.parent_id == series.c.id)
    return joined
