"""Detection of content from the first bytes of a file, regardless of its name: DICOM, compression, and pointers."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import BinaryIO

from ArSSRLib.errors import InputError
from ArSSRLib.io.formats import DICOM_SUFFIXES, suffix_of

# Contents of pointer files, and how to get the actual content. On systems without links, git writes the path of the
# link into the file.
_POINTERS = (
    (re.compile(rb"version https://git-lfs"), "Git LFS", "git lfs pull"),
    (re.compile(rb"(\.\.[/\\])*(\.git)?[/\\]annex[/\\]objects[/\\]"), "git-annex", "git annex get or datalad get"),
)
_LONGEST_POINTER = 1024
_GZIP, _BZIP2 = b"\x1f\x8b", b"BZh"
# First four bytes of uncompressed files: the size of a NIfTI header in either byte order, the version of MGH.
_BEGINNINGS = {
    ".nii.gz": [struct.pack(f"{order}i", size) for order in "<>" for size in (348, 540)],
    ".mgz": [struct.pack(">i", 1)],
}
# Suffixes of volumes that are compressed as a whole.
COMPRESSED_SUFFIXES = tuple(_BEGINNINGS)


def dicom_start(stream: BinaryIO) -> str:
    """Return how a DICOM file begins: with a "preamble", or "bare", with its attributes; empty if it is not DICOM.

    The stream is at the start of the file, to which it is reset.
    """
    start = stream.read(132)
    stream.seek(0)
    if start[128:] == b"DICM":
        return "preamble"
    if len(start) < 132:
        return ""
    # The first attribute is of group 2 or 8, followed by the two letters of its type or by its length.
    group, element, length = struct.unpack_from("<HHI", start)
    typed = start[4:6].isalpha() and start[4:6].isupper()
    return "bare" if group in (2, 8) and element <= 0x100 and (typed or length < 2**10) else ""


def is_dicom_file(path: Path, *, named: bool) -> bool:
    """Return whether a file is DICOM by its content; one that is named like another format needs a preamble."""
    with path.open("rb") as stream:
        start = dicom_start(stream)
    return start == "preamble" or (bool(start) and not named)


def refuse_misnamed(path: Path) -> None:
    """Refuse a file with a name in .gz that is not compressed, or the reverse.

    Raises:
        InputError: If the name is wrong; the message has the correct name.
    """
    suffix, name = suffix_of(path), path.name
    with path.open("rb") as file:
        start = file.read(4)
    zipped, named_so = start.startswith(_GZIP), suffix in COMPRESSED_SUFFIXES
    if zipped and not named_so:
        renamed = {".nii": f"{name}.gz", ".mgh": f"{name[:-4]}.mgz"}.get(suffix)
        advice = f"rename it to {renamed}" if renamed else "decompress it first, for example with gunzip"
        msg = f"is compressed with gzip, although its extension does not say so; {advice}"
        raise InputError(msg)
    if named_so and not zipped and start in _BEGINNINGS[suffix]:
        renamed = name[:-3] if suffix == ".nii.gz" else f"{name[:-4]}.mgh"
        msg = f"is not compressed, although its extension says so; rename it to {renamed}"
        raise InputError(msg)
    if start.startswith(_BZIP2):
        msg = (
            "is compressed with bzip2, which is not supported; decompress it first, or compress it with gzip if it "
            "is NIfTI"
        )
        raise InputError(msg)
    if named_so and not zipped:
        msg = (
            "is not compressed with gzip, although its extension says so, nor is it an uncompressed volume; copy "
            "or export it again"
        )
        raise InputError(msg)


def refuse_lone_half(path: Path) -> None:
    """Refuse a NIfTI volume in two files if one of them is missing.

    Raises:
        InputError: If the other file is missing, or only a pointer.
    """
    wanted = {".hdr": (".img", ".img.gz"), ".img": (".hdr", ".hdr.gz")}.get(path.suffix.lower(), ())
    others = [entry for entry in path.parent.iterdir() if entry.name.lower().endswith(wanted)] if wanted else []
    mine = [entry for entry in others if entry.name.partition(".")[0] == path.name.partition(".")[0]]
    for other in mine:
        refuse_unfetched(other)
    if wanted and not mine:
        what = "voxels" if path.suffix.lower() == ".hdr" else "header"
        msg = (
            f"is only half of a volume: {path.stem}{wanted[0]}, the file with its {what}, does not exist; copy it "
            "into the same folder"
        )
        raise InputError(msg)


def refuse_unfetched(path: Path) -> None:
    """Refuse a file whose content was not fetched, which git-annex and Git LFS replace by a pointer.

    Raises:
        InputError: If the file is a pointer.
    """
    if path.is_symlink() and not path.exists():
        annex = ".git/annex" in os.readlink(path).replace(os.sep, "/")
        how = "fetch its content first with git annex get or datalad get" if annex else "correct the link"
        msg = f"{path.name} is a link to a file that does not exist ({os.readlink(path)}); {how}"
        raise InputError(msg)
    if path.is_file() and path.stat().st_size < _LONGEST_POINTER:
        with path.open("rb") as file:
            start = file.read(_LONGEST_POINTER)
        for pattern, tool, how in _POINTERS:
            if pattern.match(start):
                msg = f"{path.name} is a {tool} pointer whose content has not been fetched; run {how} first"
                raise InputError(msg)


def may_be_slice(path: Path) -> bool:
    """Return whether an entry of a folder may be a DICOM file; broken links are recognized by their names."""
    if path.name.startswith("."):
        return False
    suffix = suffix_of(path)
    by_name = suffix in ("", *DICOM_SUFFIXES) or suffix[1:].isdecimal()
    return path.is_file() or (path.is_symlink() and not path.exists() and by_name)
