"""Fixed-scale networks: their size, grid, exact tiles, checkpoints, and refused scales."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ArSSRLib import upsampling
from ArSSRLib.checkpoint import load_model, save_model
from ArSSRLib.coordinates import whole_grid
from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.interpolation import cubic_upsample
from ArSSRLib.model.fine_networks import NETWORKS, BatchNorm
from ArSSRLib.model.fixed_scale import FixedScaleConfig
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.model.registry import build_model
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.training.validation import predict
from ArSSRLib.upsampling import carry_out, plan_upsampling, upsample
from ArSSRLib.volume import Volume

KINDS = sorted(NETWORKS)
CPU = torch.device("cpu")


class Identity(torch.nn.Module):
    """A network that changes nothing, so that the result is the interpolation."""

    receptive_radius, live_channels, adds_to_input = 3, 1, False

    def forward(self, volume):
        return volume

    def lean(self, volume, advance):
        return volume


def made(kind: str, scale: float = 2.0, seed: int = 0):
    """Return a new network; if it has batch normalization, its statistics differ from 0 and 1."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(FixedScaleConfig(kind=kind, scale=scale))
        for module in model.modules():
            if isinstance(module, torch.nn.Conv3d):
                module.reset_parameters()
            if isinstance(module, BatchNorm):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.05, 0.2)
    return model.eval()


def interpolating(scale: float):
    model = made("srcnn3d", scale)
    model.network = Identity()
    return model


def random_volume(*shape: int) -> torch.Tensor:
    return torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(3))


def scan(*shape: int) -> Volume:
    array = (1000 * random_volume(*shape)[0, 0]).numpy()
    return Volume(array, VolumeGeometry(shape[::-1], (1.0, 1.0, 1.0)))


@pytest.mark.parametrize(
    ("kind", "count", "of_normalization"), [("srcnn3d", 52_801, 0), ("dcsrn", 222_912, 672), ("rescnn", 1_995_329, 0)]
)
def test_a_network_has_the_number_of_parameters_of_its_publication(kind, count, of_normalization):
    sizes = {name: parameter.numel() for name, parameter in made(kind).named_parameters()}
    norms = sum(size for name, size in sizes.items() if ".norm." in name)

    assert (sum(sizes.values()) - norms, norms) == (count, of_normalization)


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_depends_on_exactly_the_stated_receptive_radius(kind):
    network = made(kind).network
    radius = network.receptive_radius
    volume = random_volume(2, 2 * radius + 5, 2).requires_grad_()

    seen = torch.autograd.grad(network(volume)[0, 0, :, radius + 2].sum(), volume)[0].abs().sum((0, 1, 2, 4)).nonzero()

    assert (int(seen.min()), int(seen.max())) == (2, 2 * radius + 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [2.0, 2.5])
def test_query_grid_agrees_with_query(kind, scale):
    model, coarse = made(kind, scale), (4, 6, 8)
    grid = whole_grid(coarse, tuple(int(n * scale) for n in coarse))
    points = torch.stack(torch.meshgrid(*(axis.float() for axis in grid.query), indexing="ij"), dim=-1)
    with torch.no_grad():
        feature_map = model.encode(random_volume(*coarse))
        found = model.query(feature_map, points.reshape(1, -1, 3))

        expected = model.query_grid(feature_map, grid, Conditioning(torch.full((1, 3), scale)))

    assert expected.std() > 1e-3
    torch.testing.assert_close(found.view(grid.shape), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("scale", "coarse", "fine"), [(2.0, (5, 6, 7), (10, 12, 14)), (2.5, (5, 7, 9), (12, 18, 22))])
def test_the_network_receives_the_cubic_interpolation_on_the_grid_of_the_result(scale, coarse, fine):
    volume = random_volume(*coarse)

    found = predict(interpolating(scale), volume[0, 0], fine, CPU)

    np.testing.assert_allclose(found, cubic_upsample(volume.double(), fine)[0, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_network_returns_the_cubic_interpolation(kind):
    volume = 1 + random_volume(5, 4, 6)

    found = predict(build_model(FixedScaleConfig(kind=kind)).eval(), volume[0, 0], (10, 8, 12), CPU)

    np.testing.assert_allclose(found, cubic_upsample(volume.double(), (10, 8, 12))[0, 0], rtol=0, atol=1e-5)


def test_a_point_has_the_value_of_the_fine_voxel_around_it():
    model, volume = interpolating(2.5), random_volume(4, 4, 4)
    fine = cubic_upsample(volume, (10, 10, 10))[0, 0]
    index = torch.tensor([[0, 0, 0], [9, 9, 9], [3, 8, 5]])
    inside = torch.tensor([[-0.49, 0.0, 0.49], [0.49, 0.0, -0.49], [0.3, -0.3, 0.0]])

    found = model.query(model.encode(volume), (2 * (index + inside + 0.5) / 10 - 1)[None])

    torch.testing.assert_close(found[0], fine[index.unbind(1)])


@pytest.mark.parametrize(("kind", "scale"), [("srcnn3d", 2.5), ("dcsrn", 3.0), ("rescnn", 3.5), ("rescnn", 2.0)])
def test_tiled_equals_untiled(monkeypatch, kind, scale):
    monkeypatch.setattr(upsampling, "used_memory", lambda _: 0)
    monkeypatch.setattr(upsampling, "free_memory", lambda _: 10**12)
    model = made(kind, scale)
    length = 2 * model.halo + 17
    volume = scan(length, 2, 1)
    options = UpsamplingOptions(device="cpu", precision="fp32")
    whole = upsample(volume, model, scale, options)
    one = plan_upsampling(volume, model, scale, options).memory
    limit = (one - 2 * 10 * model.bytes_per_coarse_voxel + 1) / 1e9  # crops that are ten voxels shorter

    plan = plan_upsampling(volume, model, scale, replace(options, memory_limit=limit))
    tiled = carry_out(plan, volume, model).volume

    assert len(plan.tiles) > 1
    # Not at whole fine voxels: the grid of a crop begins inside a voxel.
    assert scale == int(scale) or any(tile.crop[0].start * scale % 1 for tile in plan.tiles)
    assert whole.array.std() > 1
    np.testing.assert_allclose(tiled.array, whole.array, rtol=0, atol=1e-2)


def test_progress_is_reported_while_a_block_is_convolved():
    fractions = []

    upsample(scan(4, 4, 4), made("rescnn"), 2, UpsamplingOptions(device="cpu"), progress=fractions.append)

    assert len(fractions) > 20
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_network_is_loaded_unchanged(kind, tmp_path):
    model = made(kind, 2.5, seed=1)

    loaded = load_model(save_model(model, tmp_path / "weights.safetensors", metadata={}))

    assert loaded.config == FixedScaleConfig(kind=kind, scale=2.5)
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("asked", [3, 2.5, (2, 2, 1)])
def test_another_scale_is_refused_with_the_next_step(asked):
    with pytest.raises(InputError, match=r"srcnn3d was trained for a scale of 2 along every axis.*model\.scale"):
        upsample(scan(9, 10, 11), made("srcnn3d"), asked, UpsamplingOptions(device="cpu"))


@pytest.mark.parametrize(
    ("scale", "coarse", "fine", "accepted"),
    [
        (2.0, 54, 109, True),  # 109 voxels became 54
        (2.0, 54, 107, True),
        (2.0, 54, 110, False),
        (2.5, 5, 13, True),  # 5 voxels would become 12.5
        (2.5, 5, 14, False),
        (2.0, 1, 2, True),
    ],
)
def test_a_scale_may_differ_only_by_rounding_to_whole_voxels(scale, coarse, fine, accepted):
    try:
        made("srcnn3d", scale).check_scale([coarse] * 3, [fine] * 3)
    except InputError:
        assert not accepted
    else:
        assert accepted


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_never_rounded_to_half_precision(kind):
    model, coarse = made(kind), random_volume(6, 5, 4)
    if kind == "rescnn":  # only the residual may be rounded, which is zero here
        torch.nn.init.zeros_(model.network.conv_end[0].weight)
        torch.nn.init.zeros_(model.network.conv_end[0].bias)
    expected = predict(model, coarse[0, 0], (12, 10, 8), CPU)

    with torch.autocast("cpu", torch.bfloat16):
        found = predict(model, coarse[0, 0], (12, 10, 8), CPU)

    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("volume", [torch.zeros(1, 2, 3, 3, 3), torch.zeros(3, 3, 3), torch.zeros(1, 1, 0, 3, 3)])
def test_an_input_that_is_not_a_volume_is_refused(volume):
    with pytest.raises(ValueError, match=r"volume must be \(N, 1, D, H, W\)"):
        made("srcnn3d").encode(volume)


def test_points_of_another_batch_are_refused():
    with pytest.raises(ValueError, match=r"coordinates must be \(1, K, 3\)"):
        made("srcnn3d").query(random_volume(3, 3, 3), torch.zeros(2, 5, 3))
