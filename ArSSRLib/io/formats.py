"""The file formats: one record each, which is all that the rest of the program knows about them.

A new format is a module in this folder with `read` and `write`, and its record here. DICOM is none of them: it is told
by content, is read from folders, and is written as a series.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Format:
    """Facts of a file format.

    Attributes:
        name: What people call it.
        room: Module of this folder that reads and writes it.
        library: Package that the module needs.
        suffixes: Ends of file names that are read, in lower case.
        written: Those of them that are written, the preferred one first.
        keeps: Fields of the `FileHeader` that survive writing and reading.
        copies: Copies of the voxels that its writer makes in memory.
        streamed: Whether it is written plane by plane, so that a result may be larger than the memory.
        compresses: Whether the writer has a choice of making the file small, which the suffix does not tell.
        single_file: For a suffix of a format in two files, the one in which both are together.
        halves: Suffixes of files that only belong to a header of the same name.
    """

    name: str
    room: str
    library: str
    suffixes: tuple[str, ...]
    written: tuple[str, ...]
    keeps: frozenset[str]
    copies: int = 0
    streamed: bool = False
    compresses: bool = False
    single_file: Mapping[str, str] = field(default_factory=dict)
    halves: tuple[str, ...] = ()


FORMATS = (
    Format(
        name="NIfTI",
        room="nifti",
        library="nibabel",
        suffixes=(".nii", ".nii.gz", ".hdr", ".img"),
        written=(".nii.gz", ".nii"),
        keeps=frozenset({"dtype", "scaled", "description", "qform_code", "sform_code", "metadata"}),
        streamed=True,
        # Header and voxels in two files cannot be replaced in one step, and get separated by users.
        single_file={".hdr": ".nii.gz", ".img": ".nii.gz"},
        halves=(".img",),
    ),
    Format(
        name="NRRD",
        room="itk",
        library="SimpleITK",
        suffixes=(".nrrd", ".nhdr"),
        written=(".nrrd",),
        keeps=frozenset({"dtype", "description"}),
        copies=1,
        compresses=True,
        single_file={".nhdr": ".nrrd"},
    ),
    Format(
        name="MetaImage",
        room="itk",
        library="SimpleITK",
        suffixes=(".mha", ".mhd"),
        written=(".mha",),
        keeps=frozenset({"dtype"}),
        copies=2,
        compresses=True,
        single_file={".mhd": ".mha"},
    ),
    Format(
        name="MGH",
        room="nifti",
        library="nibabel",
        suffixes=(".mgh", ".mgz"),
        written=(".mgz", ".mgh"),
        keeps=frozenset({"dtype"}),
    ),
)
SUPPORTED_SUFFIXES = tuple(suffix for known in FORMATS for suffix in known.suffixes)
WRITABLE_SUFFIXES = tuple(suffix for known in FORMATS for suffix in known.written)
STREAMED_SUFFIXES = tuple(suffix for known in FORMATS if known.streamed for suffix in known.written)
DICOM_SUFFIXES = (".dcm", ".ima")
DICOM_LIBRARIES = "SimpleITK and pydicom"


def suffix_of(path: Path) -> str:
    """Return the end of a file name that tells its format, in lower case; ``.nii.gz`` counts as one."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()


def format_of(path: Path) -> Format | None:
    """Return the format that the end of a file name tells, or None."""
    return next((known for known in FORMATS if suffix_of(path) in known.suffixes), None)


def is_half(path: Path) -> bool:
    """Tell whether a file only holds the voxels for the header of another one."""
    known = format_of(path)
    return known is not None and suffix_of(path) in known.halves


def single_file_suffix(path: Path) -> str:
    """Return the suffix of one file for a volume that is not written as it was read; by default that of NIfTI."""
    known = format_of(path)
    return known.single_file.get(suffix_of(path), FORMATS[0].written[0]) if known else FORMATS[0].written[0]
