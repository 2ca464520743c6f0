"""The judge of the matrix is judged: it sees what must not be called a success."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLosslessSV1

from tests.interop.cells import SAME, Mark, change, sent_and_held
from tests.interop.encodings import ENCODINGS
from tests.interop.senders import PYNETDICOM
from tests.interop.tap import Carried, tap
from tests.interop.writers import WRITERS, instance_of

BY_NAME = {encoding.name: encoding for encoding in ENCODINGS}


def instance(name: str, folder: Path) -> Carried:
    """The first file of an encoding."""
    found = instance_of(BY_NAME[name].files(folder)[0].read_bytes())
    assert found is not None
    return found[1]


@pytest.fixture
def explicit(tmp_path: Path) -> Carried:
    return instance("Explicit VR LE", tmp_path)


def test_nothing_was_done_to_the_same_bytes(explicit: Carried) -> None:
    assert change(explicit, replace(explicit)) == ""


def test_the_element_whose_value_is_another_is_named(explicit: Carried) -> None:
    other = replace(explicit, data_set=explicit.data_set.replace(b"Test^Pat", b"Best^Pat"))

    assert change(explicit, other) == "re-encoded, changes PatientName"


def test_an_element_that_is_missing_is_named(explicit: Carried) -> None:
    sex = b"\x10\x00\x40\x00CS\x02\x00O "
    other = replace(explicit, data_set=explicit.data_set.replace(sex, b""))

    assert change(explicit, other) == "re-encoded, changes PatientSex"


def test_pixels_under_the_wrong_label_are_named(tmp_path: Path) -> None:
    jpeg = instance("JPEG lossless", tmp_path)
    assert jpeg.transfer_syntax == JPEGLosslessSV1

    other = replace(jpeg, transfer_syntax=ExplicitVRLittleEndian)

    assert change(jpeg, other) == "encapsulated under Explicit VR LE"


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    deflated = instance("Deflated", tmp_path)

    assert change(deflated, replace(deflated, data_set=b"not deflated")) == "not readable"


def test_what_was_sent_and_is_held_with_one_other_byte_is_lost(tmp_path: Path) -> None:
    paths = BY_NAME["Implicit VR LE"].files(tmp_path / "files")
    with WRITERS["dcmtk"](tmp_path / "writer") as writer:
        with tap(writer.port) as tapped:
            PYNETDICOM.store(tapped.port, paths)
        held = writer.held()
    uid = paths[0].stem
    assert held[uid].transfer_syntax == ImplicitVRLittleEndian
    assert sent_and_held(held, tapped, held) == SAME
    other = replace(held[uid], data_set=held[uid].data_set[:-1] + b"!")

    assert sent_and_held(held, tapped, {uid: other}).mark is Mark.LOST
    assert sent_and_held(held, tapped, {}).mark is Mark.LOST
    assert sent_and_held({uid: other}, tapped, held).mark is Mark.CHANGED
    tapped.associations.clear()
    assert sent_and_held(held, tapped, held).mark is Mark.ABSENT
