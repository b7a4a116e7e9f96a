"""The task "probe": the capabilities and the speed of this machine, and the requirements of the models."""

from __future__ import annotations

import platform
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from ArSSRLib import __version__
from ArSSRLib.checkpoint import find_entry
from ArSSRLib.errors import ArSSRError, DependencyError, one_line
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.options import UNKNOWN_THICKNESS, UpsamplingOptions
from ArSSRLib.timing import processor_times, taken_by_others
from ArSSRLib.volume import Volume
from ArSSRLib.worker.cancellation import Cancellation
from ArSSRLib.worker.job import ProbeJob
from ArSSRLib.worker.packages import load_packages

if TYPE_CHECKING:
    import torch

    from ArSSRLib.model.interface import SuperResolutionModel

# Size and scale along i, j, k of the volume for measuring the work outside of the network.
AGREEING_SIZE, AGREEING_SCALE = (128, 128, 12), (1.0, 1.0, 4.0)
# Edges of the plates for measuring the speed, in voxels: for the first call, the smallest, and the largest; and their
# depth. Plates are as wide as volumes, because on small planes layers take up to twice as long per voxel.
FIRST_EDGE, SMALLEST_EDGE, LARGEST_EDGE, DEPTH = 16, 64, 720, 4
SECONDS_TO_MEASURE = 2.0
MEASURED_SCALE = 2.0


def probe(job: ProbeJob, cancellation: Cancellation) -> dict[str, Any]:
    """Return the capabilities of this machine, the fields of the event "done".

    If PyTorch is not usable, "problem" has the reason.

    Raises:
        CancelledError: If the work was asked to stop.
    """
    fields: dict[str, Any] = {
        "version": __version__,
        "python": platform.python_version(),
        "torch": None,
        "problem": None,
        "cuda_build": None,
        "devices": [],
        "models": {},
        "base_memory": 0,
        "start": 0.0,
        "speed": {},
        "beside": None,
        "busy": 0.0,
    }
    try:
        load_packages()
    except DependencyError as error:
        return {**fields, "problem": one_line(error)}
    return {**fields, **_probe_with_torch(job, cancellation)}


def _probe_with_torch(job: ProbeJob, cancellation: Cancellation) -> dict[str, Any]:
    import psutil  # noqa: PLC0415 - once it is known to be there, as the next two
    import torch  # noqa: PLC0415

    from ArSSRLib import device as machine  # noqa: PLC0415

    devices, working = [], []
    for device in machine.available_devices():
        cancellation.check()
        # Before the memory, because a broken device may fail to report it.
        smoke = machine.smoke_test(device)
        memory = {"free_memory": 0, "total_memory": 0}
        if smoke == "ok":
            working.append(device)
            memory = {"free_memory": machine.free_memory(device), "total_memory": machine.total_memory(device)}
        devices.append({"id": str(device), "name": machine.device_name(device), **memory, "smoke": smoke})
    models, networks = _describe_models(job.models, cancellation)
    for name in ("ArSSRLib.upsampling", "ArSSRLib.io.itk"):  # modules that a working worker loads
        import_module(name)
    base_memory = machine.used_memory(torch.device("cpu"))
    # The age of this process: the time that every worker spends on loading before it computes.
    start = round(max(0.0, time.time() - float(psutil.Process().create_time())), 3)
    before = processor_times()
    speed = {
        str(device): {name: _seconds_per_cost(network, device, cancellation) for name, network in networks.items()}
        for device in (working if job.measure else [])
    }
    beside = _seconds_beside(next(iter(networks.values()))) if job.measure and networks else None
    return {
        "torch": str(torch.__version__),
        "cuda_build": torch.version.cuda,
        "devices": devices,
        "models": models,
        "base_memory": base_memory,
        "start": start,
        "speed": speed,
        "beside": beside,
        "busy": taken_by_others(before, processor_times()),
    }


def _describe_models(
    names: tuple[str, ...], cancellation: Cancellation
) -> tuple[dict[str, dict[str, Any]], dict[str, SuperResolutionModel]]:
    """Return the facts about each model, or why it is not usable, and the usable networks."""
    from ArSSRLib.checkpoint import load_model  # noqa: PLC0415

    facts: dict[str, dict[str, Any]] = {}
    networks = {}
    for name in names:
        cancellation.check()
        try:
            entry, network = find_entry(name), load_model(name)
        except ArSSRError as error:
            facts[name] = {"error": one_line(error)}
            continue
        largest = network.config.largest_scale
        trained = entry.trained_scales if entry else None if largest is None else (1.0, largest)
        networks[name] = network
        facts[name] = {
            "halo": network.halo,
            "bytes_per_coarse_voxel": network.bytes_per_coarse_voxel,
            "encoding_cost": network.encoding_cost,
            "sha256": network.sha256,
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "trained_scales": trained and list(trained),
        }
    return facts, networks


def _seconds_per_cost(network: SuperResolutionModel, device: torch.device, cancellation: Cancellation) -> float | None:
    """Return the time per unit of a plan's cost; None if it cannot be measured."""
    try:
        _time(network, device, FIRST_EDGE, cancellation)  # the first call prepares what later ones reuse
        seconds, cost = _time(network, device, SMALLEST_EDGE, cancellation)
        edge = int(min(LARGEST_EDGE, SMALLEST_EDGE * (SECONDS_TO_MEASURE / seconds) ** 0.5))
        if edge > SMALLEST_EDGE:
            seconds, cost = _time(network, device, edge, cancellation)
    except ArSSRError:  # for example without free memory: the work itself will report it
        return None
    return seconds / cost


def _time(
    network: SuperResolutionModel, device: torch.device, edge: int, cancellation: Cancellation
) -> tuple[float, float]:
    """Return the seconds for upsampling a plate, and its cost."""
    from ArSSRLib.upsampling import carry_out, plan_upsampling  # noqa: PLC0415

    array = np.random.default_rng(0).random((DEPTH, edge, edge), dtype=np.float32)
    volume = Volume(array, VolumeGeometry((edge, edge, DEPTH), (1.0, 1.0, 1.0)))
    options = UpsamplingOptions(device=str(device), slice_thickness=UNKNOWN_THICKNESS)  # noise has no profile
    plan = plan_upsampling(volume, network, MEASURED_SCALE, options)
    started = time.perf_counter()
    carry_out(plan, volume, network, progress=lambda _: cancellation.check())
    return time.perf_counter() - started, plan.cost


def _seconds_beside(network: SuperResolutionModel) -> float | None:
    """Return the time per unit of `ArSSRLib.timing.work_beside`; None if it cannot be measured."""
    from ArSSRLib.upsampling import plan_upsampling  # noqa: PLC0415
    from ArSSRLib.upsampling.agreement import make_agree  # noqa: PLC0415

    grid = VolumeGeometry(AGREEING_SIZE, AGREEING_SCALE)
    scan = np.random.default_rng(0).random(grid.shape, dtype=np.float32)
    options = UpsamplingOptions(device="cpu", slice_thickness=f"{AGREEING_SCALE[2]:g}")
    intensities = IntensityRange.of(scan)
    try:
        plan = plan_upsampling(Volume(scan, grid), network, AGREEING_SCALE, options)
        result = np.zeros(plan.geometry.shape, np.float32)
        started = time.perf_counter()
        make_agree(result, scan, plan, intensities=intensities, fine_shape=result.shape, strength=1.0)
    except ArSSRError:  # no memory left, for example
        return None
    return (time.perf_counter() - started) / result.size
