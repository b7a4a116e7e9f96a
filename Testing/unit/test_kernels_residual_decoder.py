"""The fused kernel of arssr2 and arssr3 agrees with the model, in Triton's interpreter on the CPU."""

from __future__ import annotations

import pytest
import torch

from ArSSRLib.coordinates import QueryGrid, cell_centers, index_of, whole_grid
from ArSSRLib.interpolation import spline_on_grid
from ArSSRLib.kernels.paths import ResidualTile
from ArSSRLib.kernels.tables import pack_residual
from ArSSRLib.model.arssr2 import ArSSR2, ArSSR2Config
from ArSSRLib.model.arssr3 import ArSSR3Config
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.model.registry import build_model

pytest.importorskip("triton", reason="there is no Triton here (pip install triton; Linux only)")

# Largest error relative to the largest residual. The interpreter truncates to bf16, which doubles the error of a GPU.
TOLERANCES = {torch.float32: 3e-6, torch.float16: 4e-3, torch.bfloat16: 5e-2}


def network(*, channels: int = 6, layers: int = 2, config=ArSSR2Config) -> ArSSR2:
    torch.manual_seed(20260)
    model = build_model(config(channels=4, blocks=1, feature_channels=channels, decoder_layers=layers)).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1 or not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def check(model: ArSSR2, grid: QueryGrid, coarse, *, scale=(2.0, 2.0, 2.0), number_format=None, acquisition=None):
    """Compare the residuals that the kernel and the model add to the same spline."""
    number_format = number_format or torch.float32
    feature_map = torch.randn(1, model.config.feature_channels + 1, *coarse)
    told = Conditioning(torch.tensor([scale]), acquisition)
    tile = ResidualTile(
        model,
        pack_residual(list(model.hidden), model.output, number_format),
        feature_map[0, :-1].permute(1, 2, 3, 0).contiguous().to(number_format),
        feature_map[0, -1],
        told,
    )
    with torch.no_grad():
        spline = spline_on_grid(feature_map[0, -1], grid.sampling)
        expected = model.query_grid(feature_map, grid, told) - spline
        found = tile.answer(grid) - spline
    assert expected.abs().max() > 0.01
    assert float((found - expected).abs().max() / expected.abs().max()) < TOLERANCES[number_format]


@pytest.mark.parametrize("number_format", TOLERANCES, ids=str)
def test_it_agrees_with_the_model_within_the_rounding_of_the_number_format(number_format):
    check(network(), whole_grid((3, 2, 5), (5, 3, 9)), (3, 2, 5), number_format=number_format)


@pytest.mark.parametrize(("channels", "layers"), [(16, 1), (33, 2), (5, 4), (64, 2)])
def test_padding_a_decoder_of_any_size_does_not_change_the_result(channels, layers):
    check(network(channels=channels, layers=layers), whole_grid((2, 3, 2), (3, 4, 5)), (2, 3, 2))


def test_a_row_longer_than_a_block_is_computed_to_its_end():
    check(network(), whole_grid((2, 2, 24), (2, 3, 70)), (2, 2, 24), scale=(1.0, 1.5, 2.9167))


def test_each_axis_has_a_separate_modulation_and_scale():
    check(network(), whole_grid((4, 2, 2), (5, 4, 7)), (4, 2, 2), scale=(1.25, 2.0, 3.5))


def test_each_axis_has_a_separate_slice_profile():
    model, acquisition = network(config=ArSSR3Config), torch.rand(1, 3, 5)
    torch.nn.init.normal_(model.output.weight)  # so that the residual is not lost in the rounding of the spline

    check(model, whole_grid((4, 2, 2), (5, 4, 7)), (4, 2, 2), scale=(1.25, 2.0, 3.5), acquisition=acquisition)


def test_a_tile_is_read_at_its_position_in_the_volume():
    corners, coarse, fine = (2, 0, 3), (7, 6, 9), (11, 17, 13)
    blocks = (slice(4, 7), slice(0, 4), slice(5, 12))
    query = [cell_centers(count)[block] for count, block in zip(fine, blocks, strict=True)]
    sampling = [index_of(q, n) - corner for q, n, corner in zip(query, coarse, corners, strict=True)]

    check(network(), QueryGrid(tuple(query), tuple(sampling)), (4, 3, 5))
