"""Batches: the acquisition they simulate is the one that models are judged by."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from ArSSRLib.coordinates import index_of
from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.interpolation import spline_at_points, spline_coefficients
from ArSSRLib.io import write_volume
from ArSSRLib.model.config import ArSSR2Config
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.dataset import (
    STORED_ONE,
    BatchSampler,
    TrainingVolume,
    load_training_volumes,
    resample_isotropic,
)
from ArSSRLib.volume import Volume


@pytest.fixture
def config(tmp_path):
    return TrainingConfig(
        training_data=tmp_path,
        validation_data=tmp_path,
        output=tmp_path / "run",
        model=ArSSR2Config(),
        target_spacings=(0.0,),
        target_weights=(1.0,),
        batch_items=5,
        patch_size=8,
        points=300,
    )


def smooth_grids(shape=(48, 52, 44)):
    rng = np.random.default_rng(1)
    smooth = ndimage.gaussian_filter(rng.random(shape), 4)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    stored = torch.from_numpy(np.rint(smooth * STORED_ONE).astype(np.int16))
    return [[TrainingVolume("phantom", stored, torch.nonzero(stored > 1000)[::100])]]


def test_the_same_seed_draws_the_same_batches(config):
    one, two = BatchSampler(smooth_grids(), config), BatchSampler(smooth_grids(), config)
    for _ in range(3):
        torch.testing.assert_close(one.draw().__dict__, two.draw().__dict__, rtol=0, atol=0)


def test_coarse_patches_and_query_points_show_the_same_anatomy(config):
    # On a smooth volume, the cubic spline through the coarse patch is already the truth. Through a patch that were
    # shifted, flipped or scaled it would not be.
    plain = dataclasses.replace(
        config,
        noise_share=0.0,
        gamma_share=0.0,
        curve_share=0.0,
        profile_weights=(1.0, 0.0, 0.0, 0.0),
        scale_range=(1.5, 3.0),
        thick_scale_range=(1.5, 3.0),
    )
    sampler = BatchSampler(smooth_grids(), plain)
    for _ in range(5):
        batch = sampler.draw()
        positions = [index_of(batch.coordinates[..., axis], config.patch_size) for axis in range(3)]
        cubic = spline_at_points(spline_coefficients(batch.coarse[:, 0]), positions)
        contrast = (batch.truth - batch.truth.mean(1, keepdim=True)).abs().mean()
        assert (cubic - batch.truth).abs().mean() < 0.02 * contrast


def test_points_keep_away_from_the_border_of_the_patch(config):
    batch = BatchSampler(smooth_grids(), config).draw()

    assert batch.coordinates.abs().max() <= 1 - 2 * config.margin / config.patch_size


def test_a_patch_never_asks_for_more_field_of_view_than_the_volume_has(config):
    sampler = BatchSampler(smooth_grids((20, 48, 24)), dataclasses.replace(config, thick_share=0.45))
    for _ in range(10):
        batch = sampler.draw()
        assert batch.scale.max() * config.patch_size <= 48
        assert torch.isfinite(batch.coarse).all()


def test_resampling_keeps_the_field_of_view_of_an_oblique_volume(oblique_geometry):
    volume = Volume(np.zeros(oblique_geometry.shape, np.float32), oblique_geometry)

    corners = resample_isotropic(volume, 0.7).geometry.corners()

    np.testing.assert_allclose(corners, oblique_geometry.corners(), atol=1e-9)


@pytest.mark.parametrize(
    ("array", "reason"),
    [(np.zeros((12, 12, 12), np.float32), "nothing but background"), (np.ones((12, 12, 4), np.float32), "fewer than")],
)
def test_a_volume_that_cannot_be_learned_from_is_named(tmp_path, array, reason):
    write_volume(Volume(array, VolumeGeometry(array.shape[::-1], (1.0, 1.0, 1.0))), tmp_path / "case.nii.gz")

    with pytest.raises(InputError, match=f"case.nii.gz.*{reason}"):
        load_training_volumes(tmp_path, (0.0,), 8)
