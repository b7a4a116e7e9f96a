"""A volume whose k-space was filtered or zero-filled by the scanner has a narrow profile; others have not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from phantoms import texture
from scipy import ndimage

from ArSSRLib.acquisition.consistency import Agreement
from ArSSRLib.acquisition.decision import decide
from ArSSRLib.acquisition.estimate import predicted_axes
from ArSSRLib.acquisition.profile import NARROW, AxisProfile, SliceProfile, told_of
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.volume import Volume


@pytest.fixture(scope="module")
def sharp() -> np.ndarray:
    return np.asarray(texture(steepness=1.5), np.float64)


def filtered(array, *, first: float, last: float, axes=(0, 1, 2)) -> np.ndarray:
    """Return a volume whose k-space decreases to 0 between two fractions of Nyquist."""
    for axis in axes:
        frequency = np.abs(np.fft.fftfreq(array.shape[axis])) * 2
        kept = 0.5 + 0.5 * np.cos(np.pi * np.clip((frequency - first) / (last - first), 0, 1))
        shape = [1, 1, 1]
        shape[axis] = -1
        array = np.fft.ifft(np.fft.fft(array, axis=axis) * kept.reshape(shape), axis=axis).real
    return array


def cut_off(array, spacing=(1.0, 1.0, 1.0)) -> list[bool]:
    return [one is not None and one.cut_off for one in predicted_axes(array, spacing)]


@pytest.mark.parametrize(("first", "last"), [(0.7, 1.0), (0.74, 0.76), (0.49, 0.51)])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_filter_and_interpolation_by_the_scanner_are_recognized(sharp, first, last, noise):
    noisy = sharp + noise * np.random.default_rng(0).standard_normal(sharp.shape)

    assert cut_off(filtered(noisy, first=first, last=last)) == [True] * 3


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("width", [0.0, 0.7, 1.0, 1.3])
def test_thick_slices_are_no_cut_off(sharp, width, noise):
    scan = ndimage.gaussian_filter(sharp, width * 2 / 2.3548)[::2, ::2, ::2]

    noisy = scan + noise * np.random.default_rng(0).standard_normal(scan.shape)

    assert cut_off(noisy) == [False] * 3


def test_slices_are_not_encoded_and_keep_their_own_estimate(sharp):
    in_plane = filtered(sharp, first=0.7, last=1.0, axes=(1, 2))

    assert cut_off(in_plane[::4], (4.0, 1.0, 1.0)) == [False, True, True]


def test_one_axis_alone_may_end_with_the_anatomy(sharp):
    assert cut_off(filtered(sharp, first=0.7, last=1.0, axes=(0,))) == [False] * 3


def test_few_voxels_do_not_tell(sharp):
    part = filtered(sharp, first=0.7, last=1.0)[38:58, 38:58, 38:58]

    assert cut_off(part) == [False] * 3


def test_a_cut_off_gives_a_narrow_profile_where_nothing_is_stated(sharp):
    scan = filtered(sharp, first=0.74, last=0.76).astype(np.float32)
    volume = Volume(scan, VolumeGeometry(scan.shape[::-1], (1.0, 1.0, 1.0)))

    assert decide(volume, UpsamplingOptions(), (2, 2, 2)).profile == SliceProfile((NARROW,) * 3)
    assert decide(volume, UpsamplingOptions(slice_thickness="unknown"), (2, 2, 2)).profile == SliceProfile()


@pytest.mark.parametrize("width", [1.0, 1.5, 2.0])
def test_a_narrow_profile_is_followed_where_the_header_states_k_space(width):
    stated, followed = (SliceProfile((axis,) * 3) for axis in (AxisProfile("kspace", width, "DICOM"), NARROW))
    fine, coarse = (24, 24, 24), (12, 12, 12)
    voxels = torch.from_numpy(np.random.default_rng(0).standard_normal(fine))

    same, other = (
        Agreement.of(fine, coarse, p).simulated(voxels.float(), [slice(None)] * 3) for p in (stated, followed)
    )

    assert told_of(stated) == told_of(followed)
    torch.testing.assert_close(same, other)
