"""Files that are unusable, each in one way, which commands must refuse. A function takes a folder, returns a path."""

from __future__ import annotations

import nibabel as nib
import numpy as np

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


def nifti(path, array, affine=AFFINE):
    """Write an array indexed [i, j, k], without any validation."""
    image = nib.Nifti1Image(array, None)
    # nibabel would derive a valid qform from an invalid affine, or fail.
    image.header.set_sform(affine, code=1)
    nib.save(image, path)
    return path


def noise(shape, low, high):
    return np.random.default_rng(7).uniform(low, high, size=shape).astype(np.float32)


def missing(folder):
    return folder / "missing.nii.gz"


def zero_bytes(folder):
    (folder / "bad.nii.gz").write_bytes(b"")
    return folder / "bad.nii.gz"


def text_file(folder):
    (folder / "bad.nii").write_text("patient moved, scan repeated\n" * 40)
    return folder / "bad.nii"


def truncated(folder):
    path = nifti(folder / "bad.nii.gz", noise((20, 20, 20), 0, 9))
    path.write_bytes(path.read_bytes()[:9000])
    return path


def truncated_uncompressed(folder):
    path = nifti(folder / "bad.nii", noise((20, 20, 20), 0, 9))
    path.write_bytes(path.read_bytes()[:9000])
    return path


def four_dimensions(folder):
    return nifti(folder / "bad.nii", noise((6, 6, 6, 5), 0, 9))


def two_dimensions(folder):
    return nifti(folder / "bad.nii", noise((6, 6), 0, 9))


def colors(folder):
    return nifti(folder / "bad.nii", np.zeros((6, 6, 6), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]))


def complex_numbers(folder):
    return nifti(folder / "bad.nii", noise((6, 6, 6), 0, 9).astype(np.complex64))


def empty(folder):
    path = nifti(folder / "bad.nii", noise((6, 6, 6), 0, 9))
    content = bytearray(path.read_bytes())
    content[42:44] = (0).to_bytes(2, "little")  # dim[1]
    path.write_bytes(content)
    return path


def singular_affine(folder):
    return nifti(folder / "bad.nii", noise((6, 6, 6), 0, 9), np.diag([1.0, 0.0, 1.0, 1.0]))


def sheared_affine(folder):
    affine = np.eye(4)
    affine[0, 1] = 0.4
    return nifti(folder / "bad.nii", noise((6, 6, 6), 0, 9), affine)


def no_format(folder):
    (folder / "notes.txt").write_text("nothing")
    return folder / "notes.txt"


def empty_folder(folder):
    (folder / "study").mkdir()
    return folder / "study"
