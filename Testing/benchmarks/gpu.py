"""What upsampling costs on a CUDA GPU, beside what it must cost at least; written for an H100, runs on any.

    python Testing/benchmarks/gpu.py

Some minutes; prints tables and writes them to ``bench_output/gpu.md``. Without a GPU it says so and ends with status 2;
``--tiny-on-cpu`` runs its whole logic in seconds, and its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import torch
from gpu_jobs import Cost, Job, Machine, measure_job, measure_machine, milliseconds
from procedures import default_network, published_network

from ArSSRLib.coordinates import whole_grid
from ArSSRLib.device import device_name
from ArSSRLib.kernels.paths import kernels_run_on
from ArSSRLib.kernels.tables import AxisTables, PackedLayers, axis_tables, pack_published
from ArSSRLib.model.arssr import ArSSR

OUTPUT = Path(__file__).resolve().parents[2] / "bench_output"
PUBLISHED, DEFAULT = "published RDN", "default"
# The targets are twice the arithmetic at 800 TFLOP/s.
SIZES = (
    ((66, 66, 66), 4.0, 42.0),
    ((132, 132, 132), 2.0, 101.0),
    ((160, 160, 110), 2.0, None),
    ((256, 256, 176), 2.0, None),
)
JOBS = [
    Job(model, size, scale, target if model == PUBLISHED else None)
    for size, scale, target in SIZES
    for model in (PUBLISHED, DEFAULT)
]
TINY_JOBS = [Job(PUBLISHED, (6, 5, 4), 2.0, 42.0), Job(DEFAULT, (8, 7, 6), 1.5)]
# Fine voxels of a block, columns at once, warps.
BLOCKS = ((128, 64, 4), (128, 64, 8), (128, 128, 8), (64, 64, 4), (64, 128, 4), (256, 64, 8))


def report(machine: Machine, costs: Sequence[Cost], precision: str, *, device: str) -> str:
    """Return the costs of all jobs as Markdown."""
    rows = []
    for cost in costs:
        took, floor, target = median(cost.device_ms), cost.floor_ms(machine), cost.job.target
        verdict = "" if target is None else f"{target:g} ({'met' if took <= target else 'missed'})"
        rows.append(
            f"| {cost.job.model} | {' x '.join(map(str, cost.job.size))} x{cost.job.scale:g} | {took:.1f} "
            f"| {1e3 * cost.flop / machine.flops:.1f} | {1e3 * cost.traffic / machine.bandwidth:.1f} "
            f"| {took / floor:.2f} | {verdict} | {median(cost.host_ms):.1f} | {cost.peak_memory / 1e9:.2f} "
            f"| {cost.max_error:.1e} | {cost.rms_error:.1e} |"
        )
    return "\n".join(
        [
            f"# {machine.name} ({device}), {precision}, PyTorch {torch.__version__}",
            "",
            f"Measured on this device: {machine.flops / 1e12:.0f} TFLOP/s in a {precision} matrix product, "
            f"{machine.bandwidth / 1e12:.2f} TB/s in a copy.",
            "",
            "| model | job | device ms | arithmetic ms | traffic ms | times the floor | target ms | host to host ms "
            "| peak GB | largest error | rms error |",
            "| --- | --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
            *rows,
            "",
            "Device ms: by CUDA events, from the normalized input on the device to the result on it. Host to host: "
            "`upsample`, from array to array, which prepares the weights each time. Medians of "
            f"{len(costs[0].device_ms)} rounds after warming up. Arithmetic: the operations of encoder and decoder "
            "without halos over the measured peak; traffic: input, feature map once each way and output over the "
            "measured bandwidth; the floor is the larger. Errors: against plain fp32 on the same device (TF32 off), in "
            "parts of the intensity range. Targets are for an H100. Weights of the published network are seeded.",
        ]
    )


def sweep(model: ArSSR, device: torch.device, number_format: torch.dtype, *, edge: int, rounds: int) -> str:
    """Time the fused kernel of the published decoder alone, for several sizes of its blocks, as Markdown."""
    channels = model.config.feature_channels
    features = torch.randn(edge, edge, edge, channels, device=device).to(number_format)
    grid = whole_grid((edge, edge, edge), (2 * edge, 2 * edge, 2 * edge))
    tables = axis_tables(grid, (edge, edge, edge), device, padding="zeros")
    layers = pack_published(model.decoder.to(device), channels, number_format)
    flop = 2.0 * 8 * edge**3 * sum(p.numel() for p in model.decoder.parameters() if p.ndim == 2)
    rows = []
    for block, columns, warps in BLOCKS:
        try:
            took = _decoding_time(features, tables, layers, block=(block, columns, warps), rounds=rounds)
        except Exception as error:  # whatever a compiler says of a block that does not fit
            cells = f"{' '.join(str(error).split())[:60]} | |"
        else:
            cells = f"{took:.2f} | {flop / took / 1e9:.0f} |"
        rows.append(f"| {block} | {columns} | {warps} | {cells}")
    return "\n".join(
        [
            f"## The published decoder alone, {8 * edge**3} fine voxels",
            "",
            "| voxels a block | columns | warps | ms | TFLOP/s |",
            "| ---: | ---: | ---: | ---: | ---: |",
            *rows,
        ]
    )


@torch.inference_mode()
def _decoding_time(
    features: torch.Tensor, tables: AxisTables, layers: PackedLayers, *, block: tuple[int, int, int], rounds: int
) -> float:
    """Return the median milliseconds of the fused kernel with blocks of (voxels, columns, warps)."""
    from ArSSRLib.kernels.published_decoder import Block, decode_grid  # noqa: PLC0415 - only where Triton is

    work = [lambda: decode_grid(features, tables, layers, block=Block(*block))] * (rounds + 1)
    return median([milliseconds(once, features.device) for once in work][1:])  # the first one compiles


def sections(arguments: argparse.Namespace, device: torch.device) -> Iterator[str]:
    """Measure, and yield the tables."""
    tiny = arguments.tiny_on_cpu
    number_format = {"bf16": torch.bfloat16, "fp16": torch.float16}[arguments.precision]
    networks = {PUBLISHED: published_network(), DEFAULT: default_network()[0]}
    machine = measure_machine(
        device_name(device), device, number_format, edge=64 if tiny else 8192, rounds=arguments.rounds
    )
    costs = []
    for job in TINY_JOBS if tiny else JOBS:
        print(f"{job.model}, {job.size} x{job.scale:g} ...", file=sys.stderr, flush=True)
        options = {"device": device, "precision": arguments.precision, "rounds": arguments.rounds}
        costs.append(measure_job(job, networks[job.model], **options))
    yield report(machine, costs, arguments.precision, device=str(device))
    if kernels_run_on(device):
        yield sweep(networks[PUBLISHED], device, number_format, edge=66, rounds=arguments.rounds)


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(description="Measure what upsampling costs on a CUDA GPU.")
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="measurements (default %(default)s)")
    parser.add_argument("--precision", choices=("bf16", "fp16"), default="bf16", help="(default %(default)s)")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FOLDER", help="(default bench_output)")
    parser.add_argument("--tiny-on-cpu", action="store_true", help="see in seconds, without a GPU, that this runs")
    arguments = parser.parse_args(words)
    if not (arguments.tiny_on_cpu or torch.cuda.is_available()):
        print(
            f"gpu: PyTorch {torch.__version__} finds no CUDA GPU here; run this on a machine with one.", file=sys.stderr
        )
        return 2
    device = torch.device("cpu" if arguments.tiny_on_cpu else "cuda:0")
    arguments.output.mkdir(exist_ok=True, parents=True)
    path = arguments.output / ("gpu_tiny.md" if arguments.tiny_on_cpu else "gpu.md")
    text = ""
    for section in sections(arguments, device):
        text += f"{section}\n\n"
        path.write_text(text.rstrip() + "\n", encoding="utf-8")
        print(section, end="\n\n", flush=True)
    print(f"Written to {path}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
