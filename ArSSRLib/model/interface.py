"""What training, upsampling and checkpoints ask of a network: every network is a `SuperResolutionModel`.

A network turns a volume into a feature map (`encode`) and answers for points in it (`query`) or for a regular block of
fine voxels (`query_grid`). Upsampling goes through `encode_tile` alone, and so do the other ways to compute the same on
a device (kernels, OpenVINO): whatever has that method is an `Executor`.
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

# From where fine voxels lie to their normalized intensities, shape of the grid, float32.
Answer = Callable[[QueryGrid], Tensor]
# Called with the part of a tile's encoding that was finished since the last call; what it raises ends the encoding.
Progress = Callable[[float], object]

# Part of the difference that a step corrects after a network that was not trained for it; below 1, noise is followed
# less.
UNTRAINED_STRENGTH = 0.7


@dataclass(frozen=True)
class Conditioning:
    """What a network is told about a volume besides its voxels; each network uses what it knows how to.

    Attributes:
        scale: Fine voxels per coarse voxel along k, j, i, shape (N, 3), unitless, float32.
        acquisition: Slice profiles along k, j, i, shape (N, 3, 5), float32, as from `acquisition.told_of`: the kept
            contrast at four frequencies and the certainty. None where nothing is known.
    """

    scale: Tensor
    acquisition: Tensor | None = None

    @staticmethod
    def between(
        coarse_shape: Sequence[int], fine_shape: Sequence[int], acquisition: Sequence[Sequence[float]] | None = None
    ) -> Conditioning:
        """Return what one volume is told to become finer from one shape (k, j, i) to another, on the CPU."""
        factors = [fine / coarse for fine, coarse in zip(fine_shape, coarse_shape, strict=True)]
        told = None if acquisition is None else torch.tensor([acquisition], dtype=torch.float32)
        return Conditioning(torch.tensor([factors], dtype=torch.float32), told)

    def map(self, change: Callable[[Tensor], Tensor]) -> Conditioning:
        """Return the same with every tensor changed, for example moved to a device."""
        return Conditioning(change(self.scale), None if self.acquisition is None else change(self.acquisition))


class Executor(Protocol):
    """Computes a network on a device: the network itself, or a faster way to do the same."""

    @abstractmethod
    def encode_tile(self, volume: Tensor, told: Conditioning, progress: Progress) -> Answer:
        """Encode a tile, and return what answers for blocks of fine voxels in it.

        Args:
            volume: Normalized intensities, shape (1, 1, D, H, W), on the device.
            told: What the network is told about it, on the device.
            progress: Told the parts of the work, which add up to 1 at most; also while the answer is computed.
        """


class SuperResolutionModel(nn.Module, ABC):
    """A network for super-resolution.

    Args:
        config: What it is made of; of the class that `registry` knows for its kind.

    Attributes:
        name: Of the weights, as `load_model` found them.
        sha256: Checksum of their file.
        slabs_independent: Whether a block may be answered in slabs; not where the network convolves fine voxels, which
            would see each other's margins.
        answers_locally: Whether `query` answers for a part of a volume, with its halo, as for the whole; not where the
            network is told where in the volume a point lies, or convolves fine voxels.
        encoding_cost: Fine voxels that are answered while one coarse voxel is encoded, for progress and planning: with
            arssr2, 12 and 0.29 microseconds on one core.
    """

    name: str = ""
    sha256: str = ""
    config: ModelConfig
    slabs_independent: ClassVar[bool] = True
    answers_locally: ClassVar[bool] = False
    encoding_cost: ClassVar[float] = 40.0

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    @property
    @abstractmethod
    def halo(self) -> int:
        """Coarse margin that makes a tile exact: what its voxels see, and what interpolation reads, in voxels."""

    @property
    @abstractmethod
    def bytes_per_coarse_voxel(self) -> int:
        """Bytes that encoding holds per coarse voxel at its peak, in fp32 and without gradients."""

    @abstractmethod
    def encode(self, volume: Tensor, told: Conditioning | None = None) -> Tensor:
        """Turn volumes into feature maps, layer by layer: for training, and the reference of `encode_lean`.

        Args:
            volume: Normalized intensities, shape (N, 1, D, H, W).
            told: What the network is told; a scale of 2 along every axis when None.

        Returns:
            Feature maps, shape (N, C, D, H, W).

        Raises:
            ValueError: If a shape does not fit.
        """

    def encode_lean(self, volume: Tensor, told: Conditioning | None = None, advance: Advance = unobserved) -> Tensor:
        """Turn one volume, (1, 1, D, H, W), into the feature map of `encode`, without gradients and in little memory.

        Args:
            volume: Normalized intensities.
            told: What the network is told.
            advance: Called with the number of weights of 3-D convolutions that have done their work since the last
                call. What it raises ends the encoding.
        """
        return self.encode(volume, told)

    def encode_box(
        self, volume: Tensor, box: Box, told: Conditioning | None = None, advance: Advance = unobserved
    ) -> Tensor:
        """Return a box of the feature map of `encode_lean`; a network that can, computes only what the box depends on.

        Args:
            volume: Normalized intensities, shape (1, 1, D, H, W).
            box: Wanted voxels along k, j, i. The features of its outermost voxels count only where the volume ends
                there: cubic interpolation reads them, linear interpolation of features does not.
            told: What the network is told.
            advance: As in `encode_lean`.

        Returns:
            Feature map, shape (1, C, *shape of the box).
        """
        k, j, i = box
        return self.encode_lean(volume, told, advance)[:, :, k, j, i]

    @abstractmethod
    def query(self, feature_map: Tensor, coordinates: Tensor, told: Conditioning | None = None) -> Tensor:
        """Answer for scattered points.

        Args:
            feature_map: From `encode`, shape (N, C, D, H, W).
            coordinates: Points in (k, j, i) order, shape (N, K, 3), unitless; -1 and +1 are the outer faces of the
                encoded volume.
            told: As `encode` was told.

        Returns:
            Intensities, shape (N, K), at least float32.

        Raises:
            ValueError: If a shape does not fit.
        """

    @abstractmethod
    def query_grid(self, feature_map: Tensor, grid: QueryGrid, told: Conditioning | None = None) -> Tensor:
        """Answer for a regular block of fine voxels; equal to `query` at its points, and faster.

        Args:
            feature_map: From `encode`, shape (1, C, d, h, w).
            grid: Where the fine voxels lie.
            told: As `encode` was told.

        Returns:
            Intensities, shape ``grid.shape``, float32.

        Raises:
            ValueError: If a shape does not fit.
        """

    def encode_tile(self, volume: Tensor, told: Conditioning, progress: Progress) -> Answer:
        """Encode a tile as `Executor` says, slab by slab in the precision that autocast is set to."""
        feature_map = self.encode_lean(volume, told, self.in_parts(progress))
        return lambda grid: self.query_grid(feature_map, grid, told)

    def in_parts(self, progress: Progress) -> Advance:
        """Return what turns weights that have done their work into parts of one encoding."""
        convolutions = [module for module in self.modules() if isinstance(module, nn.Conv3d)]
        weights = sum(module.weight.numel() for module in convolutions) or 1
        return lambda done: progress(done / weights)

    def forward(
        self, coarse: Tensor, told: Conditioning, coordinates: Tensor, *, placed: Tensor, bf16: bool = False
    ) -> Tensor:
        """Answer for points of patches: what one training step computes.

        Args:
            coarse: Patches, shape (N, 1, n, n, n).
            told: What the network is told about each.
            coordinates: Points in the patches, shape (N, K, 3).
            placed: The same points in the whole volumes, for a network that is told where in them they are.
            bf16: Whether convolutions multiply in bf16.

        Returns:
            Intensities, shape (N, K).
        """
        with mixed_precision(coarse.device, bf16=bf16):
            feature_map = self.encode(coarse, told)
        return self.query(feature_map, coordinates, told)

    def correction_strength(self, told: Conditioning) -> Tensor:
        """Return how strongly each step of the correction follows the measurement, 0 to 1, shape (N,).

        A network that did not learn it follows a fact by `UNTRAINED_STRENGTH`, and an estimate by a quarter of that,
        with which even the wrong ones among them cost next to nothing.
        """
        certainty = torch.zeros_like(told.scale) if told.acquisition is None else told.acquisition[..., -1]
        return UNTRAINED_STRENGTH * torch.where(told.scale > 1, certainty, 1.0).amin(1) ** 2

    @abstractmethod
    def compilable_layers(self) -> list[nn.Module]:
        """Return the layers in which training spends its time, and which PyTorch may compile one by one."""

    def check_scale(self, coarse: Sequence[int], fine: Sequence[int]) -> None:
        """Refuse a scale that the network cannot do; one for any scale refuses none.

        Args:
            coarse: Voxels of the input along k, j, i.
            fine: Voxels of the output along k, j, i.

        Raises:
            InputError: If the network was made for another scale.
        """
        return

    @classmethod
    def adopting(cls, weights: SuperResolutionModel, config: ModelConfig) -> SuperResolutionModel:
        """Return a network of this class, made as ``config`` says, that begins with the weights of another.

        Raises:
            InputError: If there is no such way from one to the other.
        """
        return weights.grown(config)

    def grown(self, config: ModelConfig) -> SuperResolutionModel:
        """Return weights for another configuration that answer as this network does, to train on from.

        Raises:
            InputError: If there is no such way from one to the other.
        """
        if config == self.config:
            return self
        msg = f"The weights to begin with are of {self.config}; only model.blocks can grow, and {config} is asked for."
        raise InputError(msg)


def check_volume(volume: Tensor, name: str = "volume") -> None:
    """Refuse what is not one or more volumes.

    Raises:
        ValueError: If it is not (N, 1, D, H, W), or has no voxel.
    """
    if volume.ndim != 5 or volume.shape[1] != 1 or volume.numel() == 0:
        msg = f"{name} must be (N, 1, D, H, W) with at least one voxel, got {tuple(volume.shape)}."
        raise ValueError(msg)


def mixed_precision(device: torch.device, *, bf16: bool) -> AbstractContextManager[object]:
    """Return the context in which PyTorch multiplies in bf16 where that is safe, if it is asked to."""
    return torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext()
