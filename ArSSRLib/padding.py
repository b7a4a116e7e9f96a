"""Voxels without a measurement: a distant value around the anatomy, declared by the file or detected here.

They neither count as anatomy nor blur into it: before upsampling, they are replaced by the nearest anatomy; afterwards,
they are restored. An ordinary background, which is about as dark as the darkest anatomy, is not padding and remains
unchanged. Nothing here depends on files or networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ArSSRLib.normalization import CEILING_PERCENTILE, FLOOR_PERCENTILE, SAMPLED_VOXELS

# Smallest distance of padding from the anatomy, relative to the range of the anatomy: the black around an extracted
# brain is closer, and is interpolated with it.
FAR = 3.0
# The same for a background below the anatomy that has a single value and is connected to the border, as around a brain
# that was extracted after the scan. Measured: at half the range, the error falls from 18.6 to 16.3 in the brain, and
# from 92 to 27 in its outer 3 voxels. Closer backgrounds are not replaced, nor are those next to partial volumes. There
# is no such rule for the brightest value, because a saturated surface coil looks the same.
FAR_IF_BORDER = 0.5
# The same for a value that the file declares as padding. It is often 0, which is then the background of the scan.
FAR_IF_DECLARED = 0.25
# Smallest fraction of the volume and of its faces for undeclared padding; or, if no other value of the volume is close,
# the smallest number of voxels on its faces: a single slice or a corner, as after registration.
PART_OF_VOLUME, PART_OF_FACES, VOXELS = 0.01, 0.05, 32
# Smallest fraction of the faces that such a background covers, smallest fraction of its voxels connected to them, and
# the number of voxels of a subsampled volume for checking the connection.
COVERED, CONNECTED, THINNED = 0.1, 0.99, 32_000_000
# The scanner and a later program may both have padded.
_ROUNDS = 2
# Numbers of the lowest and of the highest values that may be padding, in the order in which they are considered.
_EXTREMES = ((1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (2, 1), (1, 2), (2, 2))
# Voxels around the anatomy that repeat it; farther away, padding becomes as dark as the darkest anatomy.
_REACH = 6


@dataclass(frozen=True)
class Padding:
    """The padding of a volume: its voxels and their values.

    Attributes:
        mask: Shape (k, j, i).
        values: Value of each voxel, shape (k, j, i).
    """

    mask: npt.NDArray[np.bool_]
    values: npt.NDArray[Any]

    def put_back(
        self, planes: Iterable[npt.NDArray[Any]], block: Sequence[slice], fine_shape: Sequence[int]
    ) -> Iterator[npt.NDArray[Any]]:
        """Yield the planes of a block, (j, i) each, with the padding restored; its border is interpolated linearly.

        The position of the block is on the fine grid, along k, j, i, as is the shape of that.
        """
        from ArSSRLib.coordinates import cell_centers, index_of  # noqa: PLC0415 - needs PyTorch, finding does not

        k, j, i = (
            index_of(cell_centers(m)[rows], n).numpy()
            for rows, m, n in zip(block, fine_shape, self.mask.shape, strict=True)
        )
        rows, columns = _linear(j, self.mask.shape[1]), _linear(i, self.mask.shape[2])
        nearest = [np.clip(np.rint(x), 0, n - 1).astype(int) for x, n in zip((k, j, i), self.mask.shape, strict=True)]
        common = self.values[self.mask][0]
        for plane, along, number in zip(planes, _linear(k, self.mask.shape[0]), nearest[0], strict=True):
            between = np.tensordot(along[along > 0], self.mask[along > 0].astype(np.float32), axes=1)
            inside = rows @ between @ columns.T > 0.5
            if inside.any():
                near = np.ix_(nearest[1], nearest[2])
                value = np.where(self.mask[number][near], self.values[number][near], common)
                plane[inside] = value[inside]
            yield plane

    def put_back_at(
        self, values: npt.NDArray[Any], index: npt.NDArray[np.float64], inside: npt.NDArray[np.bool_]
    ) -> None:
        """Restore the padding of values at arbitrary points, in place; equivalent to `put_back` on the grid.

        ``index`` holds continuous voxel indices along k, j, i, shape (*S, 3), for values of shape (*S); only points
        ``inside`` the volume are changed.
        """
        from scipy import ndimage  # noqa: PLC0415 - 18 MB, which most volumes do not need

        points = index[inside].T
        share = ndimage.map_coordinates(self.mask.astype(np.float32), points, order=1, mode="nearest")
        nearest = [np.clip(np.rint(x), 0, n - 1).astype(int) for x, n in zip(points, self.mask.shape, strict=True)]
        there = (nearest[0], nearest[1], nearest[2])
        padding = np.where(self.mask[there], self.values[there], self.values[self.mask][0])
        values[inside] = np.where(share > 0.5, padding, values[inside])


def find_padding(array: npt.NDArray[Any], declared: tuple[float, float] | None = None) -> Padding | None:
    """Return the padding of a volume, or None if it has none.

    Padding is one value, or a declared range of values, that is several times as far from the anatomy as the range of
    the anatomy, and that fills part of the faces of the volume; half of that range is enough for a lower value that is
    connected to the faces everywhere. All criteria are relative: offset and gain have no effect.

    Args:
        array: Finite intensities, shape (k, j, i).
        declared: Smallest and largest intensity that the file declares as padding.
    """
    sample = array.reshape(-1)[:: max(1, array.size // SAMPLED_VOXELS)]
    ranges: list[tuple[float, float]] = []
    if declared is not None and _is_far(*declared, _outside(sample, *declared), FAR_IF_DECLARED):
        ranges.append(declared)
        sample = _outside(sample, *declared)
    ranges += [(value, value) for value in _undeclared(sample, array)]
    if not ranges:
        return None
    mask = np.zeros(array.shape, dtype=bool)
    for low, high in ranges:
        mask |= (array >= low) & (array <= high)
    return Padding(mask, array) if mask.any() and not mask.all() else None


def without_padding(array: npt.NDArray[Any], padding: Padding | None) -> npt.NDArray[Any]:
    """Return a volume, shape (k, j, i), whose padding repeats the nearest anatomy, and is dark far from it."""
    if padding is None:
        return array
    filled, known = array.copy(), ~padding.mask
    from scipy import ndimage  # noqa: PLC0415 - 18 MB, which most volumes do not need

    anatomy = array[known]
    filled[padding.mask] = np.percentile(anatomy, FLOOR_PERCENTILE, method="nearest")
    for _ in range(_REACH):
        frontier = np.nonzero(ndimage.binary_dilation(known) & ~known)
        if not frontier[0].size:
            break
        filled[frontier] = _mean_of_neighbors(filled, known, frontier)
        known[frontier] = True
    return filled


def _mean_of_neighbors(
    filled: npt.NDArray[Any], known: npt.NDArray[np.bool_], places: tuple[npt.NDArray[np.intp], ...]
) -> npt.NDArray[Any]:
    """Return the mean of the known face neighbors of each place; there is at least one."""
    total, count = np.zeros(places[0].shape), np.zeros(places[0].shape)
    for axis, length in enumerate(filled.shape):
        for step in (-1, 1):
            moved = list(places)
            moved[axis] = np.clip(places[axis] + step, 0, length - 1)
            there = tuple(moved)
            total += np.where(known[there], filled[there], 0)
            count += known[there]
    mean = total / count
    return np.rint(mean).astype(filled.dtype) if filled.dtype.kind in "iu" else mean.astype(filled.dtype)


def _undeclared(sample: npt.NDArray[Any], array: npt.NDArray[Any]) -> list[Any]:
    """Return the values of undeclared padding; ``sample`` are evenly distributed voxels, without declared padding."""
    padding: list[Any] = []
    faces = np.concatenate([np.take(array, end, axis).ravel() for axis in range(3) for end in (0, -1)])
    for _ in range(_ROUNDS):
        # The evenly distributed sample may miss a face.
        values = np.concatenate([sample, faces])
        lows, highs = (_on_faces(values, faces, extreme) for extreme in (np.min, np.max))
        # With fewer extremes than two, several of these are the same.
        distinct = dict.fromkeys(tuple(lows[:low] + highs[:high]) for low, high in _EXTREMES)
        found = next((ends for ends in distinct if _are_padding(ends, sample, faces, array)), ())
        padding += found
        sample, faces = (values[~np.isin(values, found)] for values in (sample, faces))
        if not found or not faces.size:
            break
    return padding


def _on_faces(
    values: npt.NDArray[Any], faces: npt.NDArray[Any], extreme: Callable[[npt.NDArray[Any]], Any]
) -> list[Any]:
    """Return the one or two extreme values of a volume, as far as they are on its faces often enough for padding."""
    found: list[Any] = []
    for _ in range(2):
        if not values.size or np.count_nonzero(faces == extreme(values)) < min(VOXELS, PART_OF_FACES * faces.size):
            break
        found.append(extreme(values))
        values = values[values != found[-1]]
    return found


def _are_padding(
    ends: Sequence[Any], sample: npt.NDArray[Any], faces: npt.NDArray[Any], array: npt.NDArray[Any]
) -> bool:
    """Return whether the smallest and the largest value of a volume, or one of them, are undeclared padding.

    ``sample`` are evenly distributed voxels of the volume, ``faces`` all voxels of its faces.
    """
    rest, least = sample[~np.isin(sample, ends)], max(VOXELS, PART_OF_VOLUME * sample.size)
    if not ends or rest.size < least:
        return False
    outer = faces[~np.isin(faces, ends)]
    others = np.array([rest.min(), rest.max(), *([outer.min(), outer.max()] if outer.size else [])])
    for value in ends:
        on_faces = np.count_nonzero(faces == value)
        if np.count_nonzero(sample == value) >= least and on_faces >= PART_OF_FACES * faces.size:
            padding = _is_far(value, value, rest, FAR) or _is_border(value, rest, array)
        else:
            padding = bool(on_faces >= VOXELS) and _is_far(value, value, rest, FAR, others)
        if not padding:
            return False
    return True


def _is_border(value: Any, rest: npt.NDArray[Any], array: npt.NDArray[Any]) -> bool:  # noqa: ANN401 - a voxel
    """Return whether a value below the others is a background that covers the faces and is connected to them."""
    if value > rest.min() or not _is_far(value, value, rest, FAR_IF_BORDER):
        return False
    step = max(1, math.ceil((array.size / THINNED) ** (1 / 3)))
    # A volume too large for this is thinned out, but keeps its faces.
    kept = [np.unique([*range(0, n, step), n - 1]) for n in array.shape]
    there = (array if step == 1 else array[np.ix_(*kept)]) == value
    from scipy import ndimage  # noqa: PLC0415 - 18 MB, which most volumes do not need

    inner = np.zeros(there.shape, dtype=bool)
    inner[1:-1, 1:-1, 1:-1] = True
    outside = there & ~inner
    if np.count_nonzero(outside) < COVERED * np.count_nonzero(~inner):
        return False
    pieces, _ = ndimage.label(there)
    sizes = np.bincount(pieces.ravel())
    return bool(sizes[np.unique(pieces[outside])].sum() >= CONNECTED * sizes[1:].sum())


def _is_far(
    low: float, high: float, rest: npt.NDArray[Any], distance: float, nearest: npt.NDArray[Any] | None = None
) -> bool:
    """Return whether a range is far from the other values, relative to their range, and from all of the nearest."""
    if not rest.size:
        return False
    first, last = np.percentile(rest.astype(np.float64), (FLOOR_PERCENTILE, CEILING_PERCENTILE))
    width = last - first
    if nearest is not None:
        first, last = min(first, float(nearest.min())), max(last, float(nearest.max()))
    return bool(width > 0 and max(first - high, low - last) > distance * width)


def _outside(sample: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[Any]:
    return sample[(sample < low) | (sample > high)]


def _linear(index: npt.NDArray[np.float64], length: int) -> npt.NDArray[np.float32]:
    """Return the weights of linear interpolation at voxel indices, shape (M, length)."""
    inside = np.clip(index, 0, length - 1)
    weights: npt.NDArray[np.float32] = np.maximum(0, 1 - np.abs(inside[:, None] - np.arange(length))).astype(np.float32)
    return weights
