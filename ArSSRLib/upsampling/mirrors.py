"""Average over the mirror images of a volume: a better result, and the spread of the predictions.

Source:
    Timofte et al. 2016, "Seven ways to improve example-based single image super resolution", section 3.3,
    https://doi.org/10.1109/CVPR.2016.206
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ArSSRLib.coordinates import QueryGrid
from ArSSRLib.kernels.transfer import to_host
from ArSSRLib.model.interface import Answer, Conditioning, Executor, Progress
from ArSSRLib.tiling import Slices, Tile

# Every combination of mirrored axes among k, j, i.
MIRROR_IMAGES = tuple(axes for count in range(4) for axes in itertools.combinations(range(3), count))


@dataclass(frozen=True)
class Mirrored(Executor):
    """Computes a network on a mirror image, and mirrors the predictions back.

    Attributes:
        executor: Implementation of the network.
        axes: The mirrored axes, of k, j, i.
    """

    executor: Executor
    axes: tuple[int, ...]

    def encode_tile(self, volume: Tensor, told: Conditioning, progress: Progress) -> Answer:
        """Encode the mirror image of a tile; see `Executor`."""
        image = torch.flip(volume, [axis + 2 for axis in self.axes])
        answer = self.executor.encode_tile(image, told, progress)
        lengths = volume.shape[2:]
        return lambda grid: torch.flip(answer(self._mirrored(grid, lengths)), self.axes)

    def _mirrored(self, grid: QueryGrid, lengths: Iterable[int]) -> QueryGrid:
        """Return the positions of the voxels of a block in the mirror image, in mirrored order."""
        query, sampling = list(grid.query), list(grid.sampling)
        for axis, length in enumerate(lengths):
            if axis in self.axes:
                query[axis] = -query[axis].flip(0)
                sampling[axis] = (length - 1 - sampling[axis]).flip(0)
        return QueryGrid((query[0], query[1], query[2]), (sampling[0], sampling[1], sampling[2]))


class Average:
    """The mean and the standard deviation of several predictions of one tile.

    Args:
        tile: The tile.
        spread: Whether to compute the standard deviation.
    """

    def __init__(self, tile: Tile, *, spread: bool) -> None:
        self._corner = tuple(s.start for s in tile.block)
        shape = tuple(s.stop - s.start for s in tile.block)
        self.mean = np.zeros(shape, dtype=np.float32)
        self._squares = np.zeros(shape, dtype=np.float32) if spread else None
        self._count = 0

    def add(self, answers: Iterable[tuple[Slices, Tensor]]) -> None:
        """Add one prediction, slab by slab, with Welford's updates, because a sum of squares would lose precision."""
        self._count += 1
        for block, fine in to_host(answers):
            place = tuple(slice(s.start - c, s.stop - c) for s, c in zip(block, self._corner, strict=True))
            mean = self.mean[place]
            before = fine - mean
            mean += before / self._count
            if self._squares is not None:
                self._squares[place] += before * (fine - mean)

    def deviation(self) -> npt.NDArray[np.float32]:
        """Return the standard deviation of the predictions, in the shape of the block, normalized."""
        if self._squares is None:
            return np.zeros_like(self.mean)
        return np.asarray(np.sqrt(self._squares / self._count), dtype=np.float32)
