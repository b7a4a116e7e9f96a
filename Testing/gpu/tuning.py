"""The fused kernels alone, with several block sizes; the fastest correct one becomes the block size of a GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from statistics import median
from typing import Any

import torch

from ArSSRLib.coordinates import whole_grid
from ArSSRLib.kernels.published_decoder import Block, decode_grid
from ArSSRLib.kernels.residual_decoder import add_residual_grid
from ArSSRLib.kernels.tables import AxisTables, axis_tables, pack_published, pack_residual
from ArSSRLib.model.arssr import ArSSR
from ArSSRLib.model.arssr2 import RESIDUAL_GAIN, ArSSR2
from ArSSRLib.model.blocks import SLOPE
from gpu.jobs import milliseconds, rounds
from gpu.networks import FORMATS, device_of
from gpu.plan import DEFAULT, PUBLISHED
from gpu.ways import network_on_device

# Coarse voxels along an axis of the feature map; the fine grid has twice this number.
EDGE, TINY_EDGE = 66, 1


def published(*, rows: int, columns: int, warps: int, number_format: str, tiny: bool) -> dict[str, Any]:
    """Time the kernel of the published decoder with one block."""
    model, features, fine = _prepared(PUBLISHED, number_format, padding="zeros", tiny=tiny)
    assert isinstance(model, ArSSR)
    layers = pack_published(model.decoder, model.config.feature_channels, FORMATS[number_format])
    block = Block(rows, columns, warps)
    weights = sum(p.numel() for p in model.decoder.parameters() if p.ndim == 2)
    return _timed(lambda: decode_grid(features, fine, layers, block=block), PUBLISHED, number_format, weights, tiny)


def residual(*, rows: int, number_format: str, tiny: bool) -> dict[str, Any]:
    """Time the kernel of the decoder of arssr2 with one row length."""
    model, features, fine = _prepared(DEFAULT, number_format, padding="border", tiny=tiny)
    assert isinstance(model, ArSSR2)
    layers = pack_residual(list(model.hidden), model.output, FORMATS[number_format])
    gains, shifts = torch.rand(2, len(fine.query), model.config.feature_channels, device=features.device)

    def decode() -> torch.Tensor:
        """Add the residual to zero."""
        result = torch.zeros(fine.shape, device=features.device)
        options = {"modulation": (gains, shifts), "slope": SLOPE, "residual_gain": RESIDUAL_GAIN, "rows": rows}
        torch.manual_seed(0)
        return add_residual_grid(result, features, fine, layers, **options)

    weights = sum(layer.weight.numel() for layer in (*model.hidden, model.output))  # type: ignore[union-attr,misc]
    return _timed(decode, DEFAULT, number_format, weights, tiny)


@lru_cache(maxsize=1)
def _prepared(
    name: str, number_format: str, *, padding: str, tiny: bool
) -> tuple[ArSSR | ArSSR2, torch.Tensor, AxisTables]:
    """Return a network, a feature map (d, h, w, C), and the tables of a grid of twice its resolution."""
    device, model, edge = device_of(tiny=tiny), network_on_device(name, tiny=tiny), TINY_EDGE if tiny else EDGE
    generator = torch.Generator(device).manual_seed(0)
    shape = (edge, edge, edge, model.config.feature_channels)
    features = torch.randn(shape, device=device, generator=generator).to(FORMATS[number_format])
    grid = whole_grid((edge, edge, edge), (2 * edge, 2 * edge, 2 * edge))
    return model, features, axis_tables(grid, (edge, edge, edge), device, padding=padding)


_first: dict[tuple[str, str], torch.Tensor] = {}


@torch.inference_mode()
def _timed(
    decode: Callable[[], torch.Tensor], name: str, number_format: str, weights: int, tiny: bool
) -> dict[str, Any]:
    device = device_of(tiny=tiny)
    found = decode()  # compiles
    # Block sizes only change the order of sums, so results differ by rounding.
    expected = _first.setdefault((name, number_format), found)
    error = float((found - expected).abs().max() / expected.abs().max())
    took = median(rounds(lambda: milliseconds(decode, device), tiny=tiny))
    flops = 2.0 * weights * found.numel() / took / 1e9
    return {"ms": took, "TFLOP/s": flops, "difference": error, "right": error < 0.01}
