"""The metrics by name: their requirements, and their values for a result.

PSNR and SSIM are in `ArSSRLib.metrics`; the perceptual metrics and the segmentation have their own rooms, which are
loaded on first use.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import ModuleType

import numpy as np
import numpy.typing as npt

from ArSSRLib.acquisition.ripple import slice_ripple
from ArSSRLib.errors import ArSSRError
from ArSSRLib.evaluation import MetricUnavailable
from ArSSRLib.evaluation.calibration import PEARSON, SPEARMAN, calibration
from ArSSRLib.evaluation.degradation import Acquisition, Array
from ArSSRLib.evaluation.lesions import Lesions, contrast_recovery
from ArSSRLib.metrics import Mask, mean_ssim, psnr, ssim_map

logger = logging.getLogger(__name__)

WHOLE, IN_MASK = "volume", "mask"


@dataclass(frozen=True)
class Scored:
    """A result and its references.

    Attributes:
        result: Intensities, float32, shape (k, j, i).
        coarse: The input volume, shape (k', j', i').
        acquisition: The acquisition between the two grids.
        scale: Factor along i, j, k, unitless.
        spacing: Spacing of the result along i, j, k, in mm.
        truth: Truth in the shape of ``result``; None for a real volume.
        mask: Voxels of the anatomy, in the shape of ``result``; None to evaluate without it.
        lesions: Lesions of the truth; None if none are known.
        seconds: Processor time of the result; NaN if unknown.
        uncertainty: Standard deviation from the method, in the shape of ``result``; None if there is none.
    """

    result: Array
    coarse: Array
    acquisition: Acquisition
    scale: tuple[float, float, float]
    spacing: tuple[float, float, float]
    truth: Array | None = None
    mask: Mask | None = None
    lesions: Lesions | None = None
    seconds: float = math.nan
    uncertainty: Array | None = None

    @property
    def regions(self) -> dict[str, Mask | None]:
        """Regions for PSNR and SSIM: names and voxels; None for the whole volume."""
        regions: dict[str, Mask | None] = {WHOLE: None}
        if self.mask is not None:
            regions[IN_MASK] = self.mask
        if self.lesions is not None:
            regions[self.lesions.name] = self.lesions.region
        return regions

    @property
    def reference(self) -> Array:
        """The volume that defines the intensity scale: the truth, or the input of a real volume."""
        return self.coarse if self.truth is None else self.truth


@dataclass(frozen=True)
class Value:
    """One number of a metric in a region: "volume", "mask", "lesions", "synthetic lesions", or a tissue."""

    metric: str
    region: str
    number: float


@dataclass(frozen=True)
class Metric:
    """One entry of `METRICS`.

    Attributes:
        measure: Returns the values of one result.
        needs_truth: Whether it is undefined for real volumes.
        identity: What determines its values on this machine besides the result; "" for nothing.
    """

    measure: Callable[[Scored], list[Value]]
    needs_truth: bool = True
    identity: Callable[[], str] = str


#: Heading of the values, and whether larger is better, smaller is better, or neither.
HEADINGS = {
    "psnr": ("PSNR, dB", "larger is better"),
    "ssim": ("SSIM, uniform window of 7 voxels", "larger is better"),
    "ssim_gaussian": ("SSIM, Gaussian window of 1.5 voxels", "larger is better"),
    "consistency": ("Consistency: PSNR in dB of the result, degraded again, to the input", "larger is better"),
    "lpips_alex": ("LPIPS, AlexNet", "smaller is better"),
    "lpips_vgg": ("LPIPS, VGG16", "smaller is better"),
    "psi": ("PSI, perceptual sharpness", "compare with the truth's"),
    "lpc_si": ("LPC-SI, sharpness by local phase coherence", "compare with the truth's"),
    "lesion_contrast": ("Contrast recovery of lesions", "1 keeps the contrast of the truth, 0 is none"),
    "dice": ("Dice overlap with the segmentation of the truth", "larger is better"),
    "iou": ("Intersection over union with the segmentation of the truth", "larger is better"),
    "ripple": ("Slice ripple", "smaller is better; see `ripple`"),
    "processor_seconds": ("Processor time, s", "smaller is better"),
    PEARSON: ("Correlation of uncertainty and absolute error, Pearson", "larger is better"),
    SPEARMAN: ("Correlation of uncertainty and absolute error, Spearman", "larger is better"),
}


def _psnr(scored: Scored) -> list[Value]:
    truth, result = scored.reference, scored.result
    return [Value("psnr", name, psnr(truth, result, region)) for name, region in scored.regions.items()]


def _ssim(name: str, sigma: float | None, scored: Scored) -> list[Value]:
    # The map is the expensive part; it is computed once for all regions.
    index = ssim_map(scored.reference, scored.result, sigma=sigma)
    return [Value(name, where, mean_ssim(index, region, sigma=sigma)) for where, region in scored.regions.items()]


def _lesion_contrast(scored: Scored) -> list[Value]:
    """Contrast recovery; empty if the truth has no lesions."""
    if scored.lesions is None:
        return []
    number = contrast_recovery(scored.reference, scored.result, scored.lesions)
    return [Value("lesion_contrast", scored.lesions.name, number)]


def _consistency(scored: Scored) -> list[Value]:
    again = scored.acquisition.coarsened(scored.result)
    return [Value("consistency", WHOLE, psnr(scored.coarse, again))]


def _ripple(scored: Scored) -> list[Value]:
    """Slice ripple; empty unless exactly one axis is thick."""
    thick = [axis for axis, factor in enumerate(scored.scale) if factor > 1]
    if len(thick) != 1:
        return []
    axis = 2 - thick[0]  # arrays are indexed [k, j, i]
    return [Value("ripple", WHOLE, slice_ripple(scored.result, axis, scored.scale[thick[0]]))]


def _calibration(scored: Scored) -> list[Value]:
    """Calibration of the uncertainty within the anatomy; empty without an uncertainty."""
    if scored.uncertainty is None or scored.mask is None:
        return []
    truth = scored.reference
    error = np.abs(scored.result - truth)[scored.mask]
    found = calibration(scored.uncertainty[scored.mask], error, 100 / float(np.ptp(truth)))
    return [Value(name, where or IN_MASK, number) for name, where, number in found]


def _lpips(network: str, scored: Scored) -> list[Value]:
    number = _room("perceptual").lpips(scored.reference, scored.result, network=network)
    return [Value(f"lpips_{network}", WHOLE, float(number))]


def _sharpness(name: str, scored: Scored) -> list[Value]:
    """Return one of the sharpness measures that need no reference."""
    largest = float(scored.reference.max()) or 1.0
    number = getattr(_room("perceptual"), name)((scored.result / largest).astype(np.float32))
    return [Value(name, WHOLE, float(number))]


def _segmentation(scored: Scored) -> list[Value]:
    overlaps = _room("segmentation").dice_and_iou(scored.reference, scored.result, scored.spacing)
    pairs = [(tissue, *numbers) for tissue, numbers in overlaps.items()]
    return [value for tissue, dice, iou in pairs for value in (Value("dice", tissue, dice), Value("iou", tissue, iou))]


def _room(name: str) -> ModuleType:
    try:
        return import_module(f"ArSSRLib.evaluation.{name}")
    except ModuleNotFoundError as error:
        msg = f"{error.name} is not installed; install ArSSRLib[evaluate]."
        raise MetricUnavailable(msg) from error


METRICS: dict[str, Metric] = {
    "psnr": Metric(_psnr),
    "ssim": Metric(partial(_ssim, "ssim", None)),
    "ssim_gaussian": Metric(partial(_ssim, "ssim_gaussian", 1.5)),
    "lesion_contrast": Metric(_lesion_contrast),
    "consistency": Metric(_consistency, needs_truth=False),
    "ripple": Metric(_ripple, needs_truth=False),
    "lpips_alex": Metric(partial(_lpips, "alex")),
    "lpips_vgg": Metric(partial(_lpips, "vgg")),
    "processor_seconds": Metric(lambda scored: [Value("processor_seconds", WHOLE, scored.seconds)], needs_truth=False),
    "uncertainty": Metric(_calibration),
    "segmentation": Metric(_segmentation, identity=lambda: str(_room("segmentation").identity_of_ants())),
    "psi": Metric(partial(_sharpness, "psi"), needs_truth=False),
    "lpc_si": Metric(partial(_sharpness, "lpc_si"), needs_truth=False),
}


def why_unavailable(name: str) -> str:
    """Return what a metric lacks on this machine and how to get it, or nothing; it is tried on a few voxels."""
    cells = np.indices((40, 40, 40), dtype=np.float32).sum(axis=0)
    array: npt.NDArray[np.float32] = (1 + np.sin(cells / 3)).astype(np.float32)
    same = [np.eye(40)] * 3
    ones = (1.0, 1.0, 1.0)
    try:
        METRICS[name].measure(Scored(array, array, Acquisition(same, same), ones, ones, array))
    except MetricUnavailable as error:
        return str(error)
    except ArSSRError:  # errors on a few synthetic voxels say nothing about anatomy
        logger.debug("%s was tried on waves:", name, exc_info=True)
    return ""
