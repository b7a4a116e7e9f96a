"""The items of a GPU run, their order, and the time limit of each.

Nothing here imports PyTorch, because the supervising process reads this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ArSSRLib.checkpoint import DEFAULT_MODEL

FORMATS = ("fp16", "bf16")
# Names of networks in `networks.network`.
PUBLISHED, DEFAULT, DEEP = "published", DEFAULT_MODEL, "arssr2-deep"
# Fine voxels per block, columns at once, warps; the first is intended for Hopper, the second for other GPUs.
PUBLISHED_BLOCKS = ((128, 64, 4), (64, 64, 8), (128, 64, 8), (128, 128, 8), (64, 64, 4), (64, 128, 4), (256, 64, 8))
# Fine voxels of a row at once.
RESIDUAL_ROWS = (64, 32, 128, 256)


@dataclass(frozen=True)
class Item:
    """One item.

    Attributes:
        name: Its stage, a slash, and its name.
        call: "module:function" of its function, which returns the measurements as a dictionary.
        arguments: Arguments of the function besides ``tiny``.
        least: Seconds below which it is not started.
        limit: Seconds after which it is ended.
        is_long: Whether it uses all of the remaining time: it receives the ``seconds``, reports its state (``tell``),
            and continues when the command is called again.
    """

    name: str
    call: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    least: float = 1.0
    limit: float = 60.0
    is_long: bool = False


@dataclass(frozen=True)
class Job:
    """One job of the benchmark.

    Attributes:
        model: Name of the network.
        size: Voxels of the input along i, j, k.
        scale: Factor, unitless.
        target: Target in milliseconds on an H100, twice the arithmetic at 800 TFLOP/s; None without one.
    """

    model: str
    size: tuple[int, int, int]
    scale: float
    target: float | None = None

    @property
    def words(self) -> str:
        """The job as text for a table."""
        return f"{self.model}, {' x '.join(map(str, self.size))} x{self.scale:g}"


JOBS = (
    Job(DEFAULT, (160, 192, 144), 2.0),
    Job(PUBLISHED, (66, 66, 66), 4.0, 42.0),
    Job(DEEP, (160, 192, 144), 2.0),
    Job(PUBLISHED, (132, 132, 132), 2.0, 101.0),
)
TINY_JOBS = (Job(DEFAULT, (4, 2, 2), 1.5), Job(PUBLISHED, (3, 2, 2), 1.5, 42.0))


def proof(*, tiny: bool) -> list[Item]:
    """Return the items that verify and measure the engine, the most important first."""
    return [*smoke(), *checks(), *benchmark(tiny=tiny), *tuning(tiny=tiny)]


def training(arguments: Mapping[str, Any]) -> list[Item]:
    """Return the items of training for the remaining time, after a smoke test of seconds."""
    names = ("machine", "arithmetic")
    smoke_test = [Item(f"smoke/{name}", f"gpu.smoke:{name}", limit=40.0) for name in names]
    return [*smoke_test, Item("training", "gpu.training:train", arguments, limit=3600.0, is_long=True)]


def smoke() -> list[Item]:
    """Return the items that show within seconds whether the machine is usable."""
    names = ("machine", "arithmetic", "triton", "engine")
    return [Item(f"smoke/{name}", f"gpu.smoke:{name}", limit=40.0) for name in names]


def checks() -> list[Item]:
    """Return the comparisons with the CPU in fp32; those with kernels compile for some seconds."""
    items = [Item("checks/golden vectors", "gpu.checks:golden"), Item("checks/copies", "gpu.checks:copies")]
    for model in (PUBLISHED, DEFAULT, DEEP):
        for name in ("fp32", *FORMATS):
            items.append(_check("precision", model, name))
    for model in (PUBLISHED, DEFAULT):
        for name in FORMATS:
            items += [_check(kind, model, name) for kind in ("kernel", "graph")]
            items += [_check("path", model, name, fused=fused) for fused in (False, True)]
    for model in (PUBLISHED, DEFAULT, DEEP):
        items.append(Item(f"checks/choice for {model}", "gpu.checks:choice", {"model": model}))
    items.append(Item("checks/batches on the device", "gpu.training:batches"))
    items.append(Item("checks/training steps", "gpu.training:step"))
    items += [Item(f"checks/tiles of {model}", "gpu.checks:tiles", {"model": model}) for model in (PUBLISHED, DEFAULT)]
    return items


def _check(kind: str, model: str, number_format: str, **options: bool) -> Item:
    way = {True: ", fused", False: ", unfused"}.get(options.get("fused"), "")  # type: ignore[arg-type]
    return Item(
        f"checks/{kind} of {model}, {number_format}{way}",
        f"gpu.checks:{kind}",
        {"model": model, "number_format": number_format, **options},
    )


def benchmark(*, tiny: bool) -> list[Item]:
    """Return the measurements: the peaks of the device, each job host to host and in every way, then previews."""
    # Triton's interpreter is slow: one number format is enough for a rehearsal.
    jobs, formats = (TINY_JOBS, FORMATS[:1]) if tiny else (JOBS, FORMATS)
    items = [Item(f"benchmark/peak in {name}", "gpu.jobs:machine", {"number_format": name}) for name in formats]
    for job in jobs:
        what = {"model": job.model, "size": job.size, "scale": job.scale}
        for backend in ("torch",) if tiny else ("torch", "fused"):
            arguments = {**what, "backend": backend}
            title = f"benchmark/{job.words}/host to host, {backend}"
            items.append(Item(title, "gpu.jobs:host_to_host", arguments, least=4.0))
        for way in ("plain", "unfused", "fused"):
            for name in formats:
                arguments = {**what, "way": way, "number_format": name}
                items.append(Item(f"benchmark/{job.words}/{way} {name}", "gpu.jobs:on_device", arguments, least=4.0))
    for model in (DEFAULT, PUBLISHED):
        job = next(job for job in jobs if job.model == model)
        what = {"model": job.model, "size": job.size, "scale": job.scale}
        items.append(Item(f"benchmark/{job.words}/preview of a slice", "gpu.jobs:preview", what, least=2.0))
    return items


def tuning(*, tiny: bool) -> list[Item]:
    """Return the block sizes to try for each kernel."""
    items = []
    for number, name in enumerate(FORMATS[:1] if tiny else FORMATS):
        blocks = PUBLISHED_BLOCKS[: 1 if tiny else 7 - 3 * number]
        for rows, columns, warps in blocks:
            what = {"rows": rows, "columns": columns, "warps": warps, "number_format": name}
            title = f"tuning/{PUBLISHED}, {name}/{rows} rows, {columns} columns, {warps} warps"
            items.append(Item(title, "gpu.tuning:published", what, least=10.0 if not tiny else 1.0, limit=40.0))
        for rows in RESIDUAL_ROWS[: 1 if tiny else 4]:
            title = f"tuning/{DEFAULT}, {name}/{rows} rows"
            what = {"rows": rows, "number_format": name}
            items.append(Item(title, "gpu.tuning:residual", what, least=5.0 if not tiny else 1.0, limit=40.0))
    return items
