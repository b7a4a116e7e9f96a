"""NIfTI files written by nibabel alone, with any header."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2.5, -72], [0, 0, 0, 1]])


def save(path: Path, *, array=None, sform=None, qform=None, edit=lambda header: None, kind=nib.Nifti1Image) -> Path:
    """Write a NIfTI file with nibabel alone; a form is an affine and a code."""
    image = kind(np.zeros((4, 5, 6), np.int16) if array is None else array, None)
    image.header.set_sform(*(sform or (None, 0)))
    image.header.set_qform(*(qform or (None, 0)))
    edit(image.header)
    image.to_filename(path)
    return path
