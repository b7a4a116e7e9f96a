"""The file formats: one record each, which is all that the rest of the program knows about a format.

A new format is a module in this folder with `read` and `write`, and its record here. DICOM has no record, because it is
recognized by content, read from folders, and written as a series.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Format:
    """The properties of a file format.

    Attributes:
        name: Name for users.
        room: Module of this folder that reads and writes it.
        library: Package that the module needs.
        suffixes: Suffixes of file names for reading, in lower case.
        written: The suffixes for writing, the preferred one first.
        keeps: Fields of the `FileHeader` that survive writing and reading.
        copies: Copies of the voxels that its writer creates in memory.
        streamed: Whether it is written plane by plane, so that a result may exceed the memory.
        compresses: Whether the writer has an option for compression, which the suffix does not determine.
        single_file: For a suffix of a two-file format, the suffix of the equivalent single file.
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
        # Header and voxels in two files cannot be replaced in one step, and users separate them.
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
    """Return the suffix that determines the format of a file, in lower case; ``.nii.gz`` counts as one."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()


def format_of(path: Path) -> Format | None:
    """Return the format with the suffix of a file name, or None."""
    return next((known for known in FORMATS if suffix_of(path) in known.suffixes), None)


def is_half(path: Path) -> bool:
    """Return whether a file only contains the voxels for a separate header."""
    known = format_of(path)
    return known is not None and suffix_of(path) in known.halves


def single_file_suffix(path: Path) -> str:
    """Return a single-file suffix for a volume that cannot be written in its own format; by default, that of NIfTI."""
    known = format_of(path)
    return known.single_file.get(suffix_of(path), FORMATS[0].written[0]) if known else FORMATS[0].written[0]
