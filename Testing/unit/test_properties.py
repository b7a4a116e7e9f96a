"""Properties of any volume, scale, model, tile plan and memory limit; hypothesis searches for counterexamples."""

from __future__ import annotations

import math
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from phantoms import rotation
from worker_events import upsample_job

from ArSSRLib import Volume, VolumeGeometry, read_volume, upsample, write_volume
from ArSSRLib.errors import ArSSRError, InputError, MemoryLimitError
from ArSSRLib.model.arssr import ArSSRConfig
from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.model.registry import build_model
from ArSSRLib.normalization import result_type
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.planning import Work
from ArSSRLib.worker.job import job_from_table

INTEGERS = ("u1", "i1", "u2", "i2", "u4", "i4")
lengths = st.floats(0.05, 50, allow_nan=False)
factors = st.one_of(st.just(1.0), st.floats(1, 3.5)).filter(lambda f: f == 1 or f > 1.2)


@st.composite
def volumes(draw, *, types=(*INTEGERS, "f4", "f8"), largest=7):
    """Draw a volume: any small shape, spacing, right- or left-handed orientation, type, and voxels up to its limits."""
    shape = draw(st.tuples(*[st.integers(1, largest)] * 3))
    dtype = np.dtype(draw(st.sampled_from(types)))
    if dtype.kind == "f":
        elements = st.one_of(
            st.floats(-1e6, 1e6, width=32), st.sampled_from([0.0, float("nan"), float("inf"), -float("inf"), 1e38])
        )
    else:
        elements = st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    array = draw(arrays(dtype, shape, elements=elements))
    turn = np.reshape(rotation(*draw(st.tuples(*[st.floats(-180, 180)] * 3))), (3, 3))
    turn = turn * draw(st.sampled_from([[1, 1, 1], [1, -1, 1]]))
    origin = draw(st.tuples(*[st.floats(-500, 500)] * 3))
    direction = tuple(float(x) for x in turn.ravel())
    return Volume(array, VolumeGeometry(shape[::-1], draw(st.tuples(lengths, lengths, lengths)), origin, direction))


def assert_one_line(error):
    assert "\n" not in str(error)
    assert 0 < len(str(error)) < 1000


@cache
def model(kind):
    torch.manual_seed(4)
    if kind == "ours":
        network = build_model(ArSSR2Config(channels=2, blocks=1, feature_channels=4, decoder_layers=2))
    else:
        network = build_model(ArSSRConfig(encoder=kind, feature_channels=2, decoder_depth=2, decoder_width=4))
    return network.eval()


@settings(max_examples=30)
@given(volume=volumes(), scale=st.tuples(factors, factors, factors), kind=st.sampled_from(["ours", "ResCNN"]))
def test_any_volume_gives_a_finite_result_of_its_type_and_field_of_view(volume, scale, kind):
    before = volume.array.tobytes()

    try:
        result = upsample(volume, model(kind), scale, UpsamplingOptions(device="cpu", precision="fp32"))
    except InputError:
        # No axis would become finer after rounding, or the volume is empty.
        grid = volume.geometry
        assert not np.isfinite(volume.array).any() or grid.size == grid.upsampled(scale).size
        return

    assert volume.array.tobytes() == before
    assert result.array.dtype == result_type(volume.array)
    assert np.isfinite(result.array).all()
    extent = max(volume.geometry.extent)
    np.testing.assert_allclose(result.geometry.corners(), volume.geometry.corners(), atol=1e-9 * (extent + 500))
    if np.nanmin(volume.array) >= 0:
        assert result.array.min() >= 0


@settings(max_examples=60)
@given(
    size=st.tuples(*[st.integers(1, 60)] * 3),
    scale=st.tuples(factors, factors, factors),
    halo=st.integers(0, 20),
    cost=st.integers(1, 10**6),
    limit=st.floats(1e-3, 4),
)
def test_any_plan_stays_within_its_limit_and_covers_every_voxel_once(size, scale, halo, cost, limit):
    geometry = VolumeGeometry(size, (1.0, 1.0, 1.0))
    numbers = {"halo": halo, "bytes_per_coarse_voxel": cost, "encoding_cost": 40.0}
    numbers |= {"base_memory": 10**6, "available_memory": 10**12}
    try:
        job = Work(geometry, "f4", scale, UpsamplingOptions(memory_limit=limit), **numbers).plan()
    except (MemoryLimitError, InputError):
        return

    assert job.memory <= limit * 1e9
    covered = np.zeros(job.geometry.shape, np.uint8)
    for tile in job.tiles:
        covered[tile.block] += 1
        assert all(0 <= s.start < s.stop <= n for s, n in zip(tile.crop, geometry.shape, strict=True))
    assert covered.min() == covered.max() == 1


@settings(max_examples=40)
@given(volume=volumes(largest=5), suffix=st.sampled_from([".nii", ".nii.gz", ".nrrd", ".mha", ".mgz"]))
def test_any_volume_is_read_back_unchanged_from_any_format_or_refused(volume, suffix):
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = read_volume(write_volume(volume, Path(folder) / f"v{suffix}"))
        except ArSSRError as error:
            assert_one_line(error)
            return

    exact = suffix in (".nrrd", ".mha")
    assert found.geometry.size == volume.geometry.size
    np.testing.assert_allclose(
        found.geometry.corners(), volume.geometry.corners(), atol=1e-6 if exact else 1e-4, rtol=1e-6
    )
    wide = volume.array.astype(np.float64)
    np.testing.assert_allclose(
        found.array, wide if volume.array.dtype != np.float64 else wide.astype(found.array.dtype)
    )


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = (
    "format",
    "task",
    "model",
    *UpsamplingOptions().as_table(),
    "scale",
    "region",
    "volumes",
    "models",
    "measure",
)


@settings(max_examples=100)
@given(
    kind=st.sampled_from(["upsample", "probe"]),
    changes=st.dictionaries(st.sampled_from(KEYS), anything, max_size=3),
)
def test_any_job_is_accepted_or_refused_in_one_line(kind, changes):
    job = {"format": 1, "task": "probe", "models": ["arssr2"], "measure": False}
    if kind == "upsample":
        job = upsample_job("arssr2", ("a", "b"))

    try:
        understood = job_from_table(job | changes)
    except InputError as error:
        assert_one_line(error)
        return
    assert all(math.isfinite(factor) for factor in getattr(understood, "scale", ()))


def test_the_strategies_generate_the_extreme_cases():
    # Without this, the test would pass if no example reached the comparison.
    shapes, types = set(), set()

    @settings(max_examples=60, database=None)
    @given(volume=volumes())
    def look(volume):
        shapes.add(min(volume.array.shape))
        types.add(volume.array.dtype.kind)

    look()
    assert (1 in shapes, types) == (True, {"u", "i", "f"})


pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
