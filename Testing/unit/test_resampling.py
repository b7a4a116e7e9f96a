"""Resampling to an isotropic grid: the same field of view, and no detail beyond Nyquist."""

import numpy as np
import pytest

from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.resampling import resample_isotropic
from ArSSRLib.volume import Volume


def test_resampling_keeps_the_field_of_view_of_an_oblique_volume(oblique_geometry):
    volume = Volume(np.zeros(oblique_geometry.shape, np.float32), oblique_geometry)

    corners = resample_isotropic(volume, 0.7).geometry.corners()

    np.testing.assert_allclose(corners, oblique_geometry.corners(), atol=1e-9)


def test_a_spacing_of_0_changes_nothing(oblique_geometry):
    volume = Volume(np.zeros(oblique_geometry.shape, np.int16), oblique_geometry)

    assert resample_isotropic(volume, 0) is volume


@pytest.mark.parametrize(("period_mm", "height"), [(10.0, 1.0), (2.5, 0.0)])
def test_only_waves_that_the_grid_can_represent_are_kept(period_mm, height):
    # At 2 mm, the shortest wavelength is 4 mm; 2.5 mm would be aliased to 10 mm.
    position = np.arange(120) + 0.5
    wave = np.broadcast_to(np.cos(2 * np.pi * position / period_mm), (4, 4, 120)).astype(np.float32)

    result = resample_isotropic(Volume(wave, VolumeGeometry((120, 4, 4), (1.0, 1.0, 1.0))), 2.0).array

    expected = height * np.cos(2 * np.pi * 2 * (np.arange(60) + 0.5) / period_mm)
    np.testing.assert_allclose(result[0, 0, 12:-12], expected[12:-12], atol=0.03)
