"""The result, tile by tile: normalized, encoded once, predicted slab by slab, and converted to scanner units."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ArSSRLib.coordinates import QueryGrid, cell_centers, index_of
from ArSSRLib.kernels.transfer import to_device, to_host
from ArSSRLib.model.interface import Conditioning, Executor
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.planning import SLAB_VOXELS, Plan, slices_of
from ArSSRLib.scratch import write_block
from ArSSRLib.tiling import Slices, Tile, split
from ArSSRLib.upsampling.mirrors import MIRROR_IMAGES, Average, Mirrored
from ArSSRLib.upsampling.storage import as_type

Progress = Callable[[float], object]


@dataclass
class Assembly:
    """The work on one volume.

    Attributes:
        plan: The plan.
        array: The input without padding, shape (k, j, i), in scanner units.
        intensities: Intensity range of the input.
        fine_shape: Shape of the whole fine grid.
        executor: Implementation of the network.
        told: Conditioning of the network, on the device.
        slabs_independent: Whether a block may be predicted in slabs.
        device: Device of the network.
        report: Called with the finished fraction.
    """

    plan: Plan
    array: npt.NDArray[Any]
    intensities: IntensityRange
    fine_shape: Sequence[int]
    executor: Executor
    told: Conditioning
    slabs_independent: bool
    device: torch.device
    report: Progress
    _finished: float = 0.0

    def write(self, result: npt.NDArray[Any], uncertainty: npt.NDArray[np.float32] | None = None) -> None:
        """Write the computed box of the plan into ``result``, in scanner units.

        The standard deviation over the mirror images is written into ``uncertainty``, also in scanner units.
        """
        # Overshoot at edges must not be darker than the background: magnitude images have no negative voxels.
        self._lowest = self.array.min()
        for tile in self.plan.tiles:
            coarse = self.intensities.normalize(self.array[tile.crop])
            volume = to_device(torch.from_numpy(coarse), self.device)[None, None]
            if self.plan.options.mirrored:
                self._write_average(tile, volume, result, uncertainty)
                continue
            for block, fine in to_host(self._answers(tile, volume)):
                self._write_block(result, block, self._restored(fine))
                self._add(fine.size)
                del fine  # released before the next slab is computed

    def _write_average(
        self, tile: Tile, volume: torch.Tensor, result: npt.NDArray[Any], uncertainty: npt.NDArray[np.float32] | None
    ) -> None:
        """Write the mean of the predictions for the mirror images of a tile, and their standard deviation."""
        average = Average(tile, spread=uncertainty is not None)
        for axes in MIRROR_IMAGES:
            average.add(self._answers(tile, volume, axes))
            self._add(tile.block_voxels)
        self._write_block(result, tile.block, self._restored(average.mean))
        if uncertainty is not None:
            spread = (plane * self.intensities.width for plane in average.deviation())
            self._write_block(uncertainty, tile.block, spread)

    def _write_block(self, target: npt.NDArray[Any], block: Slices, planes: Iterable[npt.NDArray[Any]]) -> None:
        """Write the planes of a block at their position."""
        # Blocks are relative to the whole fine grid, the target to the computed box.
        box = slices_of(self.plan.computed)
        place = tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(block, box, strict=True))
        write_block(target, place, planes)

    def _restored(self, fine: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[Any]]:
        """Yield planes in scanner units: converting a slab at once would need several times its memory."""
        return (as_type(self.intensities.restore(plane), self.plan.dtype, lowest=self._lowest) for plane in fine)

    def _add(self, cost: float) -> None:
        """Report that work of this cost is finished."""
        self._finished += cost
        # The last call, with exactly 1, is made by `upsample`.
        self.report(min(self._finished / self.plan.cost, 1.0))

    def _answers(
        self, tile: Tile, volume: torch.Tensor, axes: tuple[int, ...] = ()
    ) -> Iterator[tuple[Slices, torch.Tensor]]:
        """Encode a mirror image of a tile and yield its block in slabs: position, and normalized intensities."""
        executor = Mirrored(self.executor, axes) if axes else self.executor
        left = cost = self.plan.encoding_cost * tile.crop_voxels

        def advance(part: float) -> None:
            """Add the cost of a part of the encoding, which takes minutes for a large tile on a CPU."""
            nonlocal left
            share = min(left, cost * part)
            left -= share
            self._add(share)

        answer = executor.encode_tile(volume, self.told, advance)
        if not self.slabs_independent:  # such a network computes everything at the first query
            yield tile.block, answer(query_grid_of(tile.block, tile.crop, self.array.shape, self.fine_shape))
            self._add(left)
            return
        self._add(left)
        depth = tile.block[0].stop - tile.block[0].start
        for start, stop in split(depth, min(depth, -(-tile.block_voxels // SLAB_VOXELS))):
            rows = slice(tile.block[0].start + start, tile.block[0].start + stop)
            block = (rows, tile.block[1], tile.block[2])
            yield block, answer(query_grid_of(block, tile.crop, self.array.shape, self.fine_shape))


def query_grid_of(block: Slices, crop: Slices, coarse_shape: Sequence[int], fine_shape: Sequence[int]) -> QueryGrid:
    """Return the coordinates of the fine voxels of a block, in the whole volume and in a crop of it."""
    query = [cell_centers(m)[rows] for rows, m in zip(block, fine_shape, strict=True)]
    sampling = [index_of(q, n) - c.start for q, n, c in zip(query, coarse_shape, crop, strict=True)]
    return QueryGrid((query[0], query[1], query[2]), (sampling[0], sampling[1], sampling[2]))
