"""The gain of each optimization of the CPU path: the same work with and without it, alternating, as ratios.

    python Testing/benchmarks/optimizations.py [--threads N] [--rounds N] [--edge N]

Optimizations without a gain are included. The table is printed and written to ``bench_output/optimizations.md``;
``Resources/Performance/optimizations.md`` explains the rows.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch
import torch.nn.functional as F
from procedures import default_network, published_network
from torch import Tensor

from ArSSRLib.convolution import slabs
from ArSSRLib.coordinates import whole_grid
from ArSSRLib.model import arssr, arssr2
from ArSSRLib.model.arssr import ArSSR
from ArSSRLib.model.arssr2 import ArSSR2
from ArSSRLib.model.blocks import BRANCH_GAIN, SLOPE, ResidualBlock
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.process import use_large_pages

OUTPUT = Path(__file__).resolve().parents[2] / "bench_output"
Work = Callable[[], Tensor]


@dataclass(frozen=True)
class Comparison:
    """One optimization.

    Attributes:
        name: The optimization.
        instead_of: The alternative without it.
        paid: Whether the engine uses it.
        faster: The work with it.
        plain: The same work without it.
    """

    name: str
    instead_of: str
    paid: bool
    faster: Work
    plain: Work


@contextmanager
def _changed(*changes: tuple[object, str, object]) -> Iterator[None]:
    with ExitStack() as stack:
        for owner, name, value in changes:
            stack.enter_context(patch.object(owner, name, value))
        yield


def _with(work: Work, *changes: tuple[object, str, object]) -> Work:
    """Return work that is done while values of the engine are replaced."""

    def changed() -> Tensor:
        with _changed(*changes):
            return work()

    return changed


PLAIN = (slabs, "_pays", lambda *_: False)


def _in_bf16(work: Work) -> Work:
    def rounded() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return work()

    return rounded


def _apart(
    block: ResidualBlock, features: Tensor, hidden: Tensor, _: slabs.Advance, *, gain: Tensor, shift: Tensor
) -> None:
    """Compute a block with Winograd's convolutions, but with all other steps on whole volumes, as is usual."""
    for convolution, source in ((block.first, features), (block.second, hidden)):
        result = torch.empty_like(hidden)
        layer = slabs.Convolution(convolution.weight, convolution.bias, "replicate")
        for planes, rows, part in layer.slabs(source):
            result[planes, rows] = part
        if convolution is block.first:
            hidden.copy_(F.leaky_relu_(result.mul_(1 + gain).add_(shift), SLOPE))
        else:
            features.add_(result.mul_(BRANCH_GAIN))


def _by_points(model: ArSSR, feature_map: Tensor, edge: int) -> Work:
    """Predict a grid of points with `query`, which samples them by grid_sample."""
    axis = (2 * torch.arange(edge) + 1) / edge - 1
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).view(1, -1, 3)
    return lambda: torch.cat(
        [model.query(feature_map, part) for part in torch.split(points, edge * edge, dim=1)], dim=1
    ).view(edge, edge, edge)


def encoding(model: ArSSR2, published: ArSSR, edge: int) -> Iterator[Comparison]:
    """Yield comparisons of encoders: arssr2 on a cube of ``edge`` voxels, the published one on half of it."""
    volume, scale = torch.rand(1, 1, edge, edge, edge), Conditioning(torch.full((1, 3), 2.0))
    small = volume[..., : edge // 2, : edge // 2, : edge // 2].contiguous()

    def ours() -> Tensor:
        return model.encode_lean(volume, scale)

    def theirs() -> Tensor:
        return published.encode_lean(small)

    direct = "direct convolutions"
    yield Comparison("Winograd's convolutions, our encoder", direct, True, ours, _with(ours, PLAIN))
    yield Comparison("Winograd's convolutions, published encoder", direct, True, theirs, _with(theirs, PLAIN))
    whole = _with(ours, (ResidualBlock, "add_to", _apart))
    yield Comparison("what follows a convolution on its slab", "on the whole volume", True, ours, whole)
    for values, words in ((2**14, "a few rows"), (2**21, "whole planes")):
        other = _with(ours, (slabs, "STEP_VALUES", values))
        yield Comparison("steps of 2^18 values", f"of 2^{values.bit_length() - 1}, {words}", True, ours, other)
    bf16 = _in_bf16(_with(ours, PLAIN))
    yield Comparison("bf16 with direct convolutions, our encoder", "fp32 with Winograd's", False, bf16, ours)


def decoding(model: ArSSR2, published: ArSSR, edge: int) -> Iterator[Comparison]:
    """Yield comparisons of decoders, at scale 2."""
    scale, grid = Conditioning(torch.full((1, 3), 2.0)), whole_grid((edge,) * 3, (2 * edge,) * 3)
    half = whole_grid((edge // 2,) * 3, (edge,) * 3)
    features = torch.randn(1, edge, edge, edge, 65).permute(0, 4, 1, 2, 3)
    small = torch.randn(1, 128, edge // 2, edge // 2, edge // 2)

    def ours() -> Tensor:
        return model.query_grid(features, grid, scale)

    def theirs() -> Tensor:
        return published.query_grid(small, half)

    points = _by_points(published, small, edge)
    yield Comparison(
        "interpolation axis by axis, published decoder", "grid_sample, a plane at once", True, theirs, points
    )
    for chunk in (256, 32768):
        other = _with(theirs, (arssr, "CHUNK_VOXELS", {"cpu": chunk}))
        yield Comparison("published decoder on 2048 voxels at once", f"on {chunk}", True, theirs, other)
        other = _with(ours, (arssr2, "CHUNK_VOXELS", chunk))
        yield Comparison("our decoder on 4096 voxels at once", f"on {chunk}", True, ours, other)
    yield Comparison("bf16, published decoder", "fp32", False, _in_bf16(theirs), theirs)


def measure(comparison: Comparison, rounds: int) -> tuple[float, float]:
    """Return the speedup, the median over the rounds, and the largest relative difference."""
    results = [comparison.faster(), comparison.plain()]
    difference = float((results[0].float() - results[1].float()).abs().max() / results[1].float().abs().max())
    ratios = []
    for _ in range(rounds):
        seconds = []
        for work in (comparison.faster, comparison.plain):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
        ratios.append(seconds[1] / seconds[0])
    return median(ratios), difference


def main() -> int:
    """Measure every comparison, print the table and write it; return the exit code."""
    parser = argparse.ArgumentParser(description="Measure what each optimization of the CPU path brings.")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="threads of PyTorch (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="measurements of each (default %(default)s)")
    parser.add_argument("--edge", type=int, default=64, metavar="N", help="voxels of the cube (default %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model, _ = default_network()
    published = published_network()
    lines = ["| what is done | instead of | gain | largest difference |", "| --- | --- | ---: | ---: |"]
    with torch.inference_mode():
        everything = itertools.chain(
            encoding(model, published, arguments.edge), decoding(model, published, arguments.edge)
        )
        for comparison in everything:
            gain, difference = measure(comparison, arguments.rounds)
            name = comparison.name if comparison.paid else f"*not done:* {comparison.name}"
            lines.append(f"| {name} | {comparison.instead_of} | {gain:.2f}x | {difference:.1e} |")
            print(lines[-1], file=sys.stderr, flush=True)
    text = "\n".join(lines) + (
        f"\n\nCube of {arguments.edge} voxels, {arguments.threads} threads, PyTorch {torch.__version__}; medians of "
        f"the ratios within each of {arguments.rounds} rounds.\n"
    )
    OUTPUT.mkdir(exist_ok=True)
    (OUTPUT / "optimizations.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    use_large_pages()
    sys.exit(main())
