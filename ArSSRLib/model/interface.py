"""The interface of networks for training, upsampling and checkpoints: every network is a `SuperResolutionModel`.

A network maps a volume to a feature map (`encode`), and predicts scattered points (`query`) or a regular block of fine
voxels (`query_grid`) from it. Upsampling only calls `encode_tile`, which alternative implementations for a device
(kernels, OpenVINO) also provide: any class with this method is an `Executor`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from ArSSRLib.convolution.slabs import Advance, unobserved
from ArSSRLib.coordinates import Box, QueryGrid
from ArSSRLib.errors import InputError
from ArSSRLib.model.config import ModelConfig

# Maps the positions of fine voxels to their normalized intensities, float32, in the shape of the grid.
Answer = Callable[[QueryGrid], Tensor]
# Called with the share of the encoding of a tile finished since the last call; an exception stops the encoding.
Progress = Callable[[float], object]

# Share of the difference that a correction step removes if the network was not trained for it; below 1, the result
# follows noise less.
UNTRAINED_STRENGTH = 0.7


@dataclass(frozen=True)
class Conditioning:
    """Inputs of a network about a volume besides its voxels; each network uses the parts that it supports.

    Attributes:
        scale: Fine voxels per coarse voxel along k, j, i, shape (N, 3), unitless, float32.
        acquisition: Slice profiles along k, j, i, shape (N, 3, 5), float32, from `acquisition.told_of`: the contrast
            kept at four frequencies, and the certainty. None if nothing is known.
    """

    scale: Tensor
    acquisition: Tensor | None = None

    @staticmethod
    def between(
        coarse_shape: Sequence[int], fine_shape: Sequence[int], acquisition: Sequence[Sequence[float]] | None = None
    ) -> Conditioning:
        """Return the conditioning for upsampling one volume between two shapes (k, j, i), on the CPU."""
        factors = [fine / coarse for fine, coarse in zip(fine_shape, coarse_shape, strict=True)]
        told = None if acquisition is None else torch.tensor([acquisition], dtype=torch.float32)
        return Conditioning(torch.tensor([factors], dtype=torch.float32), told)

    def map(self, change: Callable[[Tensor], Tensor]) -> Conditioning:
        """Return a copy with a function applied to every tensor, for example to move them to a device."""
        return Conditioning(change(self.scale), None if self.acquisition is None else change(self.acquisition))


class Executor(Protocol):
    """Computes a network on a device: the network itself, or a faster implementation."""

    @abstractmethod
    def encode_tile(self, volume: Tensor, told: Conditioning, progress: Progress) -> Answer:
        """Encode a tile, and return a function that predicts blocks of fine voxels in it.

        Args:
            volume: Normalized intensities, shape (1, 1, D, H, W), on the device.
            told: Conditioning, on the device.
            progress: Receives the finished shares of the work, also during prediction; their sum is at most 1.
        """


class SuperResolutionModel(nn.Module, ABC):
    """Base class of networks for super-resolution.

    Args:
        config: Configuration, of the class that `registry` lists for its kind.

    Attributes:
        name: Name of the weights, set by `load_model`.
        sha256: Checksum of the weights file.
        slabs_independent: Whether a block may be predicted in slabs; False if the network convolves fine voxels, so
            that slabs would depend on each other's margins.
        uses_profile: Whether the slice profile changes its result.
        answers_locally: Whether `query` gives the same result for a part of a volume with its halo as for the whole;
            False if the network uses positions in the volume, or convolves fine voxels.
        encoding_cost: Cost of encoding a coarse voxel relative to predicting a fine voxel, for progress and planning:
            12 and 0.29 microseconds on one core for arssr2.
    """

    name: str = ""
    sha256: str = ""
    config: ModelConfig
    slabs_independent: ClassVar[bool] = True
    uses_profile: ClassVar[bool] = False
    answers_locally: ClassVar[bool] = False
    encoding_cost: ClassVar[float] = 40.0

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    @property
    @abstractmethod
    def halo(self) -> int:
        """Coarse margin that makes a tile exact: receptive radius plus the neighbors for interpolation, in voxels."""

    @property
    @abstractmethod
    def bytes_per_coarse_voxel(self) -> int:
        """Peak memory of encoding in bytes per coarse voxel, in fp32 and without gradients."""

    @abstractmethod
    def encode(self, volume: Tensor, told: Conditioning | None = None) -> Tensor:
        """Compute feature maps layer by layer: for training, and as the reference for `encode_lean`.

        Args:
            volume: Normalized intensities, shape (N, 1, D, H, W).
            told: Conditioning; a scale of 2 along every axis if None.

        Returns:
            Feature maps, shape (N, C, D, H, W).

        Raises:
            ValueError: If a shape is invalid.
        """

    def encode_lean(self, volume: Tensor, told: Conditioning | None = None, advance: Advance = unobserved) -> Tensor:
        """Compute the feature map of `encode` for one volume, (1, 1, D, H, W), without gradients, with little memory.

        ``advance`` is called with the number of weights of 3-D convolutions that were applied since the last call. An
        exception stops the encoding.
        """
        return self.encode(volume, told)

    def encode_box(
        self,
        volume: Tensor,
        box: Box,
        told: Conditioning | None = None,
        advance: Advance = unobserved,
        *,
        halo: int | None = None,
        needed: Tensor | None = None,
    ) -> Tensor:
        """Return a box of the feature map of `encode_lean`; some networks compute only what the box depends on.

        Args:
            volume: Normalized intensities, shape (1, 1, D, H, W).
            box: Voxels along k, j, i. The features of its outermost voxels are only valid at the edge of the volume:
                cubic interpolation reads these voxels, but linear interpolation of features does not.
            told: Conditioning.
            advance: As in `encode_lean`.
            halo: Largest distance, in voxels, from the box without its outermost voxels at which layers compute
                features; farther features are extrapolated, and the result is approximate. None if there is no limit.
            needed: Mask of the planes and rows of the box whose features are needed; others are skipped where this
                saves time, and are then not valid. All if None.

        Returns:
            Feature map, shape (1, C, *shape of the box).
        """
        k, j, i = box
        return self.encode_lean(volume, told, advance)[:, :, k, j, i]

    @abstractmethod
    def query(self, feature_map: Tensor, coordinates: Tensor, told: Conditioning | None = None) -> Tensor:
        """Predict the intensities at scattered points.

        Args:
            feature_map: From `encode`, shape (N, C, D, H, W).
            coordinates: Points in (k, j, i) order, shape (N, K, 3), unitless; -1 and +1 are the outer faces of the
                encoded volume.
            told: Conditioning as for `encode`.

        Returns:
            Intensities, shape (N, K), at least float32.

        Raises:
            ValueError: If a shape does not fit.
        """

    @abstractmethod
    def query_grid(self, feature_map: Tensor, grid: QueryGrid, told: Conditioning | None = None) -> Tensor:
        """Predict a regular block of fine voxels: equal to `query` at its points, but faster.

        Args:
            feature_map: From `encode`, shape (1, C, d, h, w).
            grid: Positions of the fine voxels.
            told: Conditioning as for `encode`.

        Returns:
            Intensities, shape ``grid.shape``, float32.

        Raises:
            ValueError: If a shape does not fit.
        """

    def encode_tile(self, volume: Tensor, told: Conditioning, progress: Progress) -> Answer:
        """Encode a tile, see `Executor`, slab by slab in the precision of autocast."""
        feature_map = self.encode_lean(volume, told, self.in_parts(progress))
        return lambda grid: self.query_grid(feature_map, grid, told)

    def in_parts(self, progress: Progress) -> Advance:
        """Return a callback that converts applied weights into shares of one encoding."""
        convolutions = [module for module in self.modules() if isinstance(module, nn.Conv3d)]
        weights = sum(module.weight.numel() for module in convolutions) or 1
        return lambda done: progress(done / weights)

    def forward(
        self, coarse: Tensor, told: Conditioning, coordinates: Tensor, *, placed: Tensor, bf16: bool = False
    ) -> Tensor:
        """Predict points of patches, as one training step does.

        Args:
            coarse: Patches, shape (N, 1, n, n, n).
            told: Conditioning of each patch.
            coordinates: Points in the patches, shape (N, K, 3).
            placed: The same points in the whole volumes, for a network that uses absolute positions.
            bf16: Whether convolutions multiply in bf16.

        Returns:
            Intensities, shape (N, K).
        """
        with mixed_precision(coarse.device, bf16=bf16):
            feature_map = self.encode(coarse, told)
        return self.query(feature_map, coordinates, told)

    def correction_strength(self, told: Conditioning) -> Tensor:
        """Return the strength of each correction step, 0 to 1, shape (N,).

        A network that did not learn the strength uses `UNTRAINED_STRENGTH` for a stated profile, and a quarter of it
        for an estimated profile, so that even wrong estimates have little effect.
        """
        certainty = torch.zeros_like(told.scale) if told.acquisition is None else told.acquisition[..., -1]
        return UNTRAINED_STRENGTH * torch.where(told.scale > 1, certainty, 1.0).amin(1) ** 2

    @abstractmethod
    def compilable_layers(self) -> list[nn.Module]:
        """Return the layers that dominate the training time, and that PyTorch may compile individually."""

    def check_scale(self, coarse: Sequence[int], fine: Sequence[int]) -> None:
        """Refuse a scale, by voxels along k, j, i, that the network does not support; one for any scale refuses none.

        Raises:
            InputError: If the network supports only another scale.
        """
        return

    @classmethod
    def adopting(cls, weights: SuperResolutionModel, config: ModelConfig) -> SuperResolutionModel:
        """Return a network of this class with a given configuration, initialized with the weights of another network.

        Raises:
            InputError: If the weights cannot be converted.
        """
        return weights.grown(config)

    def grown(self, config: ModelConfig) -> SuperResolutionModel:
        """Return an equivalent network with another configuration, for further training.

        Raises:
            InputError: If the weights cannot be converted.
        """
        if config == self.config:
            return self
        msg = (
            f"The initial weights are of {self.config.to_json()}, but the recipe asks for {config.to_json()}; "
            "only model.blocks can grow."
        )
        raise InputError(msg)


def check_volume(volume: Tensor, name: str = "volume") -> None:
    """Refuse a tensor that does not hold one or more volumes.

    Raises:
        ValueError: If its shape is not (N, 1, D, H, W), or it has no voxel.
    """
    if volume.ndim != 5 or volume.shape[1] != 1 or volume.numel() == 0:
        msg = f"{name} must be (N, 1, D, H, W) with at least one voxel, got {tuple(volume.shape)}."
        raise ValueError(msg)


def mixed_precision(device: torch.device, *, bf16: bool) -> AbstractContextManager[object]:
    """Return a context in which PyTorch multiplies in bf16 where that is safe, if ``bf16`` is set."""
    return torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext()
