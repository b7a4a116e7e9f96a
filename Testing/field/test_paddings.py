"""Several padding values in one volume, thin padding, and padding in volumes too large to check every voxel."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from phantoms import everywhere_bright, padded

from ArSSRLib.padding import find_padding, without_padding


def framed(array: np.ndarray, values: tuple[float, ...]) -> np.ndarray:
    """Return a volume with a cylindrical field of view, and a different value on each of its first columns or rows."""
    first, *others = values
    array, _ = padded(array, first)
    for value, side in zip(others, (np.s_[:, :, :3], np.s_[:, -3:], np.s_[-1]), strict=False):
        array[side] = value
    return array


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("values", list(combinations((-32768, -3000, -2500, 60000, 62000), 4)))
def test_several_padding_values_are_all_recognized(values, count):
    array = framed(everywhere_bright(), values[:count])

    padding = find_padding(array)

    np.testing.assert_array_equal(padding.mask, np.isin(array, values[:count]))
    assert 300 <= without_padding(array, padding).min() < without_padding(array, padding).max() <= 1000


def thin_frame() -> np.ndarray:
    """Return anatomy with a background far below it, which is one voxel thick and only on the last faces."""
    array = np.tile(everywhere_bright(), (2, 1, 1))
    array[-1], array[:, -1], array[:, :, -1] = (-700,) * 3
    return array


@pytest.mark.parametrize("most", [10**9, 20_000, 5_000])
def test_a_thin_background_is_recognized_regardless_of_the_volume_size(monkeypatch, most):
    monkeypatch.setattr("ArSSRLib.padding.THINNED", most)

    np.testing.assert_array_equal(find_padding(thin_frame()).mask, thin_frame() == -700)


def test_a_background_connected_by_single_voxels_is_recognized():
    array = np.tile(everywhere_bright(), (9, 2, 2))  # 316,800 voxels
    array[:, :, -6:] = -700
    array[:, 11:60, 10:70:3] = -700  # fissures
    array[:, 11, 10:] = -700  # the only connection to the border

    np.testing.assert_array_equal(find_padding(array).mask, array == -700)


def test_voids_connected_only_in_a_subsampled_volume_are_not_padding():
    array = np.tile(everywhere_bright(), (9, 2, 2))
    array[:, :, -6:] = -700
    array[1:-1:2, 1:-1:2, 1:60:2] = -700  # single voxels, every second one

    assert find_padding(array) is None
