"""The plan of a job states its result, memory and disk space before it starts, without PyTorch."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from messages import one_line

from ArSSRLib import planning, upsampling
from ArSSRLib.errors import InputError, MemoryLimitError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.planning import AT_WORK, DISK_WINDOW, SLAB_BYTES, SLAB_VOXELS, Destination, Plan, Work
from ArSSRLib.upsampling import plan_upsampling
from ArSSRLib.volume import Volume

GRID = VolumeGeometry((40, 30, 20), (1.0, 1.0, 3.0))
VOXELS = 40 * 30 * 20
SLAB = SLAB_VOXELS * SLAB_BYTES
TO_DISK = Destination(folder=Path("results"))
# A network that needs a kilobyte per voxel, and a machine with enough memory.
ENCODING_COST = 40.0
NETWORK = {"halo": 3, "bytes_per_coarse_voxel": 1000, "encoding_cost": ENCODING_COST}
PLENTY = {"base_memory": 0, "available_memory": 10**12}


def plan(grid: VolumeGeometry, dtype, scale, *, memory_limit: float | None = None, **numbers) -> Plan:
    options = UpsamplingOptions(memory_limit=memory_limit, even_slices="off")
    return Work(grid, dtype, scale, options, **numbers).plan()


def test_a_plan_states_the_grid_and_the_type_of_the_result():
    found = plan(GRID, np.int16, (1, 1, 3), **NETWORK, **PLENTY)

    assert found.geometry == GRID.upsampled((1, 1, 3))
    assert found.dtype == np.int16


def test_the_memory_is_the_sum_of_the_process_input_output_slab_and_largest_tile():
    found = plan(GRID, np.int16, 2, **NETWORK, base_memory=777, available_memory=10**12)

    assert found.memory == 777 + 4 * VOXELS + 2 * 8 * VOXELS + SLAB + AT_WORK + 1000 * VOXELS


@pytest.mark.parametrize(("spacing", "volumes"), [((1.0, 1.0, 3.0), 1), ((1.0, 1.0, 1.2), 0)])
def test_evening_slices_needs_memory_for_another_volume(spacing, volumes):
    grid = VolumeGeometry(GRID.size, spacing)
    off, auto = (
        Work(grid, np.int16, 2, UpsamplingOptions(even_slices=choice), **NETWORK, **PLENTY).plan()
        for choice in ("off", "auto")
    )

    assert auto.memory - off.memory == 4 * VOXELS * volumes


def test_the_input_and_the_output_need_no_memory_of_a_gpu():
    found = plan(GRID, np.int16, 2, **NETWORK, base_memory=777, available_memory=10**12, host_memory=10**12)

    assert found.memory == 777 + SLAB + 1000 * VOXELS


def test_the_cost_includes_every_crop_and_every_fine_voxel():
    found = plan(GRID, np.int16, 2, **NETWORK, **PLENTY)

    assert found.cost == ENCODING_COST * VOXELS + 8 * VOXELS


def test_smaller_tiles_cost_more():
    whole = plan(GRID, np.int16, 2, **NETWORK, **PLENTY)

    limit = (whole.memory - 1000 * VOXELS // 2) / 1e9
    tiled = plan(GRID, np.int16, 2, **NETWORK, **PLENTY, memory_limit=limit)

    assert len(tiled.tiles) > 1
    assert tiled.cost == whole.cost + ENCODING_COST * (sum(t.crop_voxels for t in tiled.tiles) - VOXELS)
    assert tiled.memory <= limit * 1e9


def test_the_cost_of_a_region_is_that_of_its_voxels_and_their_halo():
    found = plan(GRID, np.int16, 2, **NETWORK, **PLENTY, region=((20, 40), (10, 20), (0, 4)))

    assert found.geometry.size == (20, 10, 4)
    assert found.cost == ENCODING_COST * (10 + 6) * (5 + 6) * (2 + 3) + 20 * 10 * 4
    assert found.memory == 4 * VOXELS + 2 * 20 * 10 * 4 + SLAB + AT_WORK + 1000 * (10 + 6) * (5 + 6) * (2 + 3)


def test_a_region_fits_where_the_whole_result_is_too_large():
    memory = {"base_memory": 0, "available_memory": 10**8, "host_memory": 10**6}
    with pytest.raises(MemoryLimitError, match="choose a smaller scale or restrict the volume to a region") as error:
        plan(GRID, np.int16, 4, **NETWORK, **memory)

    assert one_line(error)
    assert plan(GRID, np.int16, 4, **NETWORK, **memory, region=((0, 40), (0, 40), (0, 40))).geometry.size == (
        40,
        40,
        40,
    )


def test_without_a_limit_a_part_of_the_free_memory_is_used():
    free = 2 * (SLAB + AT_WORK + 20 * VOXELS + 1000 * VOXELS)

    found = plan(GRID, np.int16, 2, **NETWORK, base_memory=10**9, available_memory=free)

    assert found.memory - 10**9 <= planning.DEFAULT_SHARE * free + 20 * VOXELS


# --- results on disk, and the memory of their writers


def test_a_result_that_fits_is_in_memory():
    found = plan(GRID, np.int16, 2, **NETWORK, **PLENTY, destination=TO_DISK)

    assert found == plan(GRID, np.int16, 2, **NETWORK, **PLENTY)
    assert found.folder is None


def test_a_result_larger_than_the_limit_is_on_disk():
    limit = SLAB + AT_WORK + DISK_WINDOW + 4 * VOXELS + 1000 * VOXELS + 1
    scale = 30  # 1.3 GB of 16-bit integers
    with pytest.raises(MemoryLimitError, match="too small"):
        plan(GRID, np.int16, scale, **NETWORK, **PLENTY, memory_limit=limit / 1e9)

    found = plan(GRID, np.int16, scale, **NETWORK, **PLENTY, memory_limit=limit / 1e9, destination=TO_DISK)

    assert found.folder == TO_DISK.folder
    assert len(found.tiles) == 1
    assert found.memory == limit - 1


def test_a_result_larger_than_the_main_memory_is_on_disk_with_a_gpu():
    memory = {"base_memory": 0, "available_memory": 10**9, "host_memory": 10**6}

    found = plan(GRID, np.int16, 4, **NETWORK, **memory, destination=TO_DISK)

    assert found.folder == TO_DISK.folder
    assert found.memory == SLAB + 1000 * VOXELS


def test_a_result_that_would_leave_memory_only_for_small_tiles_is_on_disk():
    edge = 200
    grid, network = VolumeGeometry((edge,) * 3, (1.0,) * 3), {**NETWORK, "halo": 20}
    # Besides the result, blocks of 5 voxels with their halo fit; without it, blocks of 19.
    memory = {"memory_limit": (SLAB + AT_WORK + (4 + 2 * 8) * edge**3 + 1000 * 45**3) / 1e9, **PLENTY}
    within = plan(grid, np.int16, 2, **network, **memory)

    found = plan(grid, np.int16, 2, **network, **memory, destination=TO_DISK)

    assert found.folder == TO_DISK.folder
    assert within.cost > 5 * found.cost
    assert found.memory <= memory["memory_limit"] * 1e9


@pytest.mark.parametrize("copies", [1, 2])
def test_the_copies_of_a_writer_are_part_of_the_memory(copies):
    result = 2 * 30**3 * VOXELS
    found = plan(GRID, np.int16, 30, **NETWORK, **PLENTY, destination=Destination(copies=copies))

    assert found.memory == 4 * VOXELS + result + copies * result


def test_a_writer_that_needs_more_than_the_limit_is_refused():
    limit = 1.5 * 2 * 30**3 * VOXELS / 1e9
    plan(GRID, np.int16, 30, **NETWORK, **PLENTY, memory_limit=limit)

    with pytest.raises(MemoryLimitError, match=r"needs copies of the result.*choose another format") as error:
        plan(GRID, np.int16, 30, **NETWORK, **PLENTY, memory_limit=limit, destination=Destination(copies=1))

    assert one_line(error)


@pytest.mark.parametrize("limit", [0, -1, math.nan])
def test_a_limit_that_is_not_an_amount_is_refused(limit):
    with pytest.raises(InputError, match="positive number of GB") as error:
        plan(GRID, np.int16, 2, **NETWORK, **PLENTY, memory_limit=limit)

    assert one_line(error)


@pytest.mark.parametrize("arguments", [{"scale": 0.5}, {"scale": 2, "region": ((0, 81), (0, 1), (0, 1))}])
def test_an_impossible_grid_is_refused(arguments):
    with pytest.raises(InputError) as error:
        plan(GRID, np.int16, **arguments, **NETWORK, **PLENTY)

    assert one_line(error)


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_the_engine_plans_with_the_properties_of_its_model_and_device(tiny_model, monkeypatch, kind):
    monkeypatch.setattr(upsampling, "resolve_device", torch.device)
    monkeypatch.setattr(upsampling, "used_memory", lambda device: {"cpu": 300_000_000, "cuda": 5_000}[device.type])
    monkeypatch.setattr(upsampling, "free_memory", lambda device: {"cpu": 10**10, "cuda": 10**9}[device.type])
    array = np.ones(GRID.shape, dtype=np.int16)
    numbers = {name: getattr(tiny_model, name) for name in NETWORK}
    if kind == "cpu":
        numbers |= {"base_memory": 300_000_000, "available_memory": 10**10}
    else:
        numbers |= {"base_memory": 5_000, "available_memory": 10**9, "host_memory": 10**10}
    options = UpsamplingOptions(device=kind, precision="fp32", memory_limit=0.9)
    region = ((0, 50), (3, 60), (10, 20))

    found = plan_upsampling(Volume(array, GRID), tiny_model, 2, options, region=region)

    assert found == Work(GRID, np.int16, 2, options, **numbers, region=region).plan()
