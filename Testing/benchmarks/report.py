"""What was measured, as Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch
from memory import LargeJob
from speed import Timing

from ArSSRLib.volume import Volume

# What the project promises for PROMISED_SIZE at PROMISED_SCALE on PROMISED_THREADS cores; GB are 1e9 bytes.
PROMISED_SIZE = (256, 256, 176)
PROMISED_SCALE = 2.0
PROMISED_THREADS = 2
PROMISED_GB = 6.0
PROMISED_SECONDS = 600.0


def machine_section() -> str:
    """Return where, with what and beside what load the benchmarks start."""
    return "\n".join(
        [
            "# Benchmarks",
            "",
            f"{_processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, PyTorch {torch.__version__}, "
            f"threads: {torch.get_num_threads()}; load {os.getloadavg()[0]:.1f}.",
            "Seconds depend on the machine and on what else it does: compare the ratios.",
        ]
    )


def speed_section(volume: Volume, scale: float, timings: Sequence[Timing]) -> str:
    """Return the table of procedures; the first timing is the published procedure, the second encode once."""
    published, once = timings[:2]
    rows = [
        f"| {t.name} | {median(t.seconds):.3f} | {median(t.cpu_seconds):.3f} | {t.times_faster_than(published):.3g}x "
        f"| {t.times_faster_than(once):.3g}x "
        f"| {'another network' if t.difference is None else f'{t.difference:.1e}'} |"
        for t in timings
    ]
    low, high = once.result.min(), once.result.max()
    return "\n".join(
        [
            f"## Speed: {_times(volume.geometry.size)} voxels at {scale:g}x",
            "",
            "| procedure | seconds | CPU seconds | against published | against encode once | largest difference |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
            f"Rounds: {len(once.seconds)}; every procedure ran in full once in each. Seconds are medians; ratios are "
            "medians of those within a round, above 1x is faster. CPU seconds sum over the cores: where they are far "
            "fewer than the seconds, the machine was busy elsewhere. Precision: fp32. The first three rows are the "
            "published network (RDN) with one set of seeded weights: the authors' weights are not part of this "
            "project. Differences are from encode once, in parts of the input's intensity range; encode once answers "
            f"from {low:.3g} to {high:.3g} of it.",
        ]
    )


def memory_section(job: LargeJob, scale: float, memory_limit: float) -> str:
    """Return what the large job took beside what is promised."""
    promised = (job.size, scale, job.threads) == (PROMISED_SIZE, PROMISED_SCALE, PROMISED_THREADS)
    rows = [
        ("peak memory, GB", job.peak_memory / 1e9, PROMISED_GB),
        ("whole process, seconds", job.process_seconds, PROMISED_SECONDS),
    ]
    note = "" if promised else f" The limits are meant for {_times(PROMISED_SIZE)} voxels at 2x on 2 cores."
    return "\n".join(
        [
            f"## Memory: {_times(job.size)} voxels at {scale:g}x with the default model ({job.weights})",
            "",
            "| | measured | at most | |",
            "| --- | ---: | ---: | --- |",
            *(f"| {name} | {x:.3g} | {most:g} | {'kept' if x <= most else 'not kept'} |" for name, x, most in rows),
            "",
            f"Threads: {job.threads}; precision: fp32; memory limit: {memory_limit:g} GB. Tiles: {job.tiles}, which "
            f"encode {job.encoded:.2f} times the voxels of the input; the plan predicted a peak of "
            f"{job.planned_memory / 1e9:.3g} GB. `upsample` alone took {job.upsample_seconds:.1f} s. GB are 1e9 bytes, "
            f"counted by the operating system.{note}",
        ]
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="ignore").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _times(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))
