"""TrainingConfig: all settings of a training run, and their validation.

`recipe` reads them from a TOML file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ArSSRLib.errors import InputError, shown
from ArSSRLib.model.config import ModelConfig

LARGEST_SCALE = 16


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training run.

    Attributes:
        training_data: High-resolution volumes: a folder, or a CSV file with the columns path, split and, optionally,
            subject, of which the rows with split "train" are used.
        output: Folder for checkpoints, log and final weights.
        model: Architecture, the ``[model]`` table; with `arssr train --init`, it is taken from the weights instead.
        validation_data: Volumes for choosing the best checkpoint, without training subjects: a folder, or a CSV file,
            of which the rows with split "val" are used. Without it, the result is the weights of the last step.
        cache: Folder for prepared volumes; "" is a folder of the user, see `cache`.
        crop_and_pad: Voxels along i, j, k to which each volume is cropped or padded with background about its center
            first; [] keeps its size.
        normalization: "percentile" of the foreground, as in upsampling; "maximum" of the volume, as published.
        target_spacings: Isotropic spacings in mm to which each volume is resampled as ground truth; 0 keeps its grid.
        target_weights: Relative frequency of each of these grids.
        fixed_patches: Number of cubes cut from each volume at random positions once, from which all patches are drawn,
            as published; 0 draws patches from whole volumes.
        fixed_patch_size: Voxels along each axis of such a cube.
        self_supervised: Whether to learn from thick-slice volumes: their in-plane resolution is the ground truth, and
            equally thick slices are simulated along an in-plane axis. See `drawing`.
        batch_items: Patches per step and process, each with its own scale, profile and volume.
        scale_groups: Number of groups of patches with equal scales, each built at once on a GPU; 0 draws patches one
            by one.
        patch_size: Coarse voxels along each axis of a patch.
        margin: Coarse voxels at the border of a patch without query points, because they are affected by padding.
        points: Query points per patch.
        block_voxels: Largest number of fine voxels of the dense block that is computed in each patch and made to agree
            with it, instead of ``points``; 0 uses points. Only for networks with this correction (arssr3).
        isotropic_share: Share of items with one scale for all axes.
        thick_share: Share of items with one thick axis; the remaining items have three independent scales.
        whole_scale_share: Share of items whose scales are rounded to a whole or half number, as users choose them.
        scale_range: Smallest and largest scale of isotropic and independent items, 1 to 16. A network for one scale
            (srcnn3d, dcsrn, rescnn) determines this and the three shares above: leave them out of its recipe.
        thick_scale_range: Smallest and largest scale of a thick axis, 1 to 16.
        alignment: "centered": coarse and fine voxels are cells of one field of view. "endpoints": the centers of the
            outermost coarse and fine voxels coincide in the simulated patch, as published, although the queries treat
            voxels as cells; all other positions are then shifted.
        degradation: "mixture" of the slice profiles and the noise below; "cubic": point sampling only, as published.
        profile_weights: Relative frequency of point sampling, Gaussian, box and k-space truncation.
        thickness_range: Slice thickness as a fraction of the coarse spacing.
        nominal_share: Share of items whose slice thickness equals the slice spacing, as in most protocols.
        kspace_range: Ratio of acquired to stored voxel size for k-space truncation, 1 to 4: scanners interpolate in
            the plane.
        own_profile_share: Share of items in which each axis has its own slice profile.
        stated_share: Share of items whose slice profile is an input of the network, as a fact.
        estimated_share: Share of items whose slice profile is an input of the network with an error, as an estimate.
        unknown_profile_weights: Like ``profile_weights``, for axes whose profile is unknown to the network, at nominal
            thickness; [] uses ``profile_weights``.
        noise_share: Share of items with Rician noise.
        noise_maximum: Largest standard deviation of the noise, as a fraction of the intensity range.
        jitter_share: Share of items with one thick axis whose slices differ in brightness, as in two-dimensional
            acquisitions; the ground truth does not, so that the network learns to even them out.
        jitter_maximum: Largest standard deviation of these differences, as a fraction of the brightness.
        coordinates: Coordinates that the decoder receives: "relative" to the coarse voxel, for which arssr2 is built;
            for the published network, the position in the "patch", as published, or in the "volume", as in upsampling.
        augmentation: Whether patches are flipped, their axes permuted and their intensities changed.
        gain_range: Smallest and largest brightness factor. A coarse volume has fewer bright voxels than its ground
            truth, which determines the normalization in training: in upsampling, it is up to 1.4 times as bright.
        gamma_share: Share of items with a random power curve.
        curve_share: Share of items with a random tone curve.
        tissue_share: Share of items with a tone curve that simulates another MR contrast of T1-weighted tissue.
        bias_share: Share of items with a smooth bias field.
        smooth_share: Share of items whose ground truth is blurred, like templates and smoothed volumes.
        offset_share: Share of items with an intensity offset.
        steps: Optimizer steps of the whole run.
        optimizer: "muon" for the matrices of the network and Adam for the rest, which needs fewer steps; "adam", as
            published.
        learning_rate: Largest learning rate of Adam (0.9, 0.999, 1e-8), and of Muon, whose updates have the same size.
        schedule: "cosine" after a plateau; "halving" every ``halve_every`` steps, as published.
        halve_every: Steps between two halvings.
        warm_up_steps: Steps over which the learning rate rises linearly.
        hold_share: Share of the steps at the largest learning rate before the cosine begins; 0 is a plain cosine.
        gradient_clip: Largest norm of the gradient; 0 does not clip.
        ema_decay: Decay per step of the averaged weights that are validated and exported; 0 uses the weights
            themselves.
        loss: "relative" to the error of cubic interpolation, item by item; "l1", as published.
        squared_share: Weight of the root mean square error in the relative loss; the mean absolute error has the rest.
        precision: "fp32", or "bf16" where the processor computes it faster; networks that output the image itself
            (srcnn3d, dcsrn) are computed in fp32 only.
        compile: Whether PyTorch compiles the network; the first step then takes a minute or more.
        validate_every: Steps between validations.
        validation_stride: Validate on every n-th volume; 1 uses all.
        checkpoint_every: Steps between checkpoints.
        seed: Seed of the initial weights and of all random numbers.

    Raises:
        InputError: If a value is impossible; nothing is read before.
    """

    training_data: Path
    output: Path
    model: ModelConfig
    validation_data: Path | None = None
    cache: Path | None = None
    crop_and_pad: tuple[int, ...] = ()
    normalization: str = "percentile"
    target_spacings: tuple[float, ...] = (0.0, 1.2)
    target_weights: tuple[float, ...] = (0.4, 0.6)
    fixed_patches: int = 0
    fixed_patch_size: int = 40
    self_supervised: bool = False
    batch_items: int = 6
    scale_groups: int = 0
    patch_size: int = 20
    margin: int = 2
    points: int = 6000
    block_voxels: int = 0
    isotropic_share: float = 0.55
    thick_share: float = 0.35
    whole_scale_share: float = 0.4
    scale_range: tuple[float, ...] = (1.25, 4.25)
    thick_scale_range: tuple[float, ...] = (1.5, 8.0)
    alignment: str = "centered"
    degradation: str = "mixture"
    profile_weights: tuple[float, ...] = (0.5, 0.38, 0.08, 0.04)
    thickness_range: tuple[float, ...] = (0.6, 1.3)
    nominal_share: float = 0.5
    kspace_range: tuple[float, ...] = (1.0, 1.3)
    own_profile_share: float = 0.0
    stated_share: float = 0.0
    estimated_share: float = 0.0
    unknown_profile_weights: tuple[float, ...] = ()
    noise_share: float = 0.12
    noise_maximum: float = 0.03
    jitter_share: float = 0.0
    jitter_maximum: float = 0.03
    coordinates: str = "relative"
    augmentation: bool = True
    gain_range: tuple[float, ...] = (1.0, 1.0)
    gamma_share: float = 0.2
    curve_share: float = 0.1
    tissue_share: float = 0.0
    bias_share: float = 0.0
    smooth_share: float = 0.0
    offset_share: float = 0.0
    steps: int = 20000
    optimizer: str = "adam"
    learning_rate: float = 8e-4
    schedule: str = "cosine"
    halve_every: int = 62_400
    warm_up_steps: int = 200
    hold_share: float = 0.5
    gradient_clip: float = 0.5
    ema_decay: float = 0.999
    loss: str = "relative"
    squared_share: float = 0.5
    precision: str = "fp32"
    compile: bool = False
    validate_every: int = 1000
    validation_stride: int = 1
    checkpoint_every: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible values before anything is read."""
        _check_choices(self)
        _check_numbers(self)
        _check_combinations(self)


def _check_choices(config: TrainingConfig) -> None:
    choices = {
        "normalization": ("percentile", "maximum"),
        "alignment": ("centered", "endpoints"),
        "degradation": ("mixture", "cubic"),
        "coordinates": ("relative", "patch", "volume"),
        "optimizer": ("adam", "muon"),
        "schedule": ("cosine", "halving"),
        "loss": ("relative", "l1"),
        "precision": ("fp32", "bf16"),
    }
    for name, known in choices.items():
        if getattr(config, name) not in known:
            msg = f'The recipe\'s {name} = "{getattr(config, name)}" is unknown; choose one of {", ".join(known)}.'
            raise InputError(msg)


def _check_numbers(config: TrainingConfig) -> None:
    counts = ("block_voxels", "fixed_patches", "margin", "scale_groups", "seed", "warm_up_steps")
    least = {
        0: (*counts, "gradient_clip", "jitter_maximum", "noise_maximum"),
        1: ("batch_items", "checkpoint_every", "halve_every", "points", "validate_every", "validation_stride"),
        4: ("patch_size", "fixed_patch_size"),
    }
    for smallest, names in least.items():
        for name in names:
            _require(config, name, smallest <= getattr(config, name) < float("inf"), f"{smallest} or more")
    for name in (field.name for field in fields(config) if field.name.endswith("_share")):
        _require(config, name, 0 <= getattr(config, name) <= 1, "a number from 0 to 1")
    ranges = {
        "scale_range": (1, LARGEST_SCALE),
        "thick_scale_range": (1, LARGEST_SCALE),
        "thickness_range": (0.1, 4),
        "kspace_range": (1, 4),
        "gain_range": (0.25, 4),
    }
    for name, (low, high) in ranges.items():
        values, expected = getattr(config, name), f"two numbers from {low} to {high}, the smaller first"
        _require(config, name, len(values) == 2 and low <= values[0] <= values[1] <= high, expected)
    _require(config, "profile_weights", _weights(config.profile_weights, 4), "four weights, not all 0")
    unknown = config.unknown_profile_weights or config.profile_weights
    _require(config, "unknown_profile_weights", _weights(unknown, 4), "four weights, not all 0, or []")
    _require(config, "learning_rate", 0 < config.learning_rate <= 1, "a number above 0, at most 1")
    _require(config, "ema_decay", 0 <= config.ema_decay < 1, "a number from 0 to below 1")
    spacings = config.target_spacings
    _require(config, "target_spacings", bool(spacings) and all(0 <= s <= 20 for s in spacings), "spacings in mm, or 0")
    size = config.crop_and_pad
    _require(config, "crop_and_pad", not size or (len(size) == 3 and min(size) >= 4), "three sizes of 4 or more, or []")


def _check_combinations(config: TrainingConfig) -> None:
    _require(config, "scale_groups", config.batch_items % (config.scale_groups or 1) == 0, "a divisor of batch_items")
    _require(config, "patch_size", config.patch_size <= 128, "128 or less")
    _require(config, "margin", config.margin < config.patch_size / 2, "less than half of patch_size")
    _require(config, "steps", config.steps > config.warm_up_steps, "more than warm_up_steps")
    _require(config, "thick_share", config.isotropic_share + config.thick_share <= 1, "at most 1 - isotropic_share")
    curves = config.gamma_share + config.curve_share + config.tissue_share
    _require(config, "curve_share", curves <= 1, "at most 1 - gamma_share - tissue_share")
    told = config.stated_share + config.estimated_share
    _require(config, "estimated_share", told <= 1, "at most 1 - stated_share")
    weights = config.target_weights
    _require(config, "target_weights", _weights(weights, len(config.target_spacings)), "one weight a target spacing")
    if config.fixed_patches:
        needed = config.patch_size * config.scale_range[0]
        _require(config, "fixed_patch_size", config.fixed_patch_size >= needed, "patch_size times the least scale")
    known, kind = config.model.COORDINATES, f"a network of kind {config.model.kind}"
    expected = " or ".join(f'"{coordinates}"' for coordinates in known)
    _require(config, "coordinates", config.coordinates in known, f"{expected} for {kind}")
    agrees = config.block_voxels == 0 or config.model.kind == "arssr3"
    _require(config, "block_voxels", agrees, f"0 for {kind}")
    own_grid = config.target_spacings == (0.0,)
    _require(config, "target_spacings", own_grid or not config.self_supervised, "[0] where self_supervised is true")
    full = config.precision == "fp32" or not config.model.outputs_image
    _require(config, "precision", full, f'"fp32" for {kind}, which gives the image itself')
    if config.model.only_scale is not None:
        _check_fixed_scale(config, config.model.only_scale)


def fixed_scale_values(scale: float) -> dict[str, Any]:
    """Return the settings that a network for one scale determines: every item has this scale along every axis."""
    return {"isotropic_share": 1.0, "thick_share": 0.0, "whole_scale_share": 0.0, "scale_range": (scale, scale)}


def _check_fixed_scale(config: TrainingConfig, scale: float) -> None:
    for name, value in fixed_scale_values(scale).items():
        expected = f"{shown(value)} for a network of scale {scale:g}; omit it"
        _require(config, name, getattr(config, name) == value, expected)
    _require(config, "self_supervised", not config.self_supervised, "false for a network of one scale")
    length = config.patch_size * scale
    whole = config.alignment == "centered" or abs(length - round(length)) < 1e-6
    expected = f'a whole number when multiplied by {scale:g}, as alignment = "endpoints" needs'
    _require(config, "patch_size", whole, expected)


def _require(config: TrainingConfig, name: str, passed: bool, expected: str) -> None:
    if not passed:
        msg = f"The recipe's {name} = {shown(getattr(config, name))} is not valid; expected {expected}."
        raise InputError(msg)


def _weights(weights: Sequence[float], count: int) -> bool:
    return len(weights) == count and min(weights) >= 0 and 0 < sum(weights) < float("inf")
