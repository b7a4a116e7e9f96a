"""Agreement of results with the scan, mirror images, and their messages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ArSSRLib.acquisition.matrices import profile_matrices
from ArSSRLib.acquisition.profile import AxisProfile, SliceProfile
from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.interpolation import apply_matrices
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.planning import MIRROR_IMAGES as COUNT
from ArSSRLib.tiling import plan_tiles
from ArSSRLib.upsampling import carry_out, plan_upsampling, upsample
from ArSSRLib.upsampling.mirrors import MIRROR_IMAGES
from ArSSRLib.volume import FileHeader, Volume

CPU = UpsamplingOptions(device="cpu", precision="fp32")
GAUSSIAN = AxisProfile("gaussian", 1.0)
SCALE = (2.0, 1.0, 1.5)


def scan(dtype: str = "f4", *, profile: SliceProfile | None = None, shape=(20, 18, 16)) -> Volume:
    """Return a smooth blob with some structure, whose profile is known along every axis."""
    axes = [np.linspace(-1, 1, n) for n in shape]
    k, j, i = np.meshgrid(*axes, indexing="ij")
    array = 1000 * np.exp(-3 * (k**2 + j**2 + i**2)) * (1.2 + np.sin(9 * k + 4 * i))
    geometry = VolumeGeometry(tuple(reversed(shape)), (1.0, 1.0, 2.0))
    known = SliceProfile((GAUSSIAN, GAUSSIAN, GAUSSIAN)) if profile is None else profile
    return Volume(array.astype(dtype), geometry, FileHeader(profile=known))


def difference(volume: Volume, result: Volume) -> float:
    """Return the root mean square of the scan minus the acquired result, over that of the scan."""
    matrices = profile_matrices(result.array.shape, volume.array.shape, volume.header.profile)
    again = apply_matrices(torch.from_numpy(result.array.astype(np.float64)), matrices).numpy()
    return float(np.sqrt(np.square(again - volume.array).mean() / np.square(volume.array.astype(float)).mean()))


def test_the_correction_brings_a_simulated_scan_of_the_result_closer_to_the_scan(tiny_model):
    volume = scan()

    free = upsample(volume, tiny_model, SCALE, replace(CPU, consistency="off"))
    agreeing = upsample(volume, tiny_model, SCALE, CPU)

    assert difference(volume, agreeing) < 0.5 * difference(volume, free)


def test_the_reported_difference_is_that_of_the_result(tiny_model):
    volume = scan()
    outcome = carry_out(plan_upsampling(volume, tiny_model, SCALE, CPU), volume, tiny_model)
    matrices = profile_matrices(outcome.volume.array.shape, volume.array.shape, volume.header.profile)
    left = apply_matrices(torch.from_numpy(outcome.volume.array.astype(np.float64)), matrices).numpy() - volume.array

    # Values above a twentieth of the range are anatomy.
    low, high = np.percentile(volume.array, 0.1), np.percentile(volume.array[volume.array > 50], 99.9)
    anatomy = volume.array > low + 0.05 * (high - low)
    expected = 100 * np.sqrt(np.square(left[anatomy]).mean()) / (high - low)
    assert outcome.disagreement == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    "profile", [SliceProfile(), SliceProfile((GAUSSIAN, GAUSSIAN, None)), SliceProfile((None, GAUSSIAN, GAUSSIAN))]
)
def test_an_unknown_profile_is_not_assumed(tiny_model, profile):
    volume = scan(profile=profile)
    plan = plan_upsampling(volume, tiny_model, SCALE, replace(CPU, slice_thickness="file"))  # without an estimate
    outcome = carry_out(plan, volume, tiny_model)

    assert outcome.disagreement is None
    np.testing.assert_array_equal(
        outcome.volume.array, upsample(scan(), tiny_model, SCALE, replace(CPU, consistency="off")).array
    )


def test_the_profile_of_an_axis_that_is_not_coarsened_may_be_unknown(tiny_model):
    volume = scan(profile=SliceProfile((GAUSSIAN, None, GAUSSIAN)))

    assert carry_out(plan_upsampling(volume, tiny_model, SCALE, CPU), volume, tiny_model).disagreement is not None


@pytest.mark.parametrize("dtype", ["f4", "i2"])
@pytest.mark.parametrize("quality", ["standard", "best"])
def test_tiled_equals_untiled(tiny_model, dtype, quality):
    volume, options = scan(dtype, shape=(40, 18, 16)), replace(CPU, quality=quality, uncertainty=quality == "best")
    plan = plan_upsampling(volume, tiny_model, SCALE, options)
    fine = volume.geometry.upsampled(SCALE).shape
    tiles = plan_tiles(volume.array.shape, fine, halo=tiny_model.halo, maximum_crop=10_000)
    assert len(tiles) > 1
    whole, parts = (carry_out(p, volume, tiny_model) for p in (plan, replace(plan, tiles=tiles)))

    tolerance = 0.01 if dtype == "f4" else 1
    np.testing.assert_allclose(parts.volume.array, whole.volume.array, rtol=0, atol=tolerance)
    assert (parts.uncertainty is None) == (whole.uncertainty is None) == (quality == "standard")
    if parts.uncertainty and whole.uncertainty:
        np.testing.assert_allclose(parts.uncertainty.array, whole.uncertainty.array, rtol=0, atol=0.01)


def test_a_region_equals_the_crop_of_the_whole(tiny_model):
    volume = scan(shape=(60, 18, 40))
    region = ((30, 44), (2, 16), (40, 50))
    i, j, k = (slice(*pair) for pair in region)

    part = upsample(volume, tiny_model, SCALE, CPU, region=region)
    whole = upsample(volume, tiny_model, SCALE, CPU)

    assert part.array.shape == (10, 14, 14)
    np.testing.assert_allclose(part.array, whole.array[k, j, i], rtol=0, atol=1e-5 * whole.array.max())


def test_no_voxel_is_darker_than_the_darkest_of_the_input(tiny_model):
    volume = scan("i2")

    assert upsample(volume, tiny_model, SCALE, CPU).array.min() >= volume.array.min()


def test_the_best_quality_is_the_mean_over_the_mirror_images(tiny_model):
    volume, alone = scan(profile=SliceProfile()), replace(CPU, slice_thickness="unknown")
    options = replace(alone, quality="best", uncertainty=True)
    answers = []
    for axes in MIRROR_IMAGES:
        image = volume.with_array(np.ascontiguousarray(np.flip(volume.array, axes)))
        answers.append(np.flip(upsample(image, tiny_model, SCALE, alone).array, axes))

    outcome = carry_out(plan_upsampling(volume, tiny_model, SCALE, options), volume, tiny_model)

    assert len(MIRROR_IMAGES) == COUNT
    # Values below the darkest voxel are clipped once instead of eight times.
    inside = np.min(answers, axis=0) > volume.array.min()
    np.testing.assert_allclose(outcome.volume.array[inside], np.mean(answers, axis=0)[inside], rtol=0, atol=0.02)
    assert outcome.uncertainty is not None
    np.testing.assert_allclose(outcome.uncertainty.array[inside], np.std(answers, axis=0)[inside], rtol=0, atol=0.02)
    assert outcome.uncertainty.geometry == outcome.volume.geometry
    assert outcome.uncertainty.array.max() > 0.1


def test_progress_rises_to_1_in_the_best_quality(tiny_model):
    fractions: list[float] = []

    upsample(scan(), tiny_model, 2, replace(CPU, quality="best"), progress=fractions.append)

    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert fractions[-2] > 0.95


@pytest.mark.parametrize("quality", ["draft", "standard"])
def test_the_uncertainty_of_a_single_prediction_is_refused(quality):
    with pytest.raises(InputError, match="makes only one; choose quality best"):
        UpsamplingOptions(quality=quality, uncertainty=True)


def test_the_uncertainty_of_a_uniform_volume_is_0(tiny_model):
    volume = scan().with_array(np.full((20, 18, 16), 7, dtype=np.int16))
    plan = plan_upsampling(volume, tiny_model, 2, replace(CPU, quality="best", uncertainty=True))
    outcome = carry_out(plan, volume, tiny_model)

    assert np.all(outcome.volume.array == 7)
    assert outcome.uncertainty is not None
    assert not outcome.uncertainty.array.any()
