"""Upsampling: plan the work, prepare the volume, compute the result, and correct it.

`assembly` computes the result tile by tile: the model encodes a tile once, and is then queried for its fine voxels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ArSSRLib.acquisition.decision import Estimate, decided_profile
from ArSSRLib.acquisition.profile import UNKNOWN, told_of
from ArSSRLib.acquisition.slice_gains import SliceGains
from ArSSRLib.backends.openvino_encoder import openvino_bytes_per_coarse_voxel
from ArSSRLib.device import (
    PRECISIONS,
    free_memory,
    is_device_failure,
    is_out_of_memory,
    precision_name,
    require_backend,
    resolve_device,
    resolve_precision,
    used_memory,
)
from ArSSRLib.errors import ArSSRError, DeviceError, MemoryLimitError, one_line, require
from ArSSRLib.geometry import parse_scale
from ArSSRLib.kernels.transfer import to_device
from ArSSRLib.model.interface import Conditioning, SuperResolutionModel
from ArSSRLib.normalization import IntensityRange, result_type
from ArSSRLib.options import DEFAULT_OPTIONS, UpsamplingOptions
from ArSSRLib.packages import require_package
from ArSSRLib.planning import NOWHERE, Destination, Plan, Work, slices_of
from ArSSRLib.scratch import planes_of
from ArSSRLib.upsampling.agreement import make_agree
from ArSSRLib.upsampling.assembly import Assembly, Progress
from ArSSRLib.upsampling.blind import BlindEstimate
from ArSSRLib.upsampling.executor import choose_executor, precision_context
from ArSSRLib.upsampling.preparation import Prepared, prepare
from ArSSRLib.upsampling.storage import empty, within_range, within_region
from ArSSRLib.volume import Volume


def upsample(
    volume: Volume,
    model: SuperResolutionModel,
    scale: float | Sequence[float],
    options: UpsamplingOptions = DEFAULT_OPTIONS,
    *,
    region: Sequence[Sequence[int]] | None = None,
    destination: Destination = NOWHERE,
    progress: Progress | None = None,
) -> Volume:
    """Return a volume on a finer grid in exactly the same field of view, or a region of it.

    Args:
        volume: The input; it is not changed. Voxels that are not finite are replaced and reported in the log.
        model: From `ArSSRLib.checkpoint.load_model`; it is moved to the device.
        scale: Factor of at least 1, or one along each of i, j, k; unitless. Sizes are rounded.
        options: The options, see `UpsamplingOptions`.
        region: Box of voxels of the finer grid, (first, stop) along i, j, k; equal to that part of the whole result.
        destination: Destination of the result, from `ArSSRLib.io.destination_of`: the memory of its writer is planned,
            and a result larger than the memory is kept on disk if its format allows. By default, it must fit.
        progress: Called with the finished fraction, from 0 to 1; an exception stops the work.

    Returns:
        The finer volume. Integer types are kept by rounding and clipping; all others become float32, or remain float64
        if float32 would lose contrast. No voxel is darker than the darkest one of the input. Padding keeps its place
        and value. The description of the input is not copied, because it may contain names of people.

    Raises:
        InputError: If the scale or the region is impossible, the model supports only another scale, or no voxel is
            a finite number.
        DeviceError: If the device, the backend or the precision is not available, or the device fails during the work.
        DependencyError: If the package of the backend is not installed.
        MemoryLimitError: If the job does not fit.
        OutputError: If the result does not fit into memory, and there is not enough disk space.
    """
    plan = plan_upsampling(volume, model, scale, options, region=region, destination=destination)
    return carry_out(plan, volume, model, progress=progress).volume


def plan_upsampling(
    volume: Volume,
    model: SuperResolutionModel,
    scale: float | Sequence[float],
    options: UpsamplingOptions = DEFAULT_OPTIONS,
    *,
    region: Sequence[Sequence[int]] | None = None,
    destination: Destination = NOWHERE,
    estimate: Estimate | None = None,
) -> Plan:
    """Return the plan of `upsample` for the same arguments, for `carry_out`, without computing the result.

    ``estimate`` estimates the slice profile if neither the user nor the file states it; by default, `BlindEstimate`.

    Raises:
        InputError: If the scale or the region is impossible, or the model supports only another scale.
        DeviceError: If the device, the backend or the precision is not available.
        DependencyError: If the package of the backend is not installed.
        MemoryLimitError: If the job exceeds the limit or the free memory.
    """
    require("Upsampling", volume, Volume)
    require("Upsampling", model, SuperResolutionModel, "model from load_model")
    require("Upsampling", options, UpsamplingOptions)
    options = decided(options)
    device = torch.device(options.device)
    model.check_scale(volume.geometry.shape, volume.geometry.upsampled(scale).shape)
    encoding_bytes = model.bytes_per_coarse_voxel
    if options.backend == "openvino":
        encoding_bytes = openvino_bytes_per_coarse_voxel(model)
    return Work(
        volume.geometry,
        result_type(volume.array),
        scale,
        options,
        halo=model.halo,
        bytes_per_coarse_voxel=encoding_bytes,
        encoding_cost=model.encoding_cost,
        base_memory=used_memory(device),
        available_memory=free_memory(device),
        host_memory=None if device.type == "cpu" else free_memory(torch.device("cpu")),
        profile=decided_profile(volume, options, parse_scale(scale), estimate=estimate or BlindEstimate(model, device)),
        region=region,
        destination=destination,
    ).plan()


def decided(options: UpsamplingOptions) -> UpsamplingOptions:
    """Return options in which "auto" is replaced by the actual device and precision.

    Raises:
        DeviceError: If the device, the backend or the precision is not available.
        DependencyError: If the package of the backend is not installed.
    """
    device = resolve_device(options.device)
    require_backend(options.backend, device)
    if options.backend == "openvino":
        require_package("openvino", "The openvino backend")
    number_format = resolve_precision(options.precision, device, backend=options.backend)
    return replace(options, device=str(device), precision=precision_name(number_format))


@dataclass(frozen=True)
class Outcome:
    """The result of an upsampling with further findings.

    Attributes:
        volume: The finer volume.
        uncertainty: Standard deviation over the mirror images, float32, in the units and on the grid of ``volume``;
            None if it was not requested.
        disagreement: Difference between a simulated acquisition of the result and the scan: root mean square over the
            anatomy, in percent of the intensity range; if ``gains`` were removed, to the scan without them. None if the
            result was not made to agree.
        gains: Brightness differences between the slices of the scan that were removed; None if there are none.
    """

    volume: Volume
    uncertainty: Volume | None = None
    disagreement: float | None = None
    gains: SliceGains | None = None


def carry_out(plan: Plan, volume: Volume, model: SuperResolutionModel, *, progress: Progress | None = None) -> Outcome:
    """Carry out a plan of `plan_upsampling` for the same volume and model; see `upsample`."""
    report = progress or (lambda _: None)
    report(0.0)
    prepared = prepare(volume, plan.profile, plan.options)
    # The free text of the input may name the patient and does not describe the result; the same applies to its profile.
    header, spread = replace(volume.header, description="", profile=UNKNOWN), None
    with _device_errors(plan):
        result, uncertainty, disagreement = _carry_out(plan, volume, prepared, model, report=report)
        result = within_region(result, plan)
        if uncertainty is not None:
            spread = Volume(within_region(uncertainty, plan), plan.geometry, replace(header, dtype=None))
    report(1.0)
    return Outcome(Volume(result, plan.geometry, header), spread, disagreement, prepared.gains)


def _carry_out(
    plan: Plan, volume: Volume, prepared: Prepared, model: SuperResolutionModel, *, report: Progress
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32] | None, float | None]:
    """Return the computed voxels of the result and of its uncertainty, and the disagreement with the scan."""
    array, fine_shape = prepared.array, volume.geometry.upsampled(plan.scale).shape
    result = empty(plan, plan.dtype)
    uncertainty = empty(plan, np.float32) if plan.options.uncertainty else None
    lowest, highest = array.min(), array.max()
    if lowest == highest:  # no anatomy, so the network has nothing to add
        for plane in planes_of(result):
            plane[...] = within_range(lowest, plan.dtype)
        if uncertainty is not None:
            uncertainty[...] = 0
        return result, uncertainty, None
    device, number_format = torch.device(plan.options.device), PRECISIONS[plan.options.precision]
    told = Conditioning.between(array.shape, fine_shape, told_of(plan.profile))
    intensities, backend = IntensityRange.of(array), plan.options.backend
    disagreement = None
    with torch.inference_mode(), precision_context(backend, number_format, device):
        network = model.to(device).eval()
        executor = choose_executor(
            network, backend, number_format, array=array, voxels=result.size, device=device, told=told
        )
        Assembly(
            plan=plan,
            array=array,
            intensities=intensities,
            fine_shape=fine_shape,
            executor=executor,
            told=told.map(lambda tensor: to_device(tensor, device)),
            slabs_independent=network.slabs_independent,
            device=device,
            report=report,
        ).write(result, uncertainty)
    if plan.agrees:
        with torch.inference_mode():
            strength = float(network.correction_strength(told.map(lambda tensor: tensor.to(device))))
            disagreement = make_agree(
                result, array, plan, intensities=intensities, fine_shape=fine_shape, strength=strength
            )
    if prepared.padding is not None:
        for _ in prepared.padding.put_back(planes_of(result), slices_of(plan.computed), fine_shape):
            pass  # every plane is changed in place
    return result, uncertainty, disagreement


@contextlib.contextmanager
def _device_errors(plan: Plan) -> Iterator[None]:
    """Convert errors about memory or the device into one line with the next step."""
    device = plan.options.device
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            if isinstance(error, ArSSRError) or not is_device_failure(error):
                raise
            reason = one_line(error)[:160].rstrip(". ")
            msg = (
                f"The device {device} failed during processing ({reason}). Try again; if the failure recurs, update "
                "its driver, or choose the CPU."
            )
            raise DeviceError(msg) from error
        other = "a smaller region or scale" if device == "cpu" else "a smaller region, or the CPU"
        msg = (
            f"The device {device} ran out of memory on a tile of {max(t.crop_voxels for t in plan.tiles)} voxels. "
            f"Choose a smaller memory limit, {other}."
        )
        raise MemoryLimitError(msg) from error
