"""arssr2 is cubic interpolation plus a residual, which depends on the position in the coarse voxel only."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from ArSSRLib.coordinates import QueryGrid, cell_centers, index_of, whole_grid
from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.model.registry import build_model

SHAPE = (7, 9, 8)
FINE = (16, 9, 21)


def random_volume(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand((1, 1, *shape), generator=torch.Generator().manual_seed(seed))


def grid_points(grid: QueryGrid) -> torch.Tensor:
    """Return all points of a grid, shape (1, K, 3), in the order of its voxels."""
    return torch.stack(torch.meshgrid(*grid.query, indexing="ij"), dim=-1).reshape(1, -1, 3)


scale_of = Conditioning.between


def line_along(axis: int, index: torch.Tensor, count: int, others: tuple[float, float]) -> torch.Tensor:
    """Return points on a line along an axis at continuous indices, shape (1, K, 3), as coordinates."""
    coordinate = (2 * index + 1) / count - 1
    columns = [torch.full_like(coordinate, value) for value in others]
    columns.insert(axis, coordinate)
    return torch.stack(columns, dim=-1)[None]


@pytest.fixture
def new_model():
    """Return arssr2 before its first training step."""
    return build_model(ArSSR2Config(channels=4, blocks=1, feature_channels=8)).eval()


@pytest.fixture
def residual(tiny_model):
    """Return a function that returns only the residual, on the grid of fine voxels."""

    def of(volume: torch.Tensor, fine: tuple[int, ...], scale: Conditioning | None = None) -> torch.Tensor:
        grid = whole_grid(tuple(volume.shape[2:]), fine)
        with torch.no_grad():
            feature_map = tiny_model.encode_lean(volume, scale)
            whole = tiny_model.query_grid(feature_map, grid, scale)
            feature_map[:, -1] = 0
            assert not torch.equal(tiny_model.query_grid(feature_map, grid, scale), whole)
            return tiny_model.query_grid(feature_map, grid, scale)

    return of


# --- query and query_grid


@pytest.mark.parametrize("fine", [FINE, (7, 9, 8), (14, 18, 16), (56, 10, 9)])
def test_query_grid_agrees_with_query(tiny_model, fine):
    scale, grid = scale_of(SHAPE, fine), whole_grid(SHAPE, fine)

    with torch.no_grad():
        feature_map = tiny_model.encode(random_volume(*SHAPE), scale)
        on_grid = tiny_model.query_grid(feature_map, grid, scale)
        at_points = tiny_model.query(feature_map, grid_points(grid), scale)

    assert on_grid.shape == fine
    torch.testing.assert_close(on_grid.flatten(), at_points[0].float(), rtol=0, atol=1e-5)


def test_a_block_agrees_with_the_same_voxels_of_the_whole(tiny_model):
    grid, scale = whole_grid(SHAPE, FINE), scale_of(SHAPE, FINE)
    rows = (slice(3, 11), slice(0, 1), slice(7, 21))
    block = QueryGrid(
        tuple(axis[s] for axis, s in zip(grid.query, rows, strict=True)),
        tuple(axis[s] for axis, s in zip(grid.sampling, rows, strict=True)),
    )

    with torch.no_grad():
        feature_map = tiny_model.encode(random_volume(*SHAPE), scale)
        whole = tiny_model.query_grid(feature_map, grid, scale)
        part = tiny_model.query_grid(feature_map, block, scale)

    torch.testing.assert_close(part, whole[rows], rtol=0, atol=1e-6)


def test_points_in_single_precision_are_close_to_those_in_double(tiny_model):
    points = torch.rand((1, 200, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1

    with torch.no_grad():
        feature_map = tiny_model.encode(random_volume(*SHAPE))
        double, single = tiny_model.query(feature_map, points), tiny_model.query(feature_map, points.float())

    torch.testing.assert_close(single.float(), double.float(), rtol=0, atol=1e-4)


def test_no_scale_means_a_scale_of_2(tiny_model):
    grid, two = whole_grid(SHAPE, FINE), Conditioning(torch.full((1, 3), 2.0))

    with torch.no_grad():
        stated = tiny_model.query_grid(tiny_model.encode(random_volume(*SHAPE), two), grid, two)
        silent = tiny_model.query_grid(tiny_model.encode(random_volume(*SHAPE)), grid)

    assert torch.equal(stated, silent)


# --- cubic interpolation


@pytest.mark.parametrize("shape", [SHAPE, (1, 5, 6), (1, 1, 1), (2, 3, 1)])
def test_a_new_network_is_the_cubic_spline(new_model, shape):
    volume = random_volume(*shape)
    fine = tuple(2 * n + 1 for n in shape)
    positions = [(np.arange(m) + 0.5) * n / m - 0.5 if n > 1 else np.zeros(m) for n, m in zip(shape, fine, strict=True)]

    with torch.no_grad():
        result = new_model.query_grid(new_model.encode(volume), whole_grid(shape, fine))

    grid = np.meshgrid(*positions, indexing="ij")
    expected = ndimage.map_coordinates(volume[0, 0].double().numpy(), grid, order=3, mode="mirror")
    np.testing.assert_allclose(result, expected, rtol=0, atol=2e-6)


def test_a_new_network_is_the_cubic_spline_at_scattered_points(new_model):
    volume = random_volume(*SHAPE)
    points = torch.rand((1, 300, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1

    with torch.no_grad():
        result = new_model.query(new_model.encode(volume), points)

    positions = [((points[0, :, axis] + 1) * n / 2 - 0.5).numpy() for axis, n in enumerate(SHAPE)]
    expected = ndimage.map_coordinates(volume[0, 0].double().numpy(), positions, order=3, mode="mirror")
    np.testing.assert_allclose(result[0], expected, rtol=0, atol=2e-6)


def test_the_first_step_of_training_reaches_the_last_layer(new_model):
    new_model.train()
    points = torch.rand((1, 50, 3), generator=torch.Generator().manual_seed(0)) * 2 - 1

    new_model.query(new_model.encode(random_volume(*SHAPE)), points).square().mean().backward()

    assert new_model.output.weight.grad.abs().max() > 0


def test_recording_gradients_does_not_change_the_result(tiny_model):
    points = torch.rand((1, 50, 3), generator=torch.Generator().manual_seed(0)) * 2 - 1

    with torch.no_grad():
        without = tiny_model.query(tiny_model.encode_lean(random_volume(*SHAPE)), points)

    torch.testing.assert_close(tiny_model.query(tiny_model.encode(random_volume(*SHAPE)), points), without)


# --- scale


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_network_receives_the_scale_of_each_axis(residual, axis):
    two, other = torch.full((1, 3), 2.0), torch.full((1, 3), 2.0)
    other[0, axis] = 5.0
    volume = random_volume(*SHAPE)

    results = [residual(volume, FINE, Conditioning(scale)) for scale in (two, other)]

    assert float((results[0] - results[1]).abs().max()) > 1e-5


# --- batches, shapes, precision


def test_items_of_a_batch_are_independent(tiny_model):
    volumes = torch.cat([random_volume(*SHAPE, seed=n) for n in range(3)])
    scale = torch.tensor([[2.0, 2, 2], [1, 1, 4], [3, 1.5, 2]])
    points = torch.rand((3, 60, 3), generator=torch.Generator().manual_seed(0)) * 2 - 1

    with torch.no_grad():
        together = tiny_model.query(tiny_model.encode(volumes, Conditioning(scale)), points, Conditioning(scale))
        for n in range(3):
            one = slice(n, n + 1)
            told = Conditioning(scale[one])
            alone = tiny_model.query(tiny_model.encode(volumes[one], told), points[one], told)
            torch.testing.assert_close(together[one], alone, rtol=0, atol=1e-5)


def test_a_feature_map_has_the_coarse_grid(tiny_model):
    feature_map = tiny_model.encode(random_volume(*SHAPE))

    assert feature_map.shape == (1, tiny_model.config.feature_channels + 1, *SHAPE)


@pytest.mark.parametrize("shape", [SHAPE, (1, *SHAPE), (1, 2, *SHAPE), (1, 1, 1, *SHAPE)])
def test_a_volume_of_another_shape_is_refused(tiny_model, shape):
    with pytest.raises(ValueError, match=r"\(N, 1, D, H, W\)"):
        tiny_model.encode(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(3,), (1, 2), (2, 3), (3, 1)])
def test_a_scale_of_another_shape_is_refused(tiny_model, shape):
    with pytest.raises(ValueError, match=r"scale must be \(1, 3\)"):
        tiny_model.encode(random_volume(*SHAPE), Conditioning(torch.full(shape, 2.0)))


@pytest.mark.parametrize("shape", [(5, 3), (1, 5, 2), (2, 5, 3), (1, 3, 5)])
def test_coordinates_of_another_shape_are_refused(tiny_model, shape):
    feature_map = tiny_model.encode(random_volume(*SHAPE))

    with pytest.raises(ValueError, match=r"coordinates must be \(1, K, 3\)"):
        tiny_model.query(feature_map, torch.zeros(shape))


def in_both_precisions(model: torch.nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the result on a fine grid in fp32, and with autocast to bf16."""
    grid, scale = whole_grid(SHAPE, FINE), scale_of(SHAPE, FINE)
    volume = random_volume(*SHAPE)
    answers = []
    for enabled in (False, True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            answers.append(model.query_grid(model.encode_lean(volume, scale), grid, scale))
    return answers[0], answers[1]


def test_bf16_is_close_to_fp32(tiny_model, residual):
    exact, rounded = in_both_precisions(tiny_model)

    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    # bf16 has 8 bits, and the roundings of a few layers add up.
    size = float(residual(random_volume(*SHAPE), FINE, scale_of(SHAPE, FINE)).abs().max())
    assert float((rounded - exact).abs().max()) < 0.05 * size


def test_the_cubic_spline_stays_in_single_precision_under_bf16(new_model):
    exact, rounded = in_both_precisions(new_model)

    torch.testing.assert_close(rounded, exact, rtol=0, atol=1e-6)


def test_the_cubic_spline_of_points_stays_in_single_precision_under_bf16(new_model):
    points = torch.rand((1, 50, 3), generator=torch.Generator().manual_seed(0)) * 2 - 1
    volume = random_volume(*SHAPE)

    with torch.no_grad():
        exact = new_model.query(new_model.encode(volume), points)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = new_model.query(new_model.encode(volume), points)

    torch.testing.assert_close(rounded, exact, rtol=0, atol=1e-6)


def test_the_memory_of_a_coarse_voxel_grows_with_the_channels():
    few, many = (build_model(ArSSR2Config(channels=c)) for c in (8, 64))

    assert 4 * 64 < few.bytes_per_coarse_voxel < many.bytes_per_coarse_voxel


def test_the_same_seed_builds_the_same_network():
    weights = []
    for _ in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            weights.append(build_model(ArSSR2Config(channels=4, blocks=1, feature_channels=4)).head.weight)

    assert torch.equal(*weights)


def test_a_query_at_voxel_centers_of_a_new_network_returns_the_voxels(new_model):
    volume = random_volume(*SHAPE)
    points = torch.stack(torch.meshgrid(*[cell_centers(n) for n in SHAPE], indexing="ij"), dim=-1).reshape(1, -1, 3)
    assert float(index_of(points[0, 0, 0], SHAPE[0])) == pytest.approx(0)

    with torch.no_grad():
        result = new_model.query(new_model.encode(volume), points)

    torch.testing.assert_close(result.view(SHAPE).float(), volume[0, 0], rtol=0, atol=2e-6)
