"""A region equals that part of the whole result, with less work."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from messages import one_line

from ArSSRLib import upsampling
from ArSSRLib.errors import InputError
from ArSSRLib.model.arssr import ArSSRConfig
from ArSSRLib.model.arssr2 import ArSSR2
from ArSSRLib.model.registry import build_model
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import plan_upsampling, upsample
from ArSSRLib.volume import Volume

CPU = UpsamplingOptions(device="cpu", precision="fp32")
# Tolerance between a region and the whole, relative to the intensity range.
EXACT = 1e-5


@pytest.fixture
def scan(oblique_geometry) -> Volume:
    """Intensities between 0 and 1000 that vary within a few voxels, on an oblique grid of 20 x 18 x 9 voxels."""
    return Volume((1000 * np.random.default_rng(0).random(oblique_geometry.shape)).astype(np.float32), oblique_geometry)


@pytest.fixture(scope="module")
def published_model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = ArSSRConfig(encoder="ResCNN", feature_channels=8, decoder_depth=2, decoder_width=16)
        model = build_model(config).eval()
    torch.nn.init.constant_(model.decoder.stage_two[-2].bias, 0.5)  # otherwise, its last ReLU may return only 0
    return model


def run(volume: Volume, model, scale, *, memory_limit=None, **how) -> Volume:
    return upsample(volume, model, scale, replace(CPU, memory_limit=memory_limit), **how)


def cut(volume: Volume, region) -> np.ndarray:
    """Return a box of voxels, given along i, j, k, as an array along k, j, i."""
    i, j, k = (slice(*pair) for pair in region)
    return volume.array[k, j, i]


@pytest.mark.parametrize("which", ["ours", "published"])
@pytest.mark.parametrize(
    ("scale", "region"),
    [
        pytest.param(2, ((11, 27), (9, 30), (3, 14)), id="inside"),
        pytest.param(2, ((0, 5), (0, 36), (12, 18)), id="at borders"),
        pytest.param((1, 1, 4), ((3, 9), (2, 17), (5, 6)), id="one axis, one thin slice"),
        pytest.param(
            (1.37, 2.7, 1), ((26, 27), (48, 49), (8, 9)), id="the last voxel, factors that are no whole numbers"
        ),
        pytest.param(3.3, ((0, 66), (0, 59), (0, 30)), id="everything"),
    ],
)
def test_a_region_equals_the_crop_of_the_whole_result(scan, tiny_model, published_model, which, scale, region):
    model = tiny_model if which == "ours" else published_model
    whole = run(scan, model, scale)

    part = run(scan, model, scale, region=region)

    assert part.array.std() > 1 or part.array.size == 1
    np.testing.assert_allclose(part.array, cut(whole, region), rtol=0, atol=EXACT * 1000)


def test_the_voxels_of_a_region_are_at_their_positions_in_the_whole(scan, tiny_model):
    region = ((11, 27), (9, 30), (3, 14))

    part, fine = run(scan, tiny_model, 2, region=region), scan.geometry.upsampled(2)

    assert part.geometry.size == (16, 21, 11)
    for corner in ((0, 0, 0), (15, 20, 10)):
        inside = np.add(corner, [first for first, _ in region])
        found, expected = (g.affine @ [*index, 1] for g, index in ((part.geometry, corner), (fine, inside)))
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_tiled_region_equals_an_untiled_one(tiny_model, monkeypatch, oblique_geometry):
    geometry = oblique_geometry.resized((60, 44, 9))
    volume = Volume((1000 * np.random.default_rng(1).random(geometry.shape)).astype(np.float32), geometry)
    region = ((20, 100), (10, 70), (2, 15))
    whole = run(volume, tiny_model, 2)
    monkeypatch.setattr(upsampling, "used_memory", lambda _: 0)
    monkeypatch.setattr(upsampling, "free_memory", lambda _: 10**12)
    one_tile = plan_upsampling(volume, tiny_model, 2, CPU, region=region)
    encodings = []
    encode = ArSSR2.encode_lean
    monkeypatch.setattr(
        ArSSR2, "encode_lean", lambda self, crop, *told: encodings.append(crop) or encode(self, crop, *told)
    )

    limit = (one_tile.memory - tiny_model.bytes_per_coarse_voxel * 5000) / 1e9
    part = run(volume, tiny_model, 2, region=region, memory_limit=limit)

    assert len(encodings) > 1
    np.testing.assert_allclose(part.array, cut(whole, region), rtol=0, atol=EXACT * 1000)


def test_only_the_part_that_a_region_needs_is_encoded(tiny_model, monkeypatch, oblique_geometry):
    geometry = oblique_geometry.resized((120, 18, 9))
    volume = Volume(np.random.default_rng(1).random(geometry.shape).astype(np.float32), geometry)
    shapes = []
    encode = ArSSR2.encode_lean
    monkeypatch.setattr(
        ArSSR2,
        "encode_lean",
        lambda self, crop, *told: shapes.append(tuple(crop.shape[2:])) or encode(self, crop, *told),
    )

    run(volume, tiny_model, 2, region=((120, 124), (0, 36), (0, 18)))

    assert shapes == [(9, 18, 2 + 2 * tiny_model.halo)]


def test_a_region_is_normalized_like_the_whole(scan, tiny_model):
    array = scan.array.copy()
    array[:, :, 10:] *= 1e-3
    volume = scan.with_array(array)
    region = ((24, 40), (0, 36), (0, 18))

    part = run(volume, tiny_model, 2, region=region)

    np.testing.assert_allclose(part.array, cut(run(volume, tiny_model, 2), region), rtol=0, atol=EXACT * 1000)


def test_a_region_of_a_constant_volume_is_constant(scan, tiny_model):
    part = run(scan.with_array(np.full_like(scan.array, 7)), tiny_model, 2, region=((1, 3), (0, 5), (2, 3)))

    assert part.array.shape == (1, 5, 2)
    assert (part.array == 7).all()


def test_the_progress_of_a_region_ends_at_1(scan, tiny_model):
    fractions = []

    run(scan, tiny_model, 2, region=((1, 3), (0, 5), (2, 3)), progress=fractions.append)

    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)


@pytest.mark.parametrize("region", [((0, 41), (0, 36), (0, 18)), ((5, 5), (0, 36), (0, 18)), ((0, 4), (0, 4)), "all"])
def test_a_region_outside_the_result_is_refused(scan, tiny_model, region):
    with pytest.raises(InputError, match="region") as error:
        run(scan, tiny_model, 2, region=region)

    assert one_line(error)
