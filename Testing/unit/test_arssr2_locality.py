"""The result of arssr2 at a point only depends on the coarse voxels around it, and on its position between them."""

from __future__ import annotations

import pytest
import torch

from ArSSRLib.coordinates import QueryGrid, whole_grid
from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.model.registry import build_model

SHAPE = (7, 9, 8)
FINE = (16, 9, 21)


def random_volume(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand((1, 1, *shape), generator=torch.Generator().manual_seed(seed))


def line_along(axis: int, index: torch.Tensor, count: int, others: tuple[float, float]) -> torch.Tensor:
    """Return points on a line along an axis at continuous indices, shape (1, K, 3), as coordinates."""
    coordinate = (2 * index + 1) / count - 1
    columns = [torch.full_like(coordinate, value) for value in others]
    columns.insert(axis, coordinate)
    return torch.stack(columns, dim=-1)[None]


# --- receptive field


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_feature_depends_on_exactly_the_receptive_radius(blocks):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(ArSSR2Config(channels=8, blocks=blocks, feature_channels=8))
        for block in model.blocks:  # as large as a trained one
            torch.nn.init.kaiming_normal_(block.second.weight)
    count = 2 * model.receptive_radius + 5
    center = count // 2
    volume = random_volume(count, count, count).requires_grad_()

    model.encode(volume)[0, :-1, center, center, center].sum().backward()

    # A voxel without gradient has no influence, because convolutions keep exact zeros.
    seen = volume.grad[0, 0].nonzero() - center
    assert (seen.amax(0) == model.receptive_radius).all()
    assert (seen.amin(0) == -model.receptive_radius).all()


def test_a_prediction_does_not_depend_on_voxels_beyond_the_halo(tiny_model):
    count = 2 * tiny_model.halo + 5
    volume = random_volume(count, 3, 3)
    perturbed = volume.clone()
    perturbed[:, :, 0] += 1
    grid, scale = whole_grid((count, 3, 3), (2 * count, 6, 6)), Conditioning(torch.full((1, 3), 2.0))

    with torch.no_grad():
        results = [tiny_model.query_grid(tiny_model.encode(v, scale), grid, scale) for v in (volume, perturbed)]

    # The voxel at 0 is beyond the halo of every coarse voxel after it.
    beyond = slice(2 * (tiny_model.halo + 1), None)
    torch.testing.assert_close(results[0][beyond], results[1][beyond], rtol=0, atol=1e-6)


@pytest.mark.parametrize("halo", [1, 2, 4])
def test_layers_stop_at_a_limited_halo(halo):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(ArSSR2Config(channels=16, blocks=3, feature_channels=16))
        for block in model.blocks:
            torch.nn.init.kaiming_normal_(block.second.weight)
    count, box = 27, (slice(12, 15),) * 3  # with features for interpolation at 13
    volume = random_volume(count, count, count)
    # The first convolution and its detail read three voxels more than the layers.
    seen = halo + 3
    near, far = volume.clone(), volume.clone()
    near[:, :, 13 - seen, 13, 13] += 1
    far[:, :, : 13 - seen] += 1

    with torch.no_grad():
        limited, same, other = (model.encode_box(v, box, halo=halo)[0, :-1, 1, 1, 1] for v in (volume, far, near))
        whole = model.encode_box(volume, box)[0, :-1, 1, 1, 1]

    assert torch.equal(limited, same)
    assert not torch.equal(limited, other)
    assert not torch.allclose(limited, whole, atol=1e-4)


def test_a_halo_of_the_receptive_radius_is_exact(tiny_model):
    volume, box = random_volume(17, 17, 17), (slice(6, 11),) * 3

    with torch.no_grad():
        wide, whole = (tiny_model.encode_box(volume, box, halo=halo) for halo in (3, None))

    assert torch.equal(wide, whole)


# --- translation


def test_the_prediction_does_not_depend_on_the_position_in_the_volume(tiny_model):
    shift, count = 5, 2 * tiny_model.halo + 12
    volume = random_volume(count, 8, 8)
    scale = Conditioning(torch.tensor([[2.0, 1.5, 1.5]]))
    moved = torch.roll(volume, shift, dims=2)
    grid = whole_grid((count, 8, 8), (2 * count, 12, 12))

    with torch.no_grad():
        here = tiny_model.query_grid(tiny_model.encode(volume, scale), grid, scale)
        there = tiny_model.query_grid(tiny_model.encode(moved, scale), grid, scale)

    inside = slice(2 * tiny_model.halo, 2 * (count - tiny_model.halo - shift))
    torch.testing.assert_close(there[2 * shift :][inside], here[inside], rtol=0, atol=1e-5)


def test_the_prediction_does_not_depend_on_the_coordinates_in_the_whole_volume(tiny_model):
    grid = whole_grid(SHAPE, FINE)
    elsewhere = QueryGrid(tuple(0.3 * axis + 0.1 for axis in grid.query), grid.sampling)

    with torch.no_grad():
        feature_map = tiny_model.encode(random_volume(*SHAPE))
        results = [tiny_model.query_grid(feature_map, g) for g in (grid, elsewhere)]

    assert torch.equal(*results)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_prediction_is_continuous_across_coarse_voxels(tiny_model, axis):
    count = SHAPE[axis]
    others = (0.13, -0.37)
    # At changes of the nearest coarse voxel (faces), and of the interpolated coarse voxels (centers).
    places = torch.arange(0.5, count - 1, 0.5, dtype=torch.float64)
    epsilon = 1e-6

    with torch.no_grad():
        feature_map = tiny_model.encode(random_volume(*SHAPE))
        below, above = (
            tiny_model.query(feature_map, line_along(axis, places + side, count, others))
            for side in (-epsilon, epsilon)
        )

    torch.testing.assert_close(above, below, rtol=0, atol=2e-5)


def test_the_prediction_is_as_smooth_at_faces_as_inside(tiny_model):
    count = SHAPE[1]
    index = torch.arange(0.0, count - 1, 0.01, dtype=torch.float64)

    with torch.no_grad():
        feature_map = tiny_model.encode(random_volume(*SHAPE))
        steps = tiny_model.query(feature_map, line_along(1, index, count, (0.13, -0.37)))[0].diff().abs()

    # A jump would exceed the slope, which is at most a few times the mean step.
    assert float(steps.max()) < 6 * float(steps.mean())


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_outermost_half_voxel_does_not_fade(tiny_model, axis):
    count, phases = SHAPE[axis], 20
    index = (torch.arange(count * phases, dtype=torch.float64) + 0.5) / phases - 0.5

    with torch.no_grad():
        feature_map = tiny_model.encode(torch.ones((1, 1, *SHAPE)))
        feature_map[:, -1] = 0
        line = tiny_model.query(feature_map, line_along(axis, index, count, (0.0, 0.0)))[0].view(count, phases)

    # The border has no effect on a constant volume: the residual is periodic from the first voxel to the last.
    assert float(line.std(dim=1).min()) > 1e-4
    torch.testing.assert_close(line, line[count // 2].expand_as(line), rtol=0, atol=1e-5)
