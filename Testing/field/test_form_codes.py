"""Form codes not defined by NIfTI: the result is aligned with its source in every program, whichever form it reads."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from nifti_files import AFFINE, save

from ArSSRLib.io import read_volume, write_volume
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import upsample

PLAIN = UpsamplingOptions(device="cpu", precision="fp32")


@pytest.mark.parametrize(("sform", "qform"), [(-1, -1), (0, -3), (-2, 0), (-2, 1), (1, -2)])
@pytest.mark.parametrize("turned", [False, True])
def test_source_and_result_with_a_negative_code_are_aligned_in_every_program(
    tmp_path, tiny_model, sform, qform, turned
):
    other = AFFINE @ np.diag([1, 1, -1, 1]) if turned else AFFINE
    voxels = np.random.default_rng(2).integers(0, 900, (4, 5, 6)).astype(np.int16)
    path = save(tmp_path / "a.nii", array=voxels, sform=(AFFINE, 1), qform=(other, 1))
    content = bytearray(path.read_bytes())
    content[252:256] = np.array([qform, sform], "<i2").tobytes()
    path.write_bytes(content)

    result = write_volume(upsample(read_volume(path), tiny_model, 1.5, PLAIN), tmp_path / "b.nii")

    # ITK ignores a form with a negative code, and places the first voxel of source and result at the origin.
    before, after = sitk.ReadImage(str(path)), sitk.ReadImage(str(result))
    np.testing.assert_allclose(after.GetDirection(), before.GetDirection(), atol=1e-6)
    corner = [0.0] * 3 if before.GetOrigin() == (0, 0, 0) else [-0.5] * 3
    ends = [image.TransformContinuousIndexToPhysicalPoint(corner) for image in (before, after)]
    np.testing.assert_allclose(*ends, atol=1e-4)


@pytest.mark.parametrize(("unit", "length"), [("mm", 1.0), ("meter", 1000.0), ("micron", 1e-3)])
@pytest.mark.parametrize(("shift", "differ"), [(0.5, True), (2e-4, False)])
def test_two_forms_are_compared_in_mm_in_any_unit(tmp_path, caplog, unit, length, shift, differ):
    affine, other = (np.diag([*[2 / length] * 3, 1.0]) for _ in range(2))
    other[0, 3] = shift / length
    path = save(
        tmp_path / "a.nii", sform=(affine, 1), qform=(other, 1), edit=lambda header: header.set_xyzt_units(unit)
    )

    assert read_volume(path).geometry.spacing == pytest.approx((2, 2, 2))
    assert ("place the voxels differently" in caplog.text) == differ


@pytest.mark.parametrize(
    ("forms", "warned"),
    [({"qform": (AFFINE, 1)}, True), ({"sform": (AFFINE, 1)}, False), ({}, True)],
)
def test_a_spacing_of_0_causes_a_warning_where_it_counts(tmp_path, caplog, forms, warned):
    path = save(tmp_path / "a.nii", **forms)
    content = bytearray(path.read_bytes())
    content[80:92] = bytes(12)
    path.write_bytes(content)

    assert read_volume(path).geometry.spacing == pytest.approx((1, 1, 1) if warned else (2, 2, 2.5))
    assert ("states no voxel spacing along an axis; 1 mm is assumed" in caplog.text) == warned
