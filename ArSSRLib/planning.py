"""The output, memory and cost of an upsampling, predicted before anything is computed.

Nothing here depends on networks or devices: the requirements of a network and the free memory of a machine are
arguments. Slicer can therefore plan in its own process, which never loads PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ArSSRLib.acquisition.profile import UNKNOWN, SliceProfile
from ArSSRLib.acquisition.slice_gains import slice_axis
from ArSSRLib.errors import MemoryLimitError
from ArSSRLib.geometry import Region, VolumeGeometry, parse_region, parse_scale
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.tiling import Slices, Tile, plan_tiles

# Fraction of the free memory that is used without a limit.
DEFAULT_SHARE = 0.6
# Fine voxels that are computed between two calls of the callback.
SLAB_VOXELS = 2_000_000
# Bytes per fine voxel of a slab while it is computed and converted.
SLAB_BYTES = 24
# Bytes that PyTorch uses on the CPU for any work: code that is loaded on first use, chunks of a decoder, and unreturned
# heap memory. 35 to 50 MB were measured.
AT_WORK = 40 * 2**20
# Bytes of the pages of a result on disk before they are released.
DISK_WINDOW = 16 * 2**20
# A result stays in memory, even if larger tiles with a result on disk would be less work, up to this factor.
DISK_PAYS = 1.25
# The best quality averages the results for every combination of mirrored axes.
MIRROR_IMAGES = 8
# Bytes per fine voxel for the running mean and squared deviation of several results, and for the uncertainty.
AVERAGING_BYTES, UNCERTAINTY_BYTES = 8, 4
# Coarse float32 volumes for the agreement with the scan: scan, difference, and two more during the correction.
AGREEMENT_VOLUMES = 4
# Coarse voxels around a region that its agreement with the scan depends on: the support of splines, which decay by a
# factor of 0.27 per voxel, and of slice profiles. The remainder changes a region by less than 1e-5 of the range.
AGREEMENT_MARGIN = 12


@dataclass(frozen=True)
class Destination:
    """The memory requirements of writing a result.

    Attributes:
        copies: Copies of the result that its writer creates.
        folder: Folder for temporarily storing a result that exceeds the memory; None if its format cannot be streamed.
    """

    copies: int = 0
    folder: Path | None = None


NOWHERE = Destination()


@dataclass(frozen=True)
class Plan:
    """The work of an upsampling, determined before it starts.

    Attributes:
        scale: Requested factors along i, j, k; unitless.
        options: The options; in a plan of `ArSSRLib.upsampling.plan_upsampling`, "auto" is replaced by the actual
            device and precision.
        region: Requested box of fine voxels, (first, stop) along i, j, k; None for all.
        geometry: Grid of the output.
        dtype: Voxel type of the output.
        tiles: Steps of the work; their blocks are relative to the first voxel of the whole fine grid.
        memory: Expected peak memory of the process on the device, in bytes.
        cost: Size of the work, unitless: proportional to the time on one device with one model. A fine voxel costs 1.
        encoding_cost: Part of the cost per voxel of the crop of a tile.
        profile: The slice profile of the input, as far as known.
        computed: Computed box of fine voxels, (first, stop) along i, j, k: the region, and the margin on which its
            agreement with the scan depends.
        folder: Folder for the result on disk, if it does not fit into memory or leaves too little memory for the work;
            None for a result in memory.
    """

    scale: tuple[float, float, float]
    options: UpsamplingOptions
    region: Region | None
    geometry: VolumeGeometry
    dtype: np.dtype[Any]
    tiles: list[Tile]
    memory: int
    cost: float
    encoding_cost: float
    profile: SliceProfile
    computed: Region
    folder: Path | None = None

    @property
    def agrees(self) -> bool:
        """Whether the result is made to agree with the scan, which needs a known slice profile and may be disabled."""
        return must_agree(self.options, self.profile, self.scale)


def must_agree(options: UpsamplingOptions, profile: SliceProfile, scale: Sequence[float]) -> bool:
    """Return whether the result agrees with the scan: the profile is known along every axis that becomes finer."""
    return options.consistency == "auto" and max(scale) > 1 and profile.covers(scale)


@dataclass(frozen=True)
class Work:
    """A work to be planned: its volume, its network, and the memory of the machine.

    Attributes:
        geometry: Grid of the input.
        dtype: Voxel type of the result.
        scale: Factor of at least 1, or one along each of i, j, k; unitless.
        options: The options.
        halo: Coarse margin that the network needs, in voxels.
        bytes_per_coarse_voxel: Memory of the network per coarse voxel of a tile, in bytes.
        encoding_cost: Number of fine voxels that are computed in the time of encoding one coarse voxel.
        base_memory: Memory of the process on the device before it starts, in bytes; on the CPU, including the input.
        available_memory: Free memory of the device in bytes.
        host_memory: Free main memory in bytes, if the device has its own memory; None for the CPU.
        profile: The slice profile of the input, as far as known.
        region: Requested box of fine voxels, (first, stop) along i, j, k; all if None.
        destination: Destination of the result; by default, it is not written.
    """

    geometry: VolumeGeometry
    dtype: npt.DTypeLike
    scale: float | Sequence[float]
    options: UpsamplingOptions
    _: KW_ONLY
    halo: int
    bytes_per_coarse_voxel: int
    encoding_cost: float
    base_memory: int
    available_memory: int
    host_memory: int | None = None
    profile: SliceProfile = UNKNOWN
    region: Sequence[Sequence[int]] | None = None
    destination: Destination = NOWHERE

    def plan(self) -> Plan:
        """Return the plan of `ArSSRLib.upsampling.upsample`, without computing anything.

        The result is in memory, or in the folder of the destination if that is much less work.

        Raises:
            InputError: If the scale or the region is impossible.
            MemoryLimitError: If the job exceeds the limit or the free memory.
        """
        if self.destination.folder is None:
            return self._planned()
        beside = self._planned(self.destination.folder)
        try:
            within = self._planned()
        except MemoryLimitError:
            return beside
        return within if within.cost <= DISK_PAYS * beside.cost else beside

    @cached_property
    def _fine(self) -> VolumeGeometry:
        return self.geometry.upsampled(self.scale)

    @cached_property
    def _factors(self) -> tuple[float, float, float]:
        return parse_scale(self.scale)

    def _planned(self, folder: Path | None = None) -> Plan:
        """Return the plan with the result in a folder on the disk, or in memory."""
        wanted = None if self.region is None else parse_region(self.region, self._fine.size)
        on_disk, region, dtype = folder is not None, wanted or whole_region(self._fine), np.dtype(self.dtype)
        target = self._fine.cropped([first for first, _ in region], [stop - first for first, stop in region])
        computed = self._computed(region)
        voxels = math.prod(stop - first for first, stop in computed)
        result = voxels * (dtype.itemsize + (UNCERTAINTY_BYTES if self.options.uncertainty else 0))
        in_memory = 0 if on_disk else result
        host = math.prod(self.geometry.size) * 4 * self._coarse_volumes + in_memory
        writing = self.destination.copies * in_memory
        slab = SLAB_VOXELS * SLAB_BYTES
        _require_room(target, host + writing, self.available_memory if self.host_memory is None else self.host_memory)
        if self.host_memory is not None:  # this memory is not on the device
            host = writing = 0
        else:
            slab += AT_WORK + (DISK_WINDOW if on_disk else 0)
        base = self.base_memory + host
        limit = base + int(DEFAULT_SHARE * (self.available_memory - host))
        if self.options.memory_limit is not None:
            limit = int(min(self.options.memory_limit, 1e9) * 1e9)
        tiles = self._tiles(limit, base, slab, writing=writing, region=computed)
        encoding = max(tile.crop_voxels for tile in tiles) * self._bytes_per_coarse_voxel
        cost = sum(self.encoding_cost * tile.crop_voxels + tile.block_voxels for tile in tiles)
        return Plan(
            scale=self._factors,
            options=self.options,
            region=wanted,
            geometry=target,
            dtype=dtype,
            tiles=tiles,
            memory=base + max(writing, slab + encoding),
            cost=cost * (MIRROR_IMAGES if self.options.mirrored else 1),
            encoding_cost=self.encoding_cost,
            profile=self.profile,
            computed=computed,
            folder=folder,
        )

    @property
    def _coarse_volumes(self) -> int:
        """Float32 volumes on the whole coarse grid that are in memory at the same time."""
        agreement = AGREEMENT_VOLUMES if must_agree(self.options, self.profile, self._factors) else 0
        evened = self.options.even_slices == "auto" and slice_axis(self.geometry.spacing, self.profile) is not None
        return 1 + agreement + evened

    @property
    def _bytes_per_coarse_voxel(self) -> int:
        """Bytes per coarse voxel of a tile: memory of the network, and the running mean of its fine voxels."""
        averaging = AVERAGING_BYTES * math.prod(self._factors) if self.options.mirrored else 0
        return self.bytes_per_coarse_voxel + math.ceil(averaging)

    def _computed(self, region: Region) -> Region:
        """Return the region, with the margin that its agreement with the scan needs."""
        if not must_agree(self.options, self.profile, self._factors):
            return region
        margins = [math.ceil(AGREEMENT_MARGIN * s) if s > 1 else 0 for s in self._factors]
        i, j, k = (
            (max(0, first - margin), min(length, stop + margin))
            for (first, stop), margin, length in zip(region, margins, self._fine.size, strict=True)
        )
        return (i, j, k)

    def _tiles(self, limit: int, base: int, slab: int, *, writing: int, region: Region) -> list[Tile]:
        """Return tiles within a limit; ``base`` is already used, ``slab`` while a slab is computed; all in bytes."""
        try:
            if writing > 0 and base + writing > limit:
                msg = (
                    "The output format needs copies of the result in memory; raise the limit or choose another format."
                )
                raise MemoryLimitError(msg)
            return plan_tiles(
                self.geometry.shape,
                self._fine.shape,
                halo=self.halo,
                maximum_crop=(limit - base - slab) // self._bytes_per_coarse_voxel,
                region=slices_of(region),
            )
        except MemoryLimitError as error:
            needed = base + max(slab, writing)
            rest = "exceeds the limit" if needed > limit else "leaves too little of it for a tile"
            msg = (
                f"The memory limit of {limit / 1e9:.3g} GB is too small: the program, its input and its output need "
                f"{needed / 1e9:.3g} GB, which {rest}. {error}"
            )
            raise MemoryLimitError(msg) from error


def whole_region(geometry: VolumeGeometry) -> Region:
    """Return the box of all voxels of a grid, (first, stop) along i, j, k."""
    i, j, k = geometry.size
    return ((0, i), (0, j), (0, k))


def slices_of(region: Region) -> Slices:
    """Return a box, given along i, j, k, as slices of an array along k, j, i."""
    i, j, k = region
    return (slice(*k), slice(*j), slice(*i))


def _require_room(geometry: VolumeGeometry, needed: int, available: int) -> None:
    if needed > available:
        msg = (
            f"The result of {' x '.join(map(str, geometry.size))} voxels needs {needed / 1e9:.3g} GB of memory, but "
            f"only {available / 1e9:.3g} GB are free; choose a smaller scale or restrict the volume to a region."
        )
        raise MemoryLimitError(msg)
