"""The fused kernel of the published network agrees with the model, in Triton's interpreter on the CPU."""

from __future__ import annotations

import pytest
import torch

from ArSSRLib.coordinates import QueryGrid, cell_centers, index_of, whole_grid
from ArSSRLib.kernels.tables import axis_tables, pack_published
from ArSSRLib.model.arssr import ArSSR, ArSSRConfig

pytest.importorskip("triton", reason="there is no Triton here (pip install triton; Linux only)")
from ArSSRLib.kernels.published_decoder import HOPPER, OTHERS, Block, block_of, decode_grid

# Largest error relative to the largest value. The interpreter truncates to bf16, which doubles the error of a GPU.
TOLERANCES = {torch.float32: 2e-6, torch.float16: 4e-3, torch.bfloat16: 5e-2}


def network(*, channels: int = 5, width: int = 12, depth: int = 3) -> ArSSR:
    """A published network of any size, with biases, and weights that keep the size of features."""
    torch.manual_seed(20260)
    model = ArSSR(
        ArSSRConfig(encoder="ResCNN", feature_channels=channels, decoder_depth=depth, decoder_width=width)
    ).eval()
    for parameter in model.decoder.parameters():
        torch.nn.init.normal_(parameter, std=(2 / parameter.shape[-1]) ** 0.5 if parameter.ndim == 2 else 0.2)
    torch.nn.init.constant_(
        model.decoder.stage_two[-2].bias, 0.5
    )  # so that the following rectifier does not return only zeros
    return model


def fused(model: ArSSR, feature_map: torch.Tensor, grid: QueryGrid, *, number_format=torch.float32, **options):
    features = feature_map[0].permute(1, 2, 3, 0).contiguous().to(number_format)
    tables = axis_tables(grid, features.shape[:3], features.device, padding="zeros")
    return decode_grid(features, tables, pack_published(model.decoder, features.shape[-1], number_format), **options)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    assert expected.max() > 0.1
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("number_format", TOLERANCES, ids=str)
def test_it_agrees_with_the_model_within_the_rounding_of_the_number_format(number_format):
    model = network()
    feature_map = torch.randn(1, 5, 3, 4, 5)
    grid = whole_grid((3, 4, 5), (5, 7, 9))  # 315 voxels, not a multiple of a block

    found = fused(model, feature_map, grid, number_format=number_format)

    assert found.dtype == torch.float32
    assert relative_error(found, model.query_grid(feature_map, grid)) < TOLERANCES[number_format]


@pytest.mark.parametrize(
    ("channels", "width", "depth"),
    [(16, 16, 2), (3, 70, 2), (20, 33, 5), (128, 256, 4)],
    ids=["no hidden layer", "two tiles of columns", "deep", "published"],
)
def test_padding_a_decoder_of_any_size_does_not_change_the_result(channels, width, depth):
    model = network(channels=channels, width=width, depth=depth)
    feature_map = torch.randn(1, channels, 2, 3, 2)
    grid = whole_grid((2, 3, 2), (3, 4, 4))

    assert relative_error(fused(model, feature_map, grid), model.query_grid(feature_map, grid)) < 4e-6


def test_it_agrees_with_grid_sample_at_the_border_with_zero_padding():
    """Compares point by point with `query`, which shares no code, also with zeros in the outermost half voxel."""
    model = network()
    feature_map = torch.randn(1, 5, 2, 3, 4)
    grid = whole_grid((2, 3, 4), (8, 6, 12))
    points = torch.stack(torch.meshgrid(*(axis.float() for axis in grid.query), indexing="ij"), dim=-1)

    expected = model.query(feature_map, points.view(1, -1, 3)).view(grid.shape).detach()

    assert relative_error(fused(model, feature_map, grid), expected) < 1e-5


def test_query_coordinates_enter_the_decoder_and_sampling_coordinates_read_the_features():
    """A crop that does not begin at the first voxel of the volume, with a different length along each axis."""
    model = network()
    feature_map = torch.randn(1, 5, 4, 3, 5)
    corners, coarse, fine = (2, 0, 3), (7, 6, 9), (11, 17, 13)
    blocks = (slice(4, 9), slice(0, 7), slice(5, 12))
    query = [cell_centers(count)[block] for count, block in zip(fine, blocks, strict=True)]
    sampling = [index_of(q, n) - corner for q, n, corner in zip(query, coarse, corners, strict=True)]
    grid = QueryGrid(tuple(query), tuple(sampling))

    assert relative_error(fused(model, feature_map, grid), model.query_grid(feature_map, grid)) < 2e-6


@pytest.mark.parametrize("block", [HOPPER, OTHERS, Block(16, 16, 4), Block(32, 32, 4)], ids=str)
def test_the_size_of_a_block_does_not_change_the_result(block):
    model = network(width=40)
    feature_map = torch.randn(1, 5, 2, 2, 3)
    grid = whole_grid((2, 2, 3), (3, 5, 7))

    found = fused(model, feature_map, grid, block=block)

    assert relative_error(found, model.query_grid(feature_map, grid)) < 2e-6


@pytest.mark.parametrize(("capability", "block"), [((8, 0), OTHERS), ((9, 0), HOPPER), ((12, 0), OTHERS)], ids=str)
def test_the_block_size_depends_on_the_generation_of_the_gpu(monkeypatch, capability, block):
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)

    assert block_of(torch.device("cuda:0")) == block
