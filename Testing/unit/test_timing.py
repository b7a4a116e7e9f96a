"""Estimates of the time of a run."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ArSSRLib.acquisition.profile import AxisProfile, SliceProfile
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.planning import Plan, Work
from ArSSRLib.timing import EVENING, HANDLING, promised_seconds, taken_by_others, work_beside

GRID = VolumeGeometry((40, 30, 20), (1.0, 1.0, 3.0))
VOXELS = 40 * 30 * 20
KNOWN = SliceProfile((None, None, AxisProfile("gaussian", 1.0)))


def plan(profile: SliceProfile = KNOWN, *, region=None, **options) -> Plan:
    return Work(
        GRID,
        np.int16,
        (1, 1, 3),
        UpsamplingOptions(**options),
        halo=3,
        bytes_per_coarse_voxel=1000,
        encoding_cost=40.0,
        base_memory=0,
        available_memory=10**12,
        profile=profile,
        region=region,
    ).plan()


def test_consistency_and_even_slices_are_extra_work():
    neither = work_beside(plan(consistency="off", even_slices="off"), GRID)
    even = work_beside(plan(consistency="off"), GRID)
    both = work_beside(plan(), GRID)

    assert neither == pytest.approx(3 * VOXELS * HANDLING)
    assert even - neither == pytest.approx(EVENING * VOXELS)
    assert both - even == pytest.approx(3 * VOXELS)


def test_extra_work_for_a_region_includes_its_margin():
    narrow = plan(region=((10, 20), (10, 20), (27, 33)), even_slices="off")
    margin = math.prod(stop - first for first, stop in narrow.computed)

    assert margin > 10 * 10 * 6
    assert work_beside(narrow, GRID) == pytest.approx((1 + HANDLING) * margin)


def test_the_estimated_time_is_the_sum_of_start_network_and_extra_work():
    facts = {"start": 3.0, "speed": {"cuda:0": {"arssr2": 1e-8}}, "beside": 2e-7}

    assert promised_seconds(1e8, facts, beside=1e7, device="cuda:0", model="arssr2") == pytest.approx(3 + 1 + 2)
    assert promised_seconds(1e8, facts, device="cpu", model="arssr2") is None


def test_the_load_of_other_programs_excludes_this_process():
    assert taken_by_others((0.0, 0.0, 0.0), (20.0, 15.0, 5.0)) == 0.5
    assert taken_by_others((5.0, 1.0, 0.0), (5.0, 1.0, 0.0)) == 0.0
