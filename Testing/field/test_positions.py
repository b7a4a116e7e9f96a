"""Rounded positions and cosines: the stack is read as even and upright, but rounding hides neither tilts nor gaps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import phantoms
import pytest
from dicom_series import write_series

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import read_volume
from ArSSRLib.volume import Volume

TURNED = phantoms.rotation(12, -7, 5)
STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def written(
    folder, geometry: VolumeGeometry, position: Callable[[int, float], str], cosine: str = ".6f", shift=(0, 0, 0)
):
    """Write a series whose positions and direction cosines have few digits, read it, and return its geometry.

    Args:
        folder: Folder for the series.
        geometry: Grid of the volume.
        position: Function that formats a coordinate in mm; it also gets the number of the slice.
        cosine: Format of a component of the orientation.
        shift: Offset of each slice from the previous one, in mm, in addition to the grid.
    """

    def edit(k, dataset):
        place = np.array([float(x) for x in dataset.ImagePositionPatient]) + k * np.array(shift)
        dataset.ImagePositionPatient = [position(k, x) for x in place]
        dataset.ImageOrientationPatient = [format(float(x) + 0.0, cosine) for x in dataset.ImageOrientationPatient]

    array = np.random.default_rng(3).integers(0, 900, geometry.shape).astype(np.int16)
    write_series(folder, Volume(array, geometry), edit=edit)
    return read_volume(folder).geometry


def grid(slices: int, step: float, direction=TURNED, origin=(-112.34, -90.61, -30.17)) -> VolumeGeometry:
    return VolumeGeometry((8, 7, slices), (0.9, 0.9, step), origin, direction)


WRITTEN = {
    "four significant digits": lambda _k, x: f"{x:.4g}",
    "five significant digits": lambda _k, x: f"{x:.5g}",
    "a tenth, one slice in full": lambda k, x: f"{x:.6f}" if k == 4 else f"{x:.1f}",
    "a tenth, as single precision": lambda _k, x: str(float(np.float32(round(x, 1))))[:16],
    "a tenth, as its multiple": lambda _k, x: f"{round(x * 10) * 0.1!r}"[:16],
    "a tenth, without zeros": lambda _k, x: f"{round(x, 1):g}",
}


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize("step", [1.0, 5.5])
def test_a_rounded_stack_is_even_and_upright_in_every_notation(tmp_path, how, step):
    expected = grid(10, step)

    found = written(tmp_path, expected, WRITTEN[how])

    np.testing.assert_allclose(found.corners(), expected.corners(), atol=0.2)


@pytest.mark.parametrize("cosine", [".3f", ".4f", ".3g", ".4g"])
def test_a_stack_with_rounded_direction_cosines_is_read(tmp_path, cosine):
    expected = grid(12, 3.0)

    found = written(tmp_path, expected, lambda _k, x: f"{x:.6f}", cosine)

    np.testing.assert_allclose(found.corners(), expected.corners(), atol=0.002 * 33)


@pytest.mark.parametrize("cosine", ["g", ".1f", ".6f"])
@pytest.mark.parametrize("position", ["g", ".1f", ".6f"])
def test_few_digits_do_not_hide_a_tilt(tmp_path, cosine, position):
    straight = grid(8, 4.0, STRAIGHT, (-112, -90, -30))

    with pytest.raises(InputError, match=r"tilted by 7\.1"):
        written(tmp_path, straight, lambda _k, x: format(x, position), cosine, shift=(0, 0.5, 0))


@pytest.mark.parametrize("how", WRITTEN)
def test_a_rounded_stack_that_is_tilted_is_refused(tmp_path, how):
    with pytest.raises(InputError, match="tilted"):
        written(tmp_path, grid(10, 4.0), WRITTEN[how], shift=(0.2, 0, 0))
