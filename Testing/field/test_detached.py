"""Voxels of NRRD and MetaImage in several files: all files are read, and the message names a missing one."""

from __future__ import annotations

import numpy as np
import pytest
from nrrd_files import IN_SPACE, nrrd, voxels

from ArSSRLib.errors import InputError
from ArSSRLib.io import read_volume

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def pieces(folder, kind: str):
    """Write a header whose voxels are in six files, one for each slice, and return it.

    Args:
        folder: Folder for the files.
        kind: File extension, and how the header names the files: a "list" or a "pattern".
    """
    suffix, how = kind.split()
    for k, piece in enumerate(voxels().T):
        (folder / f"slice{k + 1:02d}.raw").write_bytes(piece.tobytes())
    names = [f"slice{k + 1:02d}.raw" for k in range(6)]
    path = folder / f"a{suffix}"
    if suffix == ".nhdr":
        last = ["data file: LIST", *names] if how == "list" else ["data file: slice%02d.raw 1 6 1"]
        nrrd(path, *IN_SPACE, *last, data=b"")
        path.write_bytes(path.read_bytes().rstrip() + (b"\n" if how == "list" else b"\n\n"))
    else:
        head = ["ObjectType = Image", "NDims = 3", "BinaryData = True", "TransformMatrix = 1 0 0 0 1 0 0 0 1"]
        grid = ["Offset = 5 6 7", "ElementSpacing = 1 1 2", "DimSize = 4 5 6", "ElementType = MET_SHORT"]
        last = ["LIST", *names] if how == "list" else ["slice%02d.raw 1 6 1"]
        path.write_text("\n".join([*head, *grid, f"ElementDataFile = {last[0]}", *last[1:], ""]))
    return path


KINDS = pytest.mark.parametrize("kind", [".nhdr list", ".nhdr pattern", ".mhd list", ".mhd pattern"])


@KINDS
def test_voxels_in_several_files_are_read(tmp_path, kind):
    np.testing.assert_array_equal(read_volume(pieces(tmp_path, kind)).array, voxels().T)


@KINDS
@pytest.mark.parametrize("pointer", [False, True])
def test_the_file_that_is_missing_among_several_is_named(tmp_path, kind, pointer):
    path = pieces(tmp_path, kind)
    (tmp_path / "slice04.raw").unlink()
    if pointer:
        (tmp_path / "slice04.raw").write_bytes(POINTER)

    with pytest.raises(InputError, match="git lfs pull" if pointer else r"slice04\.raw, which does not exist"):
        read_volume(path)


@pytest.mark.parametrize("counted", ["slice%02d.raw 1 999999999 1", "slice%02d.raw 6 1 0", "slice%02d.raw 1 x", "LIST"])
def test_impossible_file_counts_are_refused(tmp_path, counted):
    with pytest.raises(InputError):
        read_volume(nrrd(tmp_path / "a.nhdr", *IN_SPACE, f"data file: {counted}", data=b""))
