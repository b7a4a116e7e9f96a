"""Every kernel, graph, number format and tile path on a device, compared with the CPU in fp32.

Each function returns the largest error, as a fraction of the intensity range, and whether it is within the tolerance.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ArSSRLib.convolution.slabs import unobserved
from ArSSRLib.coordinates import QueryGrid, whole_grid
from ArSSRLib.errors import MemoryLimitError
from ArSSRLib.interpolation import spline_on_grid
from ArSSRLib.kernels import FUSED_FROM, TOLERANCES, choosing, measured_executor
from ArSSRLib.kernels.encoding import published_encoder, residual_encoder
from ArSSRLib.kernels.graphs import Repeated, cuda_graph
from ArSSRLib.kernels.paths import ResidualTile
from ArSSRLib.kernels.tables import axis_tables, pack_published, pack_residual
from ArSSRLib.kernels.transfer import to_device, to_host
from ArSSRLib.model.arssr import ArSSR
from ArSSRLib.model.arssr2 import ArSSR2
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import plan_upsampling, upsample
from gpu.networks import FORMATS, device_of, network, script
from gpu.plan import PUBLISHED
from gpu.ways import computing, network_on_device, path_of, reference_path

VECTORS = Path(__file__).resolve().parents[1] / "reference" / "vectors.npz"
# Without TF32, a GPU adds the same float32 products as the CPU in another order.
FULL = 2e-4
# Largest difference of a kernel, relative to its largest value. Triton's interpreter truncates to bf16.
KERNEL = {"fp16": 6e-3, "bf16": 6e-2}


def tolerance_of(model: ArSSR | ArSSR2, number_format: str) -> float:
    """Return the largest difference that counts as rounding, as a fraction of the intensity range."""
    return FULL if number_format == "fp32" else TOLERANCES[type(model)]


def verdict(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> dict[str, Any]:
    """Compare a result with the correct one; NaN counts as wrong."""
    difference = (found.cpu().double() - expected.double()).abs()
    largest = float(difference.max())
    # Tested separately, because the maximum ignores NaN on some devices.
    sound = bool(torch.isfinite(found).all())
    rms = math.sqrt(float(difference.square().mean()))
    return {"error": largest, "rms": rms, "tolerance": tolerance, "right": sound and largest <= tolerance}


def tile(*, tiny: bool, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, QueryGrid]:
    """Return normalized intensities (1, 1, D, H, W), factors (1, 3) and the fine grid of a small volume, on the CPU."""
    size, fine = ((4, 2, 2), (2, 3, 5)) if tiny else ((28, 24, 20), (41, 48, 61))
    volume = script("phantom").noisy_phantom(size)
    coarse = torch.from_numpy(IntensityRange.of(volume.array).normalize(volume.array))
    # Another tile of the same shape, for the same graph.
    coarse = torch.roll(coarse, seed, 2)[None, None].contiguous()
    shape = (coarse.shape[2], coarse.shape[3], coarse.shape[4])
    scale = torch.tensor([[m / n for m, n in zip(fine, shape, strict=True)]])
    return coarse, scale, whole_grid(shape, fine)


@lru_cache(maxsize=8)
def expected_of(model: str, *, tiny: bool, seed: int = 0) -> torch.Tensor:
    """Return the correct result for `tile`: plain, on the CPU, in fp32."""
    coarse, scale, grid = tile(tiny=tiny, seed=seed)
    with torch.inference_mode():
        plain = reference_path(network(model, tiny=tiny))
        return plain.encode_tile(coarse, Conditioning(scale), unobserved)(grid)


def golden(*, tiny: bool) -> dict[str, Any]:
    """Compare the published network with the vectors from its specification, never tiny."""
    device = device_of(tiny=tiny)
    with np.load(VECTORS) as file:
        coarse = torch.from_numpy(file["RDN__lr"])
        expected = torch.from_numpy(file["RDN__hr_x2.5"])
    model = network(PUBLISHED, tiny=False)
    grid = whole_grid(tuple(coarse.shape), tuple(expected.shape))  # type: ignore[arg-type]
    scale = torch.full((1, 3), 2.5, device=device)
    with computing("fp32", device):
        plain = path_of(model.to(device), "plain", "fp32", device=device)
        found = plain.encode_tile(coarse[None, None].to(device), Conditioning(scale), unobserved)(grid)
    model.cpu()
    return verdict(found, expected, FULL * max(1.0, float(expected.abs().max())))


def copies(*, tiny: bool) -> dict[str, Any]:
    """Copy blocks to the device and back while it computes, and verify their content and position."""
    device = device_of(tiny=tiny)
    blocks = [torch.rand(64, 64, 64 if not tiny else 2) for _ in range(6)]
    answers = ((number, to_device(block, device) * 2 + number) for number, block in enumerate(blocks))
    found = [(number, torch.from_numpy(array).clone()) for number, array in to_host(answers)]
    in_order = [number for number, _ in found] == list(range(6))
    expected = torch.stack([block * 2 + number for number, block in enumerate(blocks)])
    values = verdict(torch.stack([block for _, block in found]), expected, 1e-6)
    return values | {"right": values["right"] and in_order}


def precision(*, model: str, number_format: str, tiny: bool) -> dict[str, Any]:
    """Compute with the model itself, in a number format."""
    return _answer(model, "plain", number_format, tiny=tiny)


def path(*, model: str, number_format: str, fused: bool, tiny: bool) -> dict[str, Any]:
    """Compute three tiles of one shape: launched, recorded, and replayed; the last one is compared."""
    return _answer(model, "fused" if fused else "unfused", number_format, tiny=tiny)


def _answer(model: str, way: str, number_format: str, *, tiny: bool) -> dict[str, Any]:
    device = device_of(tiny=tiny)
    on_device = network_on_device(model, tiny=tiny)
    with computing(number_format, device):
        answering = path_of(on_device, way, number_format, device=device)
        # Triton's interpreter is slow: once is enough to verify that the kernel fits the path.
        for seed in (0,) if tiny and way == "fused" else (2, 1, 0):
            coarse, scale, grid = tile(tiny=tiny, seed=seed)
            told = Conditioning(scale.to(device))
            found = answering.encode_tile(coarse.to(device), told, unobserved)(grid)
    return verdict(found, expected_of(model, tiny=tiny), tolerance_of(on_device, number_format))


@torch.inference_mode()
def kernel(*, model: str, number_format: str, tiny: bool) -> dict[str, Any]:
    """Decode one feature map by the fused kernel, and by the model on the CPU."""
    device, on_cpu = device_of(tiny=tiny), network(model, tiny=tiny)
    coarse, scale, grid = tile(tiny=tiny)
    generator = torch.Generator().manual_seed(1)
    channels = on_cpu.config.feature_channels + isinstance(on_cpu, ArSSR2)
    feature_map = torch.randn(1, channels, *coarse.shape[2:], generator=generator)
    expected = on_cpu.query_grid(feature_map, grid, Conditioning(scale))
    if isinstance(on_cpu, ArSSR2):  # the kernel does not compute the spline below the residual
        expected = expected - spline_on_grid(feature_map[0, -1], grid.sampling)
    found = _decoded(model, feature_map.to(device), grid, scale.to(device), number_format=number_format, tiny=tiny)
    return verdict(found, expected, KERNEL[number_format] * float(expected.abs().max()))


def _decoded(
    name: str, feature_map: torch.Tensor, grid: QueryGrid, scale: torch.Tensor, *, number_format: str, tiny: bool
) -> torch.Tensor:
    from ArSSRLib.kernels.published_decoder import decode_grid  # noqa: PLC0415 - Triton may be missing

    model, kind = network_on_device(name, tiny=tiny), FORMATS[number_format]
    last = feature_map[0].permute(1, 2, 3, 0)
    if isinstance(model, ArSSR):
        tables = axis_tables(grid, last.shape[:3], feature_map.device, padding="zeros")
        layers = pack_published(model.decoder, model.config.feature_channels, kind)
        return decode_grid(last.contiguous().to(kind), tables, layers)
    layers = pack_residual(list(model.hidden), model.output, kind)
    coefficients = last[..., -1].contiguous()
    tile_of = ResidualTile(model, layers, last[..., :-1].contiguous().to(kind), coefficients, Conditioning(scale))
    return tile_of.answer(grid) - spline_on_grid(coefficients, grid.sampling)


def graph(*, model: str, number_format: str, tiny: bool) -> dict[str, Any]:
    """Record the encoder and replay it on another tile: the result must equal that of launching it."""
    device, on_device = device_of(tiny=tiny), network_on_device(model, tiny=tiny)
    kind = FORMATS[number_format]
    recorded = []

    def record(function: Any, inputs: Any) -> Any:
        recorded.append(len(inputs))
        return cuda_graph(function, inputs) if device.type == "cuda" else function

    if isinstance(on_device, ArSSR):
        encoder, takes = published_encoder(on_device, kind), 1
    else:
        encoder, takes = residual_encoder(on_device, kind), 2  # type: ignore[assignment]
    repeated = Repeated(encoder, record)
    with torch.inference_mode():
        for seed in (2, 1, 0):
            inputs = [part.to(device) for part in tile(tiny=tiny, seed=seed)[:2]][:takes]
            found = repeated(*inputs)
        expected = encoder(*inputs).float()
    values = verdict(found.float(), expected.cpu(), 1e-3 * float(expected.abs().max()))
    return values | {"right": values["right"] and recorded == [takes]}


def choice(*, model: str, tiny: bool) -> dict[str, Any]:
    """Let the engine measure all of its implementations on a first tile; report the choice and the rejected ones."""
    device, on_device = device_of(tiny=tiny), network_on_device(model, tiny=tiny)
    choosing.choices.clear()
    if tiny:  # without a GPU, the engine does not measure by default
        coarse, scale, _ = tile(tiny=tiny)
        with computing("bf16", device):
            measuring = measured_executor(on_device, torch.bfloat16, recorded=False, fused=False, device=device)
            measuring.encode_tile(coarse, Conditioning(scale), unobserved)
    else:
        edge = math.ceil((FUSED_FROM / 8) ** (1 / 3))
        volume = script("phantom").noisy_phantom((edge, edge, edge))
        upsample(volume, on_device, 2, UpsamplingOptions(device=str(device), backend="fused"))
    (found,) = choosing.choices.values()
    times = {f"{name} ms": took for name, took in found.milliseconds.items()}
    wrong = "; ".join(f"{name} {reason}" for name, reason in found.wrong.items())
    return {"used": found.way, **times, "message": wrong, "right": not wrong}


def tiles(*, model: str, tiny: bool) -> dict[str, Any]:
    """Upsample in as many tiles as the smallest memory requires, and on the CPU in fp32 in one tile."""
    device, on_cpu = device_of(tiny=tiny), network(model, tiny=tiny)
    large = (72, 40, 40) if model == PUBLISHED else (96, 72, 64)
    volume = script("phantom").noisy_phantom((14, 12, 10) if tiny else large)
    expected = upsample(volume, on_cpu, 2, UpsamplingOptions(device="cpu", precision="fp32")).array
    on_device = network_on_device(model, tiny=tiny)
    limit, count = 64.0, 1
    for smaller in (64.0 / 1.1**power for power in range(100)):
        try:
            options = UpsamplingOptions(device=str(device), memory_limit=smaller)
            count = len(plan_upsampling(volume, on_device, 2, options).tiles)
        except MemoryLimitError:
            break
        limit = smaller
    found = upsample(volume, on_device, 2, UpsamplingOptions(device=str(device), memory_limit=limit)).array
    intensities = IntensityRange.of(volume.array)
    normalized = [torch.from_numpy(intensities.normalize(array)) for array in (found, expected)]
    values = verdict(*normalized, tolerance_of(on_device, "fp16"))
    return {"tiles": count, **values, "right": values["right"] and (tiny or count > 1)}
