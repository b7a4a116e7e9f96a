"""The anatomy stays where it is, in millimeters: any orientation, any scale, any network, tiled or not."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import phantoms
import pytest
import torch

from ArSSRLib import upsampling
from ArSSRLib.checkpoint import load_model, registry
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.model.arssr import ArSSRConfig
from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.model.registry import build_model
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import plan_upsampling, upsample
from ArSSRLib.volume import Volume

PLAIN = UpsamplingOptions(device="cpu", precision="fp32")
CENTROID_TOLERANCE = 0.02  # input voxels
SCALES = [2, 1.37, (1, 1.7, 3.3)]
SAGITTAL = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
ORIENTATIONS = {
    "axial": phantoms.rotation(0, 0, 0),
    "oblique": phantoms.rotation(11, -17, 29),
    "left-handed sagittal": SAGITTAL,
    "left-handed oblique": tuple((np.reshape(phantoms.rotation(40, 5, -70), (3, 3)) * [1, -1, 1]).ravel().tolist()),
}


def grid(orientation: str) -> VolumeGeometry:
    """Return an anisotropic grid around a blob of a few voxels; no two axes are alike."""
    return VolumeGeometry((26, 22, 16), (0.9, 1.1, 1.8), (-31.0, 12.5, 47.25), ORIENTATIONS[orientation])


def blob_in(geometry: VolumeGeometry) -> phantoms.Blob:
    """Return a blob resolved by a grid, off the center, with its tails inside the field of view."""
    return phantoms.Blob(phantoms.point_at(geometry, (0.52, 0.47, 0.505)), sigma=2.4, height=900.0)


def in_voxels(geometry: VolumeGeometry, displacement: np.ndarray) -> np.ndarray:
    """Convert a displacement in mm to voxels along i, j, k."""
    return np.linalg.solve(geometry.affine[:3, :3], displacement)


def noise(geometry: VolumeGeometry) -> Volume:
    return Volume((1000 * np.random.default_rng(0).random(geometry.shape)).astype(np.float32), geometry)


@pytest.fixture(scope="module")
def cubic_model():
    """Return arssr2 before training, which equals cubic interpolation, so that its result is known."""
    return build_model(ArSSR2Config(channels=4, blocks=1, feature_channels=8)).eval()


@pytest.fixture(scope="module")
def published_model():
    """Return the published network with random weights and a small decoder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(ArSSRConfig(encoder="ResCNN", feature_channels=8, decoder_depth=2, decoder_width=16)).eval()
    torch.nn.init.constant_(model.decoder.stage_two[-2].bias, 0.5)
    return model


# --- position of the anatomy


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("scale", SCALES)
def test_the_centroid_of_a_blob_stays_in_the_patient(cubic_model, orientation, scale):
    geometry = grid(orientation)
    blob = blob_in(geometry)

    result = upsample(phantoms.sample([blob], geometry), cubic_model, scale, PLAIN)

    moved = in_voxels(geometry, phantoms.centroid(result) - blob.center)
    assert np.abs(moved).max() < CENTROID_TOLERANCE


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("scale", SCALES)
def test_a_blob_is_itself_on_the_finer_grid(cubic_model, orientation, scale):
    geometry = grid(orientation)
    blob = blob_in(geometry)

    result = upsample(phantoms.sample([blob], geometry), cubic_model, scale, PLAIN)

    expected = phantoms.sample([blob], result.geometry)
    # Its steepest slope is 0.6 * height / sigma, so a shift of 0.02 voxels of 1.8 mm changes the intensity by 8.
    np.testing.assert_allclose(result.array, expected.array, rtol=0, atol=8)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("scale", SCALES)
def test_the_field_of_view_stays_in_the_patient(tiny_model, orientation, scale):
    geometry = grid(orientation)

    result = upsample(noise(geometry), tiny_model, scale, PLAIN)

    assert result.array.shape == result.geometry.shape
    np.testing.assert_allclose(result.geometry.corners(), geometry.corners(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("entry", [entry.name for entry in registry()])
@pytest.mark.parametrize("scale", SCALES)
def test_a_bundled_model_keeps_the_centroid_of_a_blob(entry, scale):
    geometry = grid("oblique")
    blob = blob_in(geometry)

    result = upsample(phantoms.sample([blob], geometry), load_model(entry), scale, PLAIN)

    moved = in_voxels(geometry, phantoms.centroid(result) - blob.center)
    assert np.abs(moved).max() < CENTROID_TOLERANCE


# --- every voxel, every network


def answers_in_the_patient(model: torch.nn.Module, volume: Volume, fine: VolumeGeometry) -> np.ndarray:
    """Query a network at each fine voxel, with coordinates computed only from the affines; shape (k, j, i)."""
    points = phantoms.positions(fine).reshape(-1, 3)
    index = np.linalg.solve(volume.geometry.affine, np.c_[points, np.ones(len(points))].T)[:3].T
    coordinates = ((2 * index + 1) / volume.geometry.size - 1)[:, ::-1]
    scale = Conditioning.between(volume.geometry.shape, fine.shape)
    intensities = IntensityRange.of(volume.array)
    coarse = torch.from_numpy(intensities.normalize(volume.array))[None, None]
    with torch.no_grad():
        feature_map = model.encode(coarse, scale)
        values = model.query(feature_map, torch.from_numpy(coordinates.copy())[None], scale)
    return intensities.restore(values[0].float().numpy()).reshape(fine.shape)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("scale", SCALES)
def test_every_voxel_is_the_prediction_of_the_network_at_its_position(tiny_model, orientation, scale):
    volume = noise(grid(orientation))

    result = upsample(volume, tiny_model, scale, PLAIN)

    expected = answers_in_the_patient(tiny_model, volume, result.geometry)
    np.testing.assert_allclose(result.array, np.maximum(expected, volume.array.min()), rtol=0, atol=0.01)


def test_every_voxel_of_a_tiled_result_is_the_prediction_at_its_position(tiny_model, monkeypatch):
    geometry = VolumeGeometry((40, 4, 38), (1.0, 1.0, 1.5), (5.0, 6.0, 7.0), ORIENTATIONS["left-handed oblique"])
    volume, scale = noise(geometry), (1.3, 2.0, 1.7)
    monkeypatch.setattr(upsampling, "used_memory", lambda _: 0)
    plan = plan_upsampling(volume, tiny_model, scale, PLAIN)
    crop = 35 * 35 * 4 * tiny_model.bytes_per_coarse_voxel
    limit = (plan.memory - volume.array.size * tiny_model.bytes_per_coarse_voxel + crop) / 1e9
    fractions = []

    result = upsample(volume, tiny_model, scale, replace(PLAIN, memory_limit=limit), progress=fractions.append)

    assert len(fractions) > 4
    expected = answers_in_the_patient(tiny_model, volume, result.geometry)
    np.testing.assert_allclose(result.array, np.maximum(expected, volume.array.min()), rtol=0, atol=0.01)


def test_every_voxel_of_the_published_network_is_its_prediction_at_its_position(published_model):
    geometry = VolumeGeometry((7, 5, 6), (1.0, 1.0, 1.5), (5.0, 6.0, 7.0), ORIENTATIONS["left-handed oblique"])
    volume = noise(geometry)

    result = upsample(volume, published_model, (1.3, 2.0, 2.6), PLAIN)

    expected = answers_in_the_patient(published_model, volume, result.geometry)
    assert result.array.std() > 1
    np.testing.assert_allclose(result.array, expected, rtol=0, atol=0.01)


# --- independence of the orientation


@pytest.mark.parametrize(("first", "second"), list(itertools.pairwise(ORIENTATIONS)))
def test_the_orientation_changes_no_intensity(tiny_model, first, second):
    results = [upsample(noise(grid(name)), tiny_model, (1.3, 2, 1), PLAIN).array for name in (first, second)]

    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("order", [(2, 0, 1), (0, 2, 1)])
@pytest.mark.parametrize("flips", [(), (0,), (1, 2)])
def test_the_order_in_which_a_volume_is_stored_does_not_move_the_anatomy(cubic_model, order, flips):
    geometry = grid("oblique")
    volume = phantoms.sample([blob_in(geometry)], geometry)
    axes = np.reshape(geometry.direction, (3, 3))[:, order] * [-1 if n in flips else 1 for n in range(3)]
    size, spacing = ([values[n] for n in order] for values in (geometry.size, geometry.spacing))
    corner = [geometry.size[n] - 1 if order.index(n) in flips else 0 for n in range(3)]
    stored = VolumeGeometry(
        tuple(size),
        tuple(spacing),
        tuple((geometry.affine @ [*corner, 1])[:3].tolist()),
        tuple(axes.ravel().tolist()),
    )
    again = phantoms.sample([blob_in(geometry)], stored)
    np.testing.assert_allclose(np.sort(again.array.ravel()), np.sort(volume.array.ravel()), rtol=1e-4, atol=1e-3)

    centroids = [phantoms.centroid(upsample(v, cubic_model, 1.7, PLAIN)) for v in (volume, again)]

    np.testing.assert_allclose(*centroids, rtol=0, atol=0.002)


def test_upsampling_twice_keeps_the_field_of_view(cubic_model):
    volume = phantoms.sample([blob_in(grid("oblique"))], grid("oblique"))

    twice = upsample(upsample(volume, cubic_model, 1.3, PLAIN), cubic_model, 1.7, PLAIN)

    np.testing.assert_allclose(twice.geometry.corners(), volume.geometry.corners(), rtol=0, atol=1e-6)


def test_neither_array_nor_geometry_of_the_input_changes(tiny_model):
    volume = noise(grid("oblique"))
    before = volume.array.copy()

    result = upsample(volume, tiny_model, 1, PLAIN)

    np.testing.assert_array_equal(volume.array, before)
    assert volume.geometry == grid("oblique")
    assert not np.shares_memory(result.array, volume.array)
