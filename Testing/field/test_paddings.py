"""Several paddings in one volume, thin ones, and those of volumes too large to look at every voxel."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from phantoms import everywhere_bright, padded

from ArSSRLib.padding import find_padding, without_padding


def framed(array: np.ndarray, values: tuple[float, ...]) -> np.ndarray:
    """Return a volume with its field of view a cylinder, and one more value on each of its first columns or rows."""
    first, *others = values
    array, _ = padded(array, first)
    for value, side in zip(others, (np.s_[:, :, :3], np.s_[:, -3:], np.s_[-1]), strict=False):
        array[side] = value
    return array


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("values", list(combinations((-32768, -3000, -2500, 60000, 62000), 4)))
def test_every_padding_of_several_is_recognized(values, count):
    array = framed(everywhere_bright(), values[:count])

    padding = find_padding(array)

    np.testing.assert_array_equal(padding.mask, np.isin(array, values[:count]))
    assert 300 <= without_padding(array, padding).min() < without_padding(array, padding).max() <= 1000


def thin_frame() -> np.ndarray:
    """Return anatomy with a background, a range below it, that is one voxel thick and lies on the last faces alone."""
    array = np.tile(everywhere_bright(), (2, 1, 1))
    array[-1], array[:, -1], array[:, :, -1] = (-700,) * 3
    return array


@pytest.mark.parametrize("most", [10**9, 20_000, 5_000])
def test_a_thin_background_is_seen_however_large_the_volume(monkeypatch, most):
    monkeypatch.setattr("ArSSRLib.padding.THINNED", most)

    np.testing.assert_array_equal(find_padding(thin_frame()).mask, thin_frame() == -700)


def test_a_background_that_hangs_together_by_single_voxels_is_recognized():
    array = np.tile(everywhere_bright(), (9, 2, 2))  # 316,800 voxels
    array[:, :, -6:] = -700
    array[:, 11:60, 10:70:3] = -700  # fissures
    array[:, 11, 10:] = -700  # all that connects them to the border

    np.testing.assert_array_equal(find_padding(array).mask, array == -700)


def test_voids_that_hang_together_in_a_thinned_volume_only_are_no_padding():
    array = np.tile(everywhere_bright(), (9, 2, 2))
    array[:, :, -6:] = -700
    array[1:-1:2, 1:-1:2, 1:60:2] = -700  # single voxels, every second one

    assert find_padding(array) is None
