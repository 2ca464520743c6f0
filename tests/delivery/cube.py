"""Stands for the backend of ChRIS: a Celery application with the task that it registers series by.

CUBE itself cannot be installed here. What this worker takes and refuses is after its source
(https://github.com/FNNDSC/ChRIS_ultron_backEnd: pacsfiles/tasks.py and pacsfiles/serializers.py),
only that it does not wait half a minute for files that are missing.
"""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path
from typing import Any

from celery import Celery

app = Celery("core", broker=os.environ.get("CUBE_BROKER", "memory://"))
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    broker_connection_retry_on_startup=True,
    task_routes={"pacsfiles.tasks.register_pacs_series": {"queue": "main2"}},
)


@app.task(name="pacsfiles.tasks.register_pacs_series", bind=True)  # type: ignore[untyped-decorator]
def register_pacs_series(
    self: Any,
    PatientID: str,  # noqa: N803 - the names of the contract
    StudyDate: str,  # noqa: N803
    StudyInstanceUID: str,  # noqa: N803
    SeriesInstanceUID: str,  # noqa: N803
    pacs_name: str,
    path: str,
    ndicom: int,
    PatientName: str | None = None,  # noqa: N803
    PatientBirthDate: str | None = None,  # noqa: N803
    PatientAge: int | None = None,  # noqa: N803
    PatientSex: str | None = None,  # noqa: N803
    AccessionNumber: str | None = None,  # noqa: N803
    Modality: str | None = None,  # noqa: N803
    ProtocolName: str | None = None,  # noqa: N803
    StudyDescription: str | None = None,  # noqa: N803
    SeriesDescription: str | None = None,  # noqa: N803
) -> None:
    """Write down what came, and what CUBE would say to it."""
    told = {key: value for key, value in locals().items() if key != "self"}
    objection = _objection(told, Path(os.environ["CUBE_FILES"]))
    with Path(os.environ["CUBE_JOURNAL"]).open("a") as journal:
        entry = {"task_id": self.request.id, "told": told, "objection": objection}
        journal.write(json.dumps(entry) + "\n")


def _objection(told: dict[str, Any], root: Path) -> str:
    path = told["path"]
    if not path.startswith(f"SERVICES/PACS/{told['pacs_name']}/"):
        return "not below its PACS"
    if "," in path or len(path) > 1024 or len(told["pacs_name"]) > 20:
        return "no path"
    if told["PatientSex"] not in (None, "M", "F", "O"):
        return "no sex"
    for day in (told["StudyDate"], told["PatientBirthDate"]):
        if day is not None:
            date.fromisoformat(day)
    files = [one for one in (root / path).rglob("*") if one.suffix == ".dcm"]
    return "" if len(files) == told["ndicom"] else f"{len(files)} files are there"
