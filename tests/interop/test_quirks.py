"""What is odd about each peer, one test each: it is seen on the wire, and the router lives with it.

Which encodings a peer changes, and how, is in ``expected``.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    UserIdentityNegotiation,
)

from router.dicom.part10 import read_file_header
from tests import peers
from tests.e2e.stack import data_set_of, wait_until
from tests.interop import senders
from tests.interop.cells import change
from tests.interop.encodings import ENCODINGS
from tests.interop.measuring import the_router
from tests.interop.programs import node_environment
from tests.interop.senders import CALLED, HOST, Sender, pynetdicom_store, run
from tests.interop.tap import Association, Carried, Tap, tap
from tests.interop.writers import WRITERS, Writer

BY_NAME = {encoding.name: encoding for encoding in ENCODINGS}


@dataclass(frozen=True)
class Router:
    """The router, what its embedded writer holds, and its log."""

    port: int
    writer: Writer
    log: Path

    def takes(self, sender: Sender, paths: list[Path]) -> Association:
        """Send files through a tap: each was acknowledged, and is held as it was on the wire."""
        with tap(self.port) as tapped:
            said = sender.store(tapped.port, paths)
        assert tapped.sent.keys() == {path.stem for path in paths}, said
        assert set(tapped.stored.values()) == {0x0000}, said
        self.holds(tapped)
        [association] = tapped.associations
        return association

    def holds(self, tapped: Tap) -> None:
        """Wait until all that was sent is held."""
        sent = tapped.sent
        wait_until(
            lambda: {uid: self.writer.held().get(uid) for uid in sent} == sent,
            "what was sent is held",
        )


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    folder = tmp_path_factory.mktemp("router")
    with the_router(folder) as writer:
        yield Router(writer.port, writer, folder / "router" / "router.log")


@pytest.fixture
def ct(tmp_path: Path) -> list[Path]:
    """An image in Explicit VR Little Endian."""
    return BY_NAME["Explicit VR LE"].files(tmp_path / "ct")


def file_of(path: Path) -> Carried:
    """What a file holds."""
    return Carried(read_file_header(path.read_bytes()).transfer_syntax_uid, data_set_of(path))


def user_information(association: Association) -> Any:
    """What the requestor said of itself."""
    assert association.request is not None
    return association.request.user_information


def answer_to(association: Association) -> Any:
    """What the router said of itself."""
    assert association.answer is not None
    return association.answer.user_information


# -- odil ------------------------------------------------------------------------------------------


def test_odil_sends_encapsulated_pixel_data_under_an_uncompressed_transfer_syntax(
    router: Router, tmp_path: Path
) -> None:
    """Passed on as it is: what the pixels are is not for a router to say."""
    peers.require("odil")
    [path] = BY_NAME["JPEG lossless"].files(tmp_path / "jpeg")

    association = router.takes(senders.ODIL, [path])

    instance = association.sent[path.stem]
    assert instance.transfer_syntax == ExplicitVRLittleEndian
    assert b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0" in instance.data_set


@pytest.mark.parametrize(("peer", "sender"), [("odil", senders.ODIL), ("ctn", senders.CTN)])
def test_odil_and_ctn_select_a_role_for_storage_and_are_answered(
    peer: str, sender: Sender, router: Router, ct: list[Path]
) -> None:
    peers.require(peer)

    association = router.takes(sender, ct)

    roles = list(user_information(association).role_selection.values())
    assert [(role.scu_role, role.scp_role) for role in roles] == [(1, 0)]
    answered = list(answer_to(association).role_selection.values())
    assert [(role.uid, role.scu_role, role.scp_role) for role in answered] == [(roles[0].uid, 1, 0)]


def test_odil_as_writer_ends_the_association_on_a_deflated_data_set(
    ct: list[Path], tmp_path: Path
) -> None:
    """It reads none; what comes next is stored again."""
    peers.require("odil")
    deflated = BY_NAME["Deflated"].files(tmp_path / "deflated")
    with WRITERS["odil"](tmp_path / "writer") as writer:
        with tap(writer.port) as tapped:
            pynetdicom_store(tapped.port, deflated)
            pynetdicom_store(tapped.port, ct)

        assert tapped.sent.keys() == {deflated[0].stem, ct[0].stem}
        assert tapped.stored == {ct[0].stem: 0x0000}
        assert writer.held().keys() == {ct[0].stem}


# -- CTN -------------------------------------------------------------------------------------------


def test_ctn_resets_the_connection_after_the_release_and_that_is_no_failure(
    router: Router, ct: list[Path]
) -> None:
    peers.require("ctn")
    with tap(router.port) as tapped:
        senders.CTN.store(tapped.port, ct)
    assert [one.ending for one in tapped.associations] == ["released"]
    assert [one.was_reset for one in tapped.associations] == [True]
    senders.CTN.store(router.port, ct)  # without a tap the reset itself gets here

    def endings() -> list[str]:
        lines = router.log.read_text().splitlines()
        return [line for line in lines if "'CTN'" in line or '"CTN"' in line or "=CTN" in line]

    wait_until(lambda: len(endings()) >= 2, "both associations are in the log")
    assert [line for line in endings() if "association released" not in line] == []


def test_ctn_leaves_when_it_does_not_know_the_sop_class_that_it_has_stored(
    router: Router, tmp_path: Path
) -> None:
    peers.require("ctn")

    association = router.takes(senders.CTN, BY_NAME["MPEG-4"].files(tmp_path / "video"))

    assert association.ending == "left"


def test_ctn_as_writer_keeps_implicit_vr_little_endian_without_file_meta(tmp_path: Path) -> None:
    peers.require("ctn")
    [path] = BY_NAME["Implicit VR LE"].files(tmp_path / "implicit")
    with WRITERS["CTN"](tmp_path / "writer") as writer:
        pynetdicom_store(writer.port, [path], called="CTN")
        wait_until(lambda: path.stem in writer.held(), "it is held")

    [kept] = [file for file in (tmp_path / "writer").rglob("*") if file.is_file()]
    assert kept.read_bytes() == data_set_of(path)


# -- gdcm ------------------------------------------------------------------------------------------


def test_gdcmscu_dies_after_its_store_which_counts_all_the_same(
    router: Router, ct: list[Path]
) -> None:
    peers.require("gdcm")
    with tap(router.port) as tapped:
        port = str(tapped.port)
        command = ["/usr/bin/gdcmscu", "--store", *senders.GDCM_AS, port, str(ct[0])]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)

    assert done.returncode < 0
    assert tapped.stored == {ct[0].stem: 0x0000}
    router.holds(tapped)


def test_gdcm_deflates_anew_to_other_bytes_of_the_same_values(
    router: Router, tmp_path: Path
) -> None:
    peers.require("gdcm")
    [path] = BY_NAME["Deflated"].files(tmp_path / "deflated")

    association = router.takes(senders.GDCM, [path])

    assert change(file_of(path), association.sent[path.stem]) == "re-encoded"


# -- PixelMed --------------------------------------------------------------------------------------


def test_pixelmed_proposes_pdus_without_limit(router: Router, ct: list[Path]) -> None:
    peers.require("pixelmed")

    association = router.takes(senders.PIXELMED, ct)

    assert user_information(association).maximum_length == 0


# -- Orthanc ---------------------------------------------------------------------------------------


def test_orthanc_proposes_as_many_contexts_as_it_may_for_one_instance(
    router: Router, ct: list[Path], tmp_path: Path
) -> None:
    with senders.SENDERS["Orthanc"](tmp_path) as sender:
        association = router.takes(sender, ct)

    assert len(association.proposed) >= 100


def test_orthanc_as_writer_deflates_anew_to_other_bytes_of_the_same_values(tmp_path: Path) -> None:
    [path] = BY_NAME["Deflated"].files(tmp_path / "deflated")
    with WRITERS["Orthanc"](tmp_path / "orthanc") as writer:
        pynetdicom_store(writer.port, [path])
        held = writer.held()

    assert change(file_of(path), held[path.stem]) == "re-encoded"


# -- dcmjs-dimse -----------------------------------------------------------------------------------


def test_dcmjs_turns_text_into_utf_8(router: Router, tmp_path: Path) -> None:
    peers.require("dcmjs-dimse")
    greek = BY_NAME["Character sets"].files(tmp_path / "text")[6]

    association = router.takes(senders.DCMJS, [greek])

    data_set = association.sent[greek.stem].data_set
    assert b"ISO_IR 126" in greek.read_bytes()
    assert b"ISO_IR 192" in data_set
    assert "Διονυσιος".encode() in data_set


def test_dcmjs_drops_private_elements(router: Router, tmp_path: Path) -> None:
    peers.require("dcmjs-dimse")
    [path] = BY_NAME["Private SOP class"].files(tmp_path / "private")

    association = router.takes(senders.DCMJS, [path])

    assert b"DICOM ROUTER TEST" in path.read_bytes()
    assert b"DICOM ROUTER TEST" not in association.sent[path.stem].data_set


def test_what_dcmjs_calls_deflated_and_is_not_is_refused_and_the_next_is_taken(
    router: Router, ct: list[Path], tmp_path: Path
) -> None:
    peers.require("dcmjs-dimse")
    [path] = BY_NAME["Deflated"].files(tmp_path / "deflated")
    with tap(router.port) as tapped:
        senders.DCMJS.store(tapped.port, [path, *ct])

    assert tapped.sent[path.stem].data_set.startswith(b"\x08\x00\x16\x00UI")
    assert tapped.stored == {path.stem: 0xC000, ct[0].stem: 0x0000}


def test_dcmjs_as_writer_acknowledges_what_it_cannot_store(tmp_path: Path) -> None:
    """Known from its folder alone: only storage commitment tells a router of such a writer."""
    peers.require("dcmjs-dimse")
    [path] = BY_NAME["Deflated"].files(tmp_path / "deflated")
    with WRITERS["dcmjs-dimse"](tmp_path / "writer") as writer, tap(writer.port) as tapped:
        pynetdicom_store(tapped.port, [path])

        assert tapped.stored == {path.stem: 0x0000}
        assert path.stem not in writer.held()


# -- user identity and asynchronous operations -----------------------------------------------------


def identified(*command: object) -> Sender:
    """A sender whose user says who he is."""
    return Sender(str, lambda port, files: run(*command, port, *files))


def _dcmjs(port: int, files: Sequence[Path], **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in (*senders.DCMJS_PROGRAM, "send", port, *files)],
        env={**os.environ, **node_environment(), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def pynetdicom_echo(router: Router, item: Any) -> Association:
    """An echo on an association that is negotiated with this item, too."""
    with tap(router.port) as tapped:
        ae = AE("PYNETDICOM")
        ae.add_requested_context("1.2.840.10008.1.1")
        association = ae.associate(HOST, tapped.port, ae_title=CALLED, ext_neg=[item])
        association.send_c_echo()
        association.release()
    [seen] = tapped.associations
    return seen


DCMTK_WITH_USER = identified(
    *("/usr/bin/storescu", "-R", "-xe", "-usr", "somebody", "-pwd", "secret", "-rsp"),
    *("-aec", CALLED, HOST),
)
DCMJS_WITH_USER = Sender(str, lambda port, files: _dcmjs(port, files, USER_IDENTITY="somebody"))


@pytest.mark.parametrize(
    ("peer", "sender"), [("dcmtk", DCMTK_WITH_USER), ("dcmjs-dimse", DCMJS_WITH_USER)]
)
def test_dcmtk_and_dcmjs_say_who_their_user_is_and_get_the_answer_that_they_ask_for(
    peer: str, sender: Sender, router: Router, ct: list[Path]
) -> None:
    peers.require(peer)

    association = router.takes(sender, ct)

    identity = user_information(association).user_identity
    assert (identity.primary_field, identity.response_requested) == (b"somebody", True)
    assert answer_to(association).user_identity is not None


def test_pixelmed_says_who_its_user_is(router: Router) -> None:
    peers.require("pixelmed")
    program = "com.pixelmed.network.VerificationSOPClassSCU"
    arguments = (CALLED, "PIXELMED", "NONSECURE", "somebody", "secret")
    with tap(router.port) as tapped:
        run(*senders.JAVA, program, HOST, tapped.port, *arguments)

    [association] = tapped.associations
    assert user_information(association).user_identity.primary_field == b"somebody"
    assert association.echoes == 1


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5])
def test_pynetdicom_says_who_its_user_is_in_every_way(kind: int, router: Router) -> None:
    """User name; with passcode; Kerberos, SAML, JSON web token (PS3.7 table D.3-14)."""
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.primary_field = kind, b"somebody"
    if kind == 2:
        identity.secondary_field = b"secret"
    seen = pynetdicom_echo(router, identity)

    assert user_information(seen).user_identity.user_identity_type == kind
    assert seen.echoes == 1


def window(information: Any) -> tuple[int, int]:
    """Operations that may be invoked, and performed, at a time."""
    item = information.async_ops_window
    return item.maximum_number_operations_invoked, item.maximum_number_operations_performed


def test_dcmjs_asks_for_several_operations_at_a_time_and_is_given_one(
    router: Router, ct: list[Path]
) -> None:
    peers.require("dcmjs-dimse")

    association = router.takes(
        Sender(str, lambda port, files: _dcmjs(port, files, ASYNC_OPS="8")), ct
    )

    assert window(user_information(association)) == (8, 8)
    assert window(answer_to(association)) == (1, 1)


def test_pynetdicom_asks_for_several_operations_at_a_time_and_is_given_one(router: Router) -> None:
    eight = AsynchronousOperationsWindowNegotiation()
    eight.maximum_number_operations_invoked = 8
    eight.maximum_number_operations_performed = 8
    seen = pynetdicom_echo(router, eight)

    assert window(answer_to(seen)) == (1, 1)
    assert seen.echoes == 1
