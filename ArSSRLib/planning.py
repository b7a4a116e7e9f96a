"""What an upsampling will make, hold and take, told from numbers before anything is computed.

Nothing here knows about networks or devices: what a network needs and what a machine has free are arguments. So Slicer
plans in its own process, where PyTorch is never loaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
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

# Part of the free memory that is taken when no limit is given.
DEFAULT_SHARE = 0.6
# Fine voxels answered between two calls of the callback.
SLAB_VOXELS = 2_000_000
# Bytes a fine voxel of a slab needs while it is answered and converted.
SLAB_BYTES = 24
# Bytes that PyTorch takes on the CPU once it works, whatever it works on: code that is loaded when it is first called,
# a decoder's chunks, and what the heap keeps between them. 35 to 50 MB were measured.
AT_WORK = 40 * 2**20
# Bytes that the pages of a result on the disk take, before they are let go of.
DISK_WINDOW = 16 * 2**20
# A result stays in memory, even if larger tiles beside one on the disk were less work, up to this factor.
DISK_PAYS = 1.25
# The best quality answers to every combination of mirrored axes.
MIRROR_IMAGES = 8
# Bytes of a fine voxel's running mean and squared deviation while it is answered several times, and of its uncertainty.
AVERAGING_BYTES, UNCERTAINTY_BYTES = 8, 4
# Coarse float32 volumes that agreement with the scan holds: the scan, the difference, two more while it is corrected.
AGREEMENT_VOLUMES = 4
# Coarse voxels around a region whose agreement with the scan changes it: the reach of splines, 0.27 a voxel, and of
# slice profiles. The rest changes a region by less than 1e-5 of the range.
AGREEMENT_MARGIN = 12


@dataclass(frozen=True)
class Destination:
    """Where a result is to be written, as far as memory is concerned.

    Attributes:
        copies: Copies of the result that its writer makes.
        folder: Where a result larger than the memory may lie until it is written; None if its format cannot stream.
    """

    copies: int = 0
    folder: Path | None = None


@dataclass(frozen=True)
class Plan:
    """What an upsampling will do, known before it starts.

    Attributes:
        scale: Factors along i, j, k, as they were asked for; unitless.
        options: What was chosen; of a plan of `ArSSRLib.upsampling.plan_upsampling`, with the device and the precision
            that "auto" stands for.
        region: Box of fine voxels that is made, (first, stop) along i, j, k; None for all of them.
        geometry: Grid of the output.
        dtype: Type of the output's voxels.
        tiles: Steps of the work; their blocks count from the first voxel of the whole fine grid.
        memory: Bytes that the process is expected to hold on the device at most.
        cost: Size of the work, unitless: proportional to the time on one device with one model. A fine voxel costs 1.
        encoding_cost: Part of it that each voxel of a tile's crop takes.
        profile: How the input was acquired, as far as it is known.
        computed: Box of fine voxels that is computed, (first, stop) along i, j, k: the region, and around it what its
            agreement with the scan depends on.
        folder: Where the result lies on the disk, since it does not fit into memory, or leaves no room to work; None
            for a result in memory.
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
        """Whether the result is made to agree with the scan; else its slice profile is unknown, or nobody wants it."""
        return must_agree(self.options, self.profile, self.scale)


def must_agree(options: UpsamplingOptions, profile: SliceProfile, scale: Sequence[float]) -> bool:
    """Tell whether a result is made to agree with the scan: its profile is known along every axis that gets finer."""
    return options.consistency == "auto" and max(scale) > 1 and profile.covers(scale)


def make_plan(
    geometry: VolumeGeometry,
    dtype: npt.DTypeLike,
    scale: float | Sequence[float],
    options: UpsamplingOptions,
    *,
    halo: int,
    bytes_per_coarse_voxel: int,
    encoding_cost: float,
    base_memory: int,
    available_memory: int,
    host_memory: int | None = None,
    profile: SliceProfile = UNKNOWN,
    region: Sequence[Sequence[int]] | None = None,
    destination: Destination | None = None,
) -> Plan:
    """Return what `ArSSRLib.upsampling.upsample` will do; nothing is computed.

    Args:
        geometry: Grid of the input.
        dtype: Type of the result's voxels.
        scale: Factor of at least 1, or one along each of i, j, k; unitless.
        options: What was chosen.
        halo: Coarse margin that the network needs, in voxels.
        bytes_per_coarse_voxel: Bytes that the network holds per coarse voxel of a tile.
        encoding_cost: Fine voxels that are answered while the network encodes one coarse voxel.
        base_memory: Bytes that the process holds on the device before it starts, on the CPU with the input.
        available_memory: Bytes that are free on the device.
        host_memory: Bytes that are free in the main memory, if the device has its own; None when it is the CPU.
        profile: How the input was acquired, as far as it is known.
        region: Box of fine voxels that is wanted, (first, stop) along i, j, k; all of them when None.
        destination: Where the result is to be written; nowhere when None.

    Raises:
        InputError: If the scale or the region is impossible.
        MemoryLimitError: If the job does not fit into the limit, or into the memory that is free.
    """
    fine = geometry.upsampled(scale)
    work = _Work(
        coarse=geometry,
        fine=fine,
        scale=parse_scale(scale),
        options=options,
        region=None if region is None else parse_region(region, fine.size),
        dtype=np.dtype(dtype),
        halo=halo,
        bytes_per_coarse_voxel=bytes_per_coarse_voxel,
        encoding_cost=encoding_cost,
        base_memory=base_memory,
        available_memory=available_memory,
        host_memory=host_memory,
        profile=profile,
        copies=0 if destination is None else destination.copies,
    )
    if destination is None or destination.folder is None:
        return work.planned()
    return work.cheaper(destination.folder)


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is to be done, and the memory there is for it; see `make_plan`."""

    coarse: VolumeGeometry
    fine: VolumeGeometry
    scale: tuple[float, float, float]
    options: UpsamplingOptions
    region: Region | None
    dtype: np.dtype[Any]
    halo: int
    bytes_per_coarse_voxel: int
    encoding_cost: float
    base_memory: int
    available_memory: int
    host_memory: int | None
    profile: SliceProfile
    copies: int

    def cheaper(self, folder: Path) -> Plan:
        """Return the plan with the result in memory, or in a folder on the disk where that is much less work.

        Raises:
            MemoryLimitError: If neither fits.
        """
        beside = self.planned(folder)
        try:
            within = self.planned()
        except MemoryLimitError:
            return beside
        return within if within.cost <= DISK_PAYS * beside.cost else beside

    def planned(self, folder: Path | None = None) -> Plan:
        """Return the plan with the result in a folder on the disk, or in memory.

        Raises:
            MemoryLimitError: If it does not fit.
        """
        on_disk, region = folder is not None, self.region or whole_region(self.fine)
        target = self.fine.cropped([first for first, _ in region], [stop - first for first, stop in region])
        computed = self._computed(region)
        voxels = math.prod(stop - first for first, stop in computed)
        result = voxels * (self.dtype.itemsize + (UNCERTAINTY_BYTES if self.options.uncertainty else 0))
        coarse_volumes = 1 + (AGREEMENT_VOLUMES if must_agree(self.options, self.profile, self.scale) else 0)
        coarse_volumes += (
            self.options.even_slices == "auto" and slice_axis(self.coarse.spacing, self.profile) is not None
        )
        host = math.prod(self.coarse.size) * 4 * coarse_volumes + (0 if on_disk else result)
        writing = 0 if on_disk else self.copies * result
        slab = SLAB_VOXELS * SLAB_BYTES
        _require_room(target, host + writing, self.available_memory if self.host_memory is None else self.host_memory)
        if self.host_memory is not None:  # all of this is elsewhere
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
            scale=self.scale,
            options=self.options,
            region=self.region,
            geometry=target,
            dtype=self.dtype,
            tiles=tiles,
            memory=base + max(writing, slab + encoding),
            cost=cost * (MIRROR_IMAGES if self.options.mirrored else 1),
            encoding_cost=self.encoding_cost,
            profile=self.profile,
            computed=computed,
            folder=folder,
        )

    @property
    def _bytes_per_coarse_voxel(self) -> int:
        """Bytes of a tile's coarse voxel: what the network holds, and the mean of its fine voxels in the making."""
        averaging = AVERAGING_BYTES * math.prod(self.scale) if self.options.mirrored else 0
        return self.bytes_per_coarse_voxel + math.ceil(averaging)

    def _computed(self, region: Region) -> Region:
        """Return the region, with the margin that its agreement with the scan needs."""
        if not must_agree(self.options, self.profile, self.scale):
            return region
        margins = [math.ceil(AGREEMENT_MARGIN * s) if s > 1 else 0 for s in self.scale]
        i, j, k = (
            (max(0, first - margin), min(length, stop + margin))
            for (first, stop), margin, length in zip(region, margins, self.fine.size, strict=True)
        )
        return (i, j, k)

    def _tiles(self, limit: int, base: int, slab: int, *, writing: int, region: Region) -> list[Tile]:
        """Return tiles within a limit, of which ``base`` is taken, and ``slab`` while one is answered; all in bytes."""
        try:
            if writing > 0 and base + writing > limit:
                msg = "Its format is written from copies of the result; raise the limit or choose another format."
                raise MemoryLimitError(msg)
            return plan_tiles(
                self.coarse.shape,
                self.fine.shape,
                halo=self.halo,
                maximum_crop=(limit - base - slab) // self._bytes_per_coarse_voxel,
                region=slices_of(region),
            )
        except MemoryLimitError as error:
            msg = (
                f"The memory limit of {limit / 1e9:.3g} GB is too small: {(base + max(slab, writing)) / 1e9:.3g} GB "
                f"are needed for the program, its input and its output, and the rest holds no tile. {error}"
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
            f"The result of {' x '.join(map(str, geometry.size))} voxels takes {needed / 1e9:.3g} GB, and "
            f"{available / 1e9:.3g} GB of memory are free; choose a smaller scale or restrict the volume to a region."
        )
        raise MemoryLimitError(msg)
