"""A study of more kinds of objects than one association has presentation contexts for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, AllStoragePresentationContexts, evt

from router.dicom import uids
from router.dicom.part10 import read_file_header
from router.dicom.pdu import MAX_CONTEXTS
from tests.dicomweb.uploading import file_of, study_of
from tests.interop.conftest import dcmsend, live_router, pynetdicom_scp

EXPLICIT = uids.EXPLICIT_VR_LITTLE_ENDIAN
DEFLATED = uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
SOP_CLASSES = [str(context.abstract_syntax) for context in AllStoragePresentationContexts][:150]
PAIRS = [(one, DEFLATED) for one in SOP_CLASSES] + [(one, EXPLICIT) for one in SOP_CLASSES[:50]]


def study_of_all_pairs() -> dict[str, bytes]:
    """SOP Instance UID to Part 10 file: an instance for each SOP class and transfer syntax."""
    made = {}
    for (sop_class, syntax), instance in zip(PAIRS, study_of(len(PAIRS)), strict=True):
        instance.SOPClassUID = sop_class
        made[str(instance.SOPInstanceUID)] = file_of(instance, syntax)
    return made


@pytest.mark.parametrize(
    ("options", "associations"),
    [
        pytest.param("", 2, id="as it is: 200 contexts"),
        pytest.param(", transcode: when-refused", 3, id="transcoded when refused: 300 contexts"),
    ],
)
async def test_all_of_it_arrives_at_pynetdicom_over_several_associations(
    data_folder: Path, tmp_path: Path, options: str, associations: int
) -> None:
    assert len(set(PAIRS)) == 200
    files = study_of_all_pairs()
    (tmp_path / "in").mkdir()
    for uid, content in files.items():
        (tmp_path / "in" / uid).write_bytes(content)
    stored: dict[str, tuple[str, bytes]] = {}
    proposed: list[int] = []

    def note(event: Any) -> None:
        proposed.append(len(event.assoc.requestor.requested_contexts))

    def store(event: Any) -> int:
        data_set = event.request.DataSet.getvalue()
        stored[event.request.AffectedSOPInstanceUID] = event.context.transfer_syntax, data_set
        return 0x0000

    writer = AE("WRITER")
    for sop_class in SOP_CLASSES:
        writer.add_supported_context(sop_class, [DEFLATED, EXPLICIT])
    with pynetdicom_scp(writer, {evt.EVT_C_STORE: store, evt.EVT_ACCEPTED: note}) as port:
        candidate = f"{{WRITER: {{host: 127.0.0.1, port: {port}, associations: 1{options}}}}}"
        async with live_router(data_folder, candidate) as router:
            await dcmsend(router, tmp_path / "in")
            await router.settled(studies=1)

    headers = {uid: read_file_header(content) for uid, content in files.items()}
    assert stored == {
        uid: (header.transfer_syntax_uid, files[uid][header.data_set_offset :])
        for uid, header in headers.items()
    }
    assert len(proposed) == associations
    assert max(proposed) <= MAX_CONTEXTS
