"""pynetdicom as modality and as writer: negotiation in all its variety."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import UID, CTImageStorage
from pynetdicom import AE, evt
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SCP_SCU_RoleSelectionNegotiation,
    UserIdentityNegotiation,
)

from tests.corpus import make_ct_series, real_files
from tests.e2e.stack import data_set_of
from tests.interop.conftest import live_router, pynetdicom_scp, run_blocking

VERIFICATION = "1.2.840.10008.1.1"
PRIVATE_SOP_CLASS = UID("1.2.826.0.1.3680043.8.498.77")


def role_selection() -> SCP_SCU_RoleSelectionNegotiation:
    item = SCP_SCU_RoleSelectionNegotiation()
    item.sop_class_uid, item.scu_role, item.scp_role = CTImageStorage, True, False
    return item


def async_operations() -> AsynchronousOperationsWindowNegotiation:
    item = AsynchronousOperationsWindowNegotiation()
    item.maximum_number_operations_invoked = item.maximum_number_operations_performed = 5
    return item


def user_identity() -> UserIdentityNegotiation:
    item = UserIdentityNegotiation()
    item.user_identity_type, item.primary_field = 1, b"radiographer"
    item.positive_response_requested = True
    return item


def send(
    port: int, paths: Sequence[Path], extended: Sequence[Any], max_pdu: int = 16384
) -> list[int]:
    """Statuses of the files, sent one after the other on one association."""
    ae = AE("PYNETDICOM")
    ae.add_requested_context(VERIFICATION)
    for path in paths:
        head = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        ae.add_requested_context(head.SOPClassUID, head.file_meta.TransferSyntaxUID)
    association = ae.associate(
        "127.0.0.1", port, ae_title="ROUTER", ext_neg=list(extended), max_pdu=max_pdu
    )
    assert association.is_established
    assert association.send_c_echo().Status == 0
    answers = [association.send_c_store(path).Status for path in paths]
    association.release()
    return answers


@contextmanager
def writer(answers: Sequence[int], max_pdu: int = 16384) -> Iterator[tuple[int, list[bytes]]]:
    """An SCP that answers with these statuses, the last one from then on; what it stored."""
    stored: list[bytes] = []
    left = list(answers)

    def handle(event: Any) -> int:
        status = left.pop(0) if len(left) > 1 else left[0]
        if status == 0 or status & 0xF000 == 0xB000:
            stored.append(event.request.DataSet.getvalue())
        return status

    ae = AE("WRITER")
    ae.maximum_pdu_size = max_pdu
    ae.supported_contexts = []
    ae.add_supported_context(VERIFICATION)
    for file in real_files():
        ae.add_supported_context(file.sop_class_uid, file.transfer_syntax_uid)
    with pynetdicom_scp(ae, {evt.EVT_C_STORE: handle}) as port:
        yield port, stored


@pytest.mark.parametrize(
    "extended",
    [[], [role_selection()], [async_operations()], [user_identity()]],
    ids=["plain", "role selection", "asynchronous operations", "user identity"],
)
async def test_every_extended_negotiation_is_answered_and_the_instance_accepted(
    data_folder: Path, tmp_path: Path, extended: list[Any]
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=2, rows=32, columns=32)
    async with live_router(data_folder, "{}") as router:
        assert await run_blocking(send, router.port, paths, extended) == [0, 0]


@pytest.mark.parametrize("max_pdu", [0, 4096, 131_072])
async def test_whatever_length_of_pdu_is_agreed_the_bytes_are_the_same(
    data_folder: Path, tmp_path: Path, max_pdu: int
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=3, rows=200, columns=200)
    with writer([0], max_pdu) as (port, stored):
        candidate = f"{{WRITER: {{host: 127.0.0.1, port: {port}}}}}"
        async with live_router(data_folder, candidate) as router:
            await run_blocking(partial(send, max_pdu=max_pdu), router.port, paths, [])
            await router.settled(studies=1)

    assert sorted(stored) == sorted(map(data_set_of, paths))


async def test_an_unknown_sop_class_is_accepted_and_delivered(
    data_folder: Path, tmp_path: Path
) -> None:
    [path] = make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8)
    data_set = pydicom.dcmread(path)
    data_set.SOPClassUID = data_set.file_meta.MediaStorageSOPClassUID = PRIVATE_SOP_CLASS
    data_set.save_as(path, enforce_file_format=True)
    async with live_router(data_folder, "{}") as router:
        assert await run_blocking(send, router.port, [path], []) == [0]


async def test_an_instance_that_a_writer_refuses_for_good_leaves_the_rest_delivered(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=4, rows=8, columns=8)
    with writer([0, 0xC000, 0xA700, 0]) as (port, stored):
        candidate = f"{{WRITER: {{host: 127.0.0.1, port: {port}, associations: 1}}}}"
        async with live_router(data_folder, candidate) as router:
            await run_blocking(send, router.port, paths, [])
            answer = await router.until(
                "the delivery is dead",
                lambda answer: any(one["state"] == "dead" for one in answer["deliveries"]),
                "/deliveries",
            )

    [delivery] = answer["deliveries"]
    assert (delivery["delivered"], delivery["refused"]) == (3, 1)
    assert "cannot understand (C000)" in delivery["reason"]
    assert len(stored) == 3


async def test_a_writer_that_answers_with_a_warning_holds_the_instance(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=2, rows=8, columns=8)
    with writer([0xB000]) as (port, stored):
        candidate = f"{{WRITER: {{host: 127.0.0.1, port: {port}}}}}"
        async with live_router(data_folder, candidate) as router:
            await run_blocking(send, router.port, paths, [])
            await router.settled(studies=1)

    assert len(stored) == 2
