"""Small data sets of operations other than C-STORE, read and written by pydicom.

pydicom is imported when the first of them comes: most routers never need it, and it takes 20 MB.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from router.dicom import uids
from router.domain.errors import CannotUnderstand

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def read_data_set(data: bytes, transfer_syntax_uid: str, what: str) -> Dataset:
    """The data set; raises ``CannotUnderstand``, which says ``what`` cannot be read."""
    try:
        data_set = _parse(data, transfer_syntax_uid)
        data_set.decode()
    except Exception as error:
        raise CannotUnderstand(f"{what} cannot be read: {error}") from error
    return data_set


def _parse(data: bytes, transfer_syntax_uid: str) -> Dataset:
    from pydicom.filereader import read_dataset

    return read_dataset(
        BytesIO(data),
        uids.is_implicit_vr(transfer_syntax_uid),
        not uids.is_big_endian(transfer_syntax_uid),
    )


def write_data_set(data_set: Dataset, transfer_syntax_uid: str) -> bytes:
    """The bytes of the data set."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    stream = DicomBytesIO()
    stream.is_little_endian = not uids.is_big_endian(transfer_syntax_uid)
    stream.is_implicit_VR = uids.is_implicit_vr(transfer_syntax_uid)
    write_dataset(stream, data_set)
    return stream.getvalue()
