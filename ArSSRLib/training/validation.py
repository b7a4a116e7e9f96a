"""Quality of a model on whole validation volumes, compared with cubic interpolation and back-projection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ArSSRLib.acquisition.consistency import Agreement
from ArSSRLib.acquisition.matrices import acquisition_matrices, back_project, coarse_shape
from ArSSRLib.acquisition.profile import UNKNOWN, AxisProfile, SliceProfile, told_of
from ArSSRLib.convolution.slabs import unobserved
from ArSSRLib.coordinates import whole_grid
from ArSSRLib.interpolation import apply_matrices, cubic_upsample
from ArSSRLib.metrics import brain_mask, psnr, ssim
from ArSSRLib.model.config import ModelConfig
from ArSSRLib.model.interface import Conditioning, SuperResolutionModel
from ArSSRLib.normalization import IntensityRange

Setting = tuple[tuple[float, float, float], str]
# Scales along k, j, i for models of any scale, and the two profiles.
SETTINGS: tuple[Setting, ...] = tuple(
    (scale, profile)
    for profile in ("point", "gaussian")
    for scale in ((2.0, 2.0, 2.0), (3.0, 3.0, 3.0), (4.0, 4.0, 4.0), (4.0, 1.0, 1.0))
)
BACK_PROJECTIONS = 10


@dataclass(frozen=True)
class Case:
    """One volume, coarsened in one way.

    Attributes:
        subject: Name of the file.
        scale: Factors along k, j, i.
        profile: "point" or "gaussian".
        truth: Ground truth, shape (k, j, i), normalized.
        coarse: Coarse volume, shape (k', j', i').
        cubic: Cubic interpolation, in the shape of ``truth``.
        back_projected: Cubic interpolation with 10 back-projections, in the shape of ``truth``.
        mask: Voxels that count, in the shape of ``truth``.
    """

    subject: str
    scale: tuple[float, float, float]
    profile: str
    truth: npt.NDArray[np.float32]
    coarse: Tensor
    cubic: npt.NDArray[np.float32]
    back_projected: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]

    @property
    def slice_profile(self) -> SliceProfile:
        """The profile as an input of a network."""
        axis = AxisProfile("gaussian" if self.profile == "gaussian" else "point")
        return SliceProfile((axis, axis, axis))


@dataclass(frozen=True)
class Score:
    """Quality of three methods on one case: PSNR in dB and SSIM in the mask, by name of the method."""

    subject: str
    scale: tuple[float, float, float]
    profile: str
    psnr: dict[str, float]
    ssim: dict[str, float]

    @property
    def gain(self) -> float:
        """Gain of the model in dB over the floor, the better of cubic and back-projection."""
        return self.psnr["model"] - max(self.psnr["cubic"], self.psnr["back_projection"])


def make_case(subject: str, truth: npt.NDArray[np.float32], scale: tuple[float, float, float], profile: str) -> Case:
    """Coarsen a volume of shape (k, j, i) by ``scale``, and compute the baselines."""
    fine = torch.from_numpy(truth)
    shape = coarse_shape(fine.shape, scale)
    matrices = acquisition_matrices(fine.shape, shape, profile=profile)
    coarse = apply_matrices(fine, matrices)
    cubic = cubic_upsample(coarse, fine.shape)
    corrected = back_project(coarse, cubic, matrices, BACK_PROJECTIONS)
    return Case(subject, scale, profile, truth, coarse, cubic.numpy(), corrected.numpy(), brain_mask(truth))


def settings_for(model: ModelConfig) -> tuple[Setting, ...]:
    """Return the scales along k, j, i and the profiles for validating a model, which may have a single scale."""
    if model.only_scale is not None:
        scale = (model.only_scale,) * 3
        return tuple((scale, profile) for profile in ("point", "gaussian"))
    return SETTINGS


@torch.no_grad()
def predict(
    model: SuperResolutionModel,
    coarse: Tensor,
    shape: Sequence[int],
    device: torch.device,
    profile: SliceProfile = UNKNOWN,
) -> npt.NDArray[np.float32]:
    """Upsample a volume of shape (k', j', i') to ``shape`` (k, j, i) in one tile, in the range of the input.

    A network that accepts the slice profile receives it, and its result is made to agree with ``coarse``.
    """
    # The input's range: the truth is unavailable at inference.
    intensities = IntensityRange.of(coarse.numpy())
    coarse = torch.from_numpy(intensities.normalize(coarse.numpy()))
    old, new = coarse.shape, torch.Size(shape)
    told = Conditioning.between(old, new, told_of(profile)).map(lambda tensor: tensor.to(device))
    answer = model.encode_tile(coarse[None, None].to(device), told, unobserved)
    fine = answer(whole_grid((old[0], old[1], old[2]), (new[0], new[1], new[2]))).float().cpu()
    strength = model.correction_strength(told)
    if profile.covers(told.scale[0].flip(0).tolist()):
        agreement = Agreement.of(new, old, profile)
        whole = [slice(None)] * 3
        difference = coarse - agreement.simulated(fine, whole)
        fine += agreement.interpolated(agreement.correction(difference, float(strength)), whole)
    return intensities.restore(fine.numpy())


def score_case(
    model: SuperResolutionModel,
    case: Case,
    device: torch.device,
    *,
    with_ssim: bool = False,
    profile: SliceProfile | None = None,
) -> Score:
    """Evaluate the model on one case; SSIM, which takes longer, is only computed on request.

    ``profile`` is what is known of the slice profile; by default, all of it.
    """
    results = {
        "cubic": case.cubic,
        "back_projection": case.back_projected,
        "model": predict(
            model, case.coarse, case.truth.shape, device, case.slice_profile if profile is None else profile
        ),
    }
    ratios = {name: psnr(case.truth, result, case.mask) for name, result in results.items()}
    indices = {name: ssim(case.truth, result, case.mask) for name, result in results.items()} if with_ssim else {}
    return Score(case.subject, case.scale, case.profile, ratios, indices)


def mean_gains(scores: Iterable[Score]) -> dict[str, float]:
    """Return the mean gain over the floor in dB by setting, such as "2x2x2 point", and over all settings as "mean"."""
    by_setting: dict[str, list[float]] = {}
    for score in scores:
        name = "x".join(f"{s:g}" for s in reversed(score.scale)) + f" {score.profile}"
        by_setting.setdefault(name, []).append(score.gain)
    gains = {name: float(np.mean(values)) for name, values in by_setting.items()}
    return {**gains, "mean": float(np.mean(list(gains.values())))}
