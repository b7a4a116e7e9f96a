"""Crops and blocks of tiles: every voxel is written once, and every crop contains the input of its block."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ArSSRLib.errors import MemoryLimitError
from ArSSRLib.tiling import Tile, first_fine, plan_tiles, split


@st.composite
def jobs(draw) -> dict:
    """Draw a volume, its fine shape, a halo, and a limit that the smallest tile fits into."""
    coarse = draw(st.tuples(*[st.integers(1, 20)] * 3))
    factors = draw(st.tuples(*[st.floats(1, 4.5)] * 3))
    fine = tuple(max(n, math.floor(f * n + 0.5)) for n, f in zip(coarse, factors, strict=True))
    halo = draw(st.integers(0, 12))
    smallest = math.prod(min(n, 1 + 2 * halo) for n in coarse)
    limit = draw(st.integers(smallest, max(smallest, math.prod(coarse)) + 10))
    return {"coarse": coarse, "fine": fine, "halo": halo, "maximum_crop": limit}


@st.composite
def regions(draw) -> tuple[dict, tuple[slice, ...]]:
    """Draw a job and a box of its fine voxels."""
    job = draw(jobs())
    box = []
    for m in job["fine"]:
        start = draw(st.integers(0, m - 1))
        box.append(slice(start, draw(st.integers(start + 1, m))))
    return job, tuple(box)


def plan(job: dict) -> list[Tile]:
    return plan_tiles(job["coarse"], job["fine"], halo=job["halo"], maximum_crop=job["maximum_crop"])


def center_in_coarse_voxels(index: int, coarse: int, fine: int) -> Fraction:
    """Return the position of a fine voxel center, in coarse voxels from the first outer face."""
    return Fraction(2 * index + 1, 2 * fine) * coarse


@given(job=jobs())
def test_blocks_cover_the_output_exactly_once(job):
    written = np.zeros(job["fine"], dtype=int)

    for tile in plan(job):
        written[tile.block] += 1

    assert (written == 1).all()


@given(drawn=regions())
def test_the_blocks_of_a_region_cover_it_exactly_once_and_nothing_else(drawn):
    job, box = drawn
    written = np.zeros(job["fine"], dtype=int)

    for tile in plan_tiles(**{name: job[name] for name in ("coarse", "fine", "halo", "maximum_crop")}, region=box):
        written[tile.block] += 1

    assert (written[box] == 1).all()
    assert written.sum() == written[box].size


@given(drawn=regions())
def test_the_crops_of_a_region_contain_its_halo_and_no_more(drawn):
    job, box = drawn

    tiles = plan_tiles(job["coarse"], job["fine"], halo=job["halo"], maximum_crop=10**9, region=box)

    (tile,) = tiles
    for crop, part, n, m in zip(tile.crop, box, job["coarse"], job["fine"], strict=True):
        first = math.floor(center_in_coarse_voxels(part.start, n, m))
        last = math.floor(center_in_coarse_voxels(part.stop - 1, n, m))
        assert crop == slice(max(0, first - job["halo"]), min(n, last + 1 + job["halo"]))


@given(job=jobs())
def test_no_crop_is_larger_than_the_limit(job):
    assert all(tile.crop_voxels <= job["maximum_crop"] for tile in plan(job))


@given(job=jobs())
def test_each_crop_contains_its_block_and_the_halo_unless_it_ends_at_the_border(job):
    for tile in plan(job):
        for crop, block, n, m in zip(tile.crop, tile.block, job["coarse"], job["fine"], strict=True):
            first = math.floor(center_in_coarse_voxels(block.start, n, m))
            last = math.floor(center_in_coarse_voxels(block.stop - 1, n, m))
            assert 0 <= crop.start <= max(0, first - job["halo"])
            assert n >= crop.stop >= min(n, last + 1 + job["halo"])


@given(job=jobs())
def test_no_block_is_empty(job):
    assert all(tile.block_voxels > 0 for tile in plan(job))


@given(job=jobs())
def test_tiles_are_in_memory_order(job):
    starts = [tuple(s.start for s in tile.block) for tile in plan(job)]

    assert starts == sorted(starts)


@given(job=jobs())
def test_a_job_that_fits_is_one_tile(job):
    job["maximum_crop"] = math.prod(job["coarse"])

    (tile,) = plan(job)

    assert tile.crop == tuple(slice(0, n) for n in job["coarse"])
    assert tile.block == tuple(slice(0, m) for m in job["fine"])


@given(job=jobs(), more=st.integers(0, 5000))
def test_more_memory_never_increases_the_work(job, more):
    work = sum(tile.crop_voxels for tile in plan(job))
    job["maximum_crop"] += more

    assert sum(tile.crop_voxels for tile in plan(job)) <= work


@pytest.mark.parametrize(
    ("coarse", "halo", "smallest"),
    [((18, 20, 22), 4, 9**3), ((30, 40, 3), 4, 9 * 9 * 3), ((5, 5, 5), 20, 125)],
)
def test_a_limit_below_the_smallest_tile_is_refused_with_both_sizes(coarse, halo, smallest):
    fine = tuple(2 * n for n in coarse)
    plan_tiles(coarse, fine, halo=halo, maximum_crop=smallest)

    with pytest.raises(MemoryLimitError, match=rf"has {smallest} voxels.*room for {smallest - 1};") as error:
        plan_tiles(coarse, fine, halo=halo, maximum_crop=smallest - 1)

    assert "\n" not in str(error.value)


def test_a_negative_limit_is_refused():
    with pytest.raises(MemoryLimitError, match="room for 0;"):
        plan_tiles((5, 5, 5), (10, 10, 10), halo=1, maximum_crop=-3)


def test_tiles_of_a_brain_are_planned_quickly_with_little_overlap():
    coarse = (176, 256, 256)

    tiles = plan_tiles(coarse, tuple(2 * n for n in coarse), halo=16, maximum_crop=3_000_000)

    assert len(tiles) < 30
    assert sum(tile.crop_voxels for tile in tiles) < 1.8 * math.prod(coarse)


@given(coarse=st.integers(1, 500), extra=st.integers(0, 1500))
def test_the_first_fine_voxel_is_the_first_with_its_center_in_the_coarse_one(coarse, extra):
    fine = coarse + extra
    centers = (np.arange(fine) + 0.5) * coarse / fine

    for voxel in {0, 1, coarse // 2, coarse - 1}:
        # A center on a face belongs to the voxel above it; with rounding errors, it may be just below the face.
        assert first_fine(voxel, coarse, fine) == np.searchsorted(centers, voxel - 1e-9)


@given(coarse=st.integers(1, 500), extra=st.integers(0, 1500))
def test_the_last_block_ends_with_the_volume(coarse, extra):
    assert first_fine(coarse, coarse, coarse + extra) == coarse + extra


@given(length=st.integers(1, 300), parts=st.integers(1, 40))
def test_an_axis_is_split_evenly_and_completely(length, parts):
    parts = min(parts, length)

    ranges = split(length, parts)

    lengths = [stop - start for start, stop in ranges]
    assert [n for start, stop in ranges for n in range(start, stop)] == list(range(length))
    assert len(ranges) == parts
    assert max(lengths) - min(lengths) <= 1
