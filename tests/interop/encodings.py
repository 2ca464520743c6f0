"""What is sent through the matrix: each encoding, and files in it that say nothing else new.

Frames of compressed pixel data are opaque to a router: it is the label that is negotiated and the
fragments that are carried. Where no real frame is at hand (HTJ2K, MPEG-4) another one stands in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    HTJ2K,
    MPEG4HP41,
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    VideoPhotographicImageStorage,
    generate_uid,
)

PRIVATE_SOP_CLASS = UID("1.2.826.0.1.3680043.8.498.77")

CHARACTER_SETS: dict[str, str] = {
    "": "Smith^John",
    "ISO_IR 13": "ﾔﾏﾀﾞ^ﾀﾛｳ",
    "ISO_IR 100": "Müller^Jörg",
    "ISO_IR 101": "Wałęsa^Łukasz",
    "ISO_IR 109": "Ĉapek^Ĝusto",
    "ISO_IR 110": "Ķēniņš^Ģirts",
    "ISO_IR 126": "Διονυσιος",
    "ISO_IR 127": "قباني^لنزار",
    "ISO_IR 138": "שרון^דבורה",
    "ISO_IR 144": "Люкceмбypг",
    "ISO_IR 148": "Çavuşoğlu^Işıl",
    "ISO_IR 166": "สมชาย^ใจดี",
    "ISO_IR 192": "王^小东=山田^太郎",
    "GB18030": "王^小东",
    "GBK": "王^小东",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎",
    "ISO 2022 IR 13\\ISO 2022 IR 87": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
    "\\ISO 2022 IR 149": "Hong^Gildong=洪^吉洞",
    "\\ISO 2022 IR 58": "Zhang^XiaoDong=张^小东",
    "ISO 2022 IR 100\\ISO 2022 IR 126": "Müller^Διον",
}
"""Specific Character Set to a name that needs it."""


@dataclass(frozen=True)
class Encoding:
    """A row of the matrix. ``note`` says what the files do not show."""

    name: str
    transfer_syntax: UID
    make: Callable[[UID], Iterator[Dataset]]
    note: str = ""

    def files(self, folder: Path) -> list[Path]:
        """New files of this encoding, each of a study of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        return [self._save(data_set, folder) for data_set in self.make(self.transfer_syntax)]

    def _save(self, data_set: Dataset, folder: Path) -> Path:
        path = folder / f"{data_set.SOPInstanceUID}.dcm"
        data_set.file_meta = FileMetaDataset()
        data_set.file_meta.TransferSyntaxUID = self.transfer_syntax
        data_set.save_as(path, enforce_file_format=True)
        return path


def _head(sop_class: UID, modality: str) -> Dataset:
    head = Dataset()
    head.SOPClassUID, head.SOPInstanceUID = sop_class, generate_uid()
    head.StudyInstanceUID, head.SeriesInstanceUID = generate_uid(), generate_uid()
    head.Modality, head.InstitutionName = modality, "Test Hospital"
    head.PatientName, head.PatientID = "Test^Patient", "T-1"
    head.PatientBirthDate, head.PatientSex = "19700101", "O"
    head.StudyDate, head.StudyTime, head.StudyID = "20260101", "120000", "1"
    head.AccessionNumber, head.ReferringPhysicianName = "A-1", "Referring^Physician"
    head.SeriesNumber, head.InstanceNumber = 1, 1
    return head


def _with_pixels(head: Dataset) -> Dataset:
    head.SamplesPerPixel, head.PhotometricInterpretation = 1, "MONOCHROME2"
    head.Rows, head.Columns = 32, 32
    head.BitsAllocated, head.BitsStored, head.HighBit = 16, 12, 11
    head.PixelRepresentation = 0
    return head


def _native(_: UID) -> Iterator[Dataset]:
    image = _with_pixels(_head(CTImageStorage, "CT"))
    image.PixelData = bytes(number % 251 for number in range(64)) * 32
    image["PixelData"].VR = "OW"
    yield image


def _private(_: UID) -> Iterator[Dataset]:
    [image] = _native(ExplicitVRLittleEndian)
    image.SOPClassUID = PRIVATE_SOP_CLASS
    image.private_block(0x0099, "DICOM ROUTER TEST", create=True).add_new(1, "LO", "private")
    yield image


def _frames_of(name: str) -> Callable[[UID], Iterator[Dataset]]:
    """An image that carries the first frame of a real, compressed file."""

    def make(_: UID) -> Iterator[Dataset]:
        real = pydicom.dcmread(str(get_testdata_file(name, download=False)))
        image = _head(SecondaryCaptureImageStorage, "OT")
        for keyword in (
            "SamplesPerPixel",
            "PhotometricInterpretation",
            "PlanarConfiguration",
            "Rows",
            "Columns",
            "BitsAllocated",
            "BitsStored",
            "HighBit",
            "PixelRepresentation",
        ):
            if keyword in real:
                setattr(image, keyword, real[keyword].value)
        frame = next(generate_frames(real.PixelData, number_of_frames=1))
        image.PixelData = encapsulate([frame])
        image["PixelData"].VR = "OB"
        yield image

    return make


def _pdf(_: UID) -> Iterator[Dataset]:
    document = _head(EncapsulatedPDFStorage, "DOC")
    document.BurnedInAnnotation, document.ConversionType = "YES", "WSD"
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document.EncapsulatedDocument = b"%PDF-1.4\n" + bytes(range(256)) + b"\n%%EOF\n\n"
    yield document


def _video(_: UID) -> Iterator[Dataset]:
    video = _with_pixels(_head(VideoPhotographicImageStorage, "XC"))
    video.NumberOfFrames, video.FrameIncrementPointer = 2, 0x00181063
    video.FrameTime = "40"
    video.PixelData = encapsulate([b"\0\0\0\x18ftypmp42" + bytes(4096)], has_bot=False)
    video["PixelData"].VR = "OB"
    yield video


def _character_sets(_: UID) -> Iterator[Dataset]:
    for character_set, name in CHARACTER_SETS.items():
        [image] = _native(ExplicitVRLittleEndian)
        if character_set:
            image.SpecificCharacterSet = character_set.split("\\")
        image.PatientName = name
        yield image


J2K = "693_J2KI.dcm"

ENCODINGS: tuple[Encoding, ...] = (
    Encoding("Implicit VR LE", ImplicitVRLittleEndian, _native),
    Encoding("Explicit VR LE", ExplicitVRLittleEndian, _native),
    Encoding("Explicit VR BE", ExplicitVRBigEndian, _native),
    Encoding("Deflated", DeflatedExplicitVRLittleEndian, _native),
    Encoding("JPEG baseline", JPEGBaseline8Bit, _frames_of("SC_rgb_jpeg_dcmtk.dcm")),
    Encoding("JPEG lossless", JPEGLosslessSV1, _frames_of("SC_rgb_jpeg_gdcm.dcm")),
    Encoding("JPEG-LS", JPEGLSLossless, _frames_of("MR_small_jpeg_ls_lossless.dcm")),
    Encoding("JPEG 2000", JPEG2000Lossless, _frames_of(J2K)),
    Encoding("HTJ2K", HTJ2K, _frames_of(J2K), "a JPEG 2000 frame under this label"),
    Encoding("RLE", RLELossless, _frames_of("rtdose_rle_1frame.dcm")),
    Encoding("PDF", ExplicitVRLittleEndian, _pdf, "an Encapsulated PDF object"),
    Encoding("MPEG-4", MPEG4HP41, _video, "the start of an MP4 file, no film"),
    Encoding("Private SOP class", ExplicitVRLittleEndian, _private, "and private elements"),
    Encoding(
        "Character sets",
        ExplicitVRLittleEndian,
        _character_sets,
        f"{len(CHARACTER_SETS)} files, each in another Specific Character Set",
    ),
)
