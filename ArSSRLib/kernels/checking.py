"""Whether a fast executor can be trusted here: its first tile is compared with plain float32 on the same device.

cuDNN 9.10 returned wrong bf16 convolutions for large tiles and right ones for small ones (PyTorch issue 163539). So
the tile that is compared is the first one of the real work, and again the first one larger than it. Of its result two
small blocks are, which cost little in float32: the far corner, which lies behind all others in memory, and the
middle, where the anatomy is.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable

import torch
from torch import Tensor

from ArSSRLib.convolution.slabs import unobserved
from ArSSRLib.coordinates import QueryGrid, coordinate_of
from ArSSRLib.device import is_out_of_memory
from ArSSRLib.model.interface import Answer, Conditioning, Executor, Progress

logger = logging.getLogger(__name__)

# Coarse voxels of a block that is compared along each axis, and fine voxels in each.
EDGE, FACTOR = 8, 2

# Voxels of the largest tile that was found right, or -1 after one that was wrong, in this process.
_largest_right: dict[Hashable, int] = {}


class CheckedExecutor:
    """A fast executor, and the plain one in its place if its results are wrong.

    Args:
        fast: What is checked.
        plain: The same network in float32.
        halo: Coarse margin that makes a crop exact, in voxels.
        tolerance: Largest difference, in parts of the intensity range, or of the answers where these are larger.
        key: Device, number format and network; what one path has found out holds for all paths of the same key.
        name: The same in words, for the log.
    """

    def __init__(
        self, fast: Executor, plain: Executor, *, halo: int, tolerance: float, key: Hashable, name: str
    ) -> None:
        self._fast = fast
        self._plain = plain
        self._halo = halo
        self._tolerance = tolerance
        self._key = key
        self._name = name

    def encode_tile(self, volume: Tensor, told: Conditioning, progress: Progress) -> Answer:
        """Encode a tile, and check it if none as large was."""
        largest = _largest_right.get(self._key, 0)
        if largest < 0:
            return self._plain.encode_tile(volume, told, progress)
        if volume.numel() <= largest:
            return self._fast.encode_tile(volume, told, progress)
        try:
            answer = self._fast.encode_tile(volume, told, progress)
            wrong = self._wrong(answer, volume, told)
        except Exception as error:
            # Whatever a compiler or a driver raises; but memory that is short is short for the plain path too.
            if is_out_of_memory(error):
                raise
            wrong = f"failed ({' '.join(str(error).split())[:160] or type(error).__name__})"
        if not wrong:
            _largest_right[self._key] = volume.numel()
            return answer
        shape = " x ".join(map(str, volume.shape[2:][::-1]))
        logger.warning(
            "The fast path for %s %s, on a tile of %s voxels. The plain path in fp32 is used, which is slower.",
            self._name,
            wrong,
            shape,
        )
        _largest_right[self._key] = -1
        return self._plain.encode_tile(volume, told, progress)

    def _wrong(self, answer: Answer, volume: Tensor, told: Conditioning) -> str:
        """Say how two blocks of an encoded tile differ from plain float32; nothing if they do not."""
        shape = volume.shape[2:]
        edges = [min(EDGE, length) for length in shape]
        for part in (1, 2):  # the far corner, and the middle
            starts = [(length - edge) // part for length, edge in zip(shape, edges, strict=True)]
            axes = [_axis(*numbers, self._halo) for numbers in zip(starts, edges, shape, strict=True)]
            (k, j, i), query, whole, cropped = (tuple(parts) for parts in zip(*axes, strict=True))
            found = answer(QueryGrid(query, whole))
            plain = self._plain.encode_tile(volume[:, :, k, j, i].contiguous(), told, unobserved)
            expected = plain(QueryGrid(query, cropped))
            difference = float((found - expected).abs().max())
            # Written so that what is no number is wrong.
            if not difference <= self._tolerance * max(1.0, float(expected.abs().max())):
                return f"differs from plain fp32 by up to {difference:.3g} of the intensity range"
        return ""


def _axis(start: int, edge: int, length: int, halo: int) -> tuple[slice, Tensor, Tensor, Tensor]:
    """Return, for some coarse voxels of an axis of a tile, the crop that is exact for them, and their fine voxels.

    Returns:
        The crop; query coordinates; continuous voxel indices in the tile; and those in the crop.
    """
    crop = slice(max(0, start - halo), min(length, start + edge + halo))
    position = start + (torch.arange(edge * FACTOR, dtype=torch.float64) + 0.5) / FACTOR - 0.5
    return crop, coordinate_of(position, length), position, position - crop.start


def forget() -> None:
    """Forget what was found out: the next tile is checked again."""
    _largest_right.clear()
