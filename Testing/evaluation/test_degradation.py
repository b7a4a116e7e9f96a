"""Degradations, each with the cubic interpolation for its own grid."""

import numpy as np
import pytest
from evaluation.tables import rough
from scipy import ndimage

from ArSSRLib.acquisition.matrices import PROFILES
from ArSSRLib.evaluation.degradation import DEGRADATIONS, acquisition


def test_exactly_the_profiles_of_the_engine_are_described():
    assert set(DEGRADATIONS) == set(PROFILES)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_a_constant_volume_stays_constant_in_both_directions(name):
    matrices = acquisition((20, 22, 24), (10, 9, 24), name)

    coarse = matrices.coarsened(np.full((20, 22, 24), 7.0, np.float32))

    np.testing.assert_allclose(coarse, np.full((10, 9, 24), 7.0), rtol=1e-5)
    np.testing.assert_allclose(matrices.interpolated(coarse), np.full((20, 22, 24), 7.0), rtol=1e-5)


def test_the_degradation_of_the_paper_and_its_spline_are_those_of_scipy():
    fine = rough()
    matrices = acquisition(fine.shape, (10, 11, 12), "endpoints")

    coarse = matrices.coarsened(fine)
    back = matrices.interpolated(coarse)

    # grid_mode=False is SciPy's default; its mode "mirror" is the boundary of our spline.
    expected = ndimage.zoom(fine.astype(np.float64), 0.5, order=3, mode="mirror")
    np.testing.assert_allclose(coarse, expected, atol=0.02)
    np.testing.assert_allclose(back, ndimage.zoom(coarse.astype(np.float64), 2, order=3, mode="mirror"), atol=0.02)


@pytest.mark.parametrize("name", ["point", "gaussian", "box"])
def test_cubic_interpolation_of_cells_is_that_of_scipy(name):
    coarse = rough(shape=(10, 11, 12))
    matrices = acquisition((20, 22, 24), coarse.shape, name)

    positions = np.meshgrid(*[(np.arange(2 * n) + 0.5) / 2 - 0.5 for n in coarse.shape], indexing="ij")
    expected = ndimage.map_coordinates(coarse.astype(np.float64), positions, order=3, mode="mirror")
    np.testing.assert_allclose(matrices.interpolated(coarse), expected, atol=0.02)


@pytest.mark.parametrize("name", ["gaussian", "endpoints"])
def test_back_projection_uses_the_spline_of_its_degradation(name):
    coarse = rough(shape=(10, 11, 12)).astype(np.float32)
    matrices = acquisition((20, 22, 24), coarse.shape, name)

    expected = matrices.interpolated(coarse)
    for _ in range(10):
        expected = expected + matrices.interpolated(coarse - matrices.coarsened(expected))
    np.testing.assert_allclose(matrices.back_projected(coarse), expected, rtol=0, atol=1e-5)
