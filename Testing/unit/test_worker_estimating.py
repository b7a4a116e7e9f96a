"""The task "profile" of the worker: the estimate of the engine, from voxels without a header."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from messages import one_line
from phantoms import texture

from ArSSRLib.acquisition.decision import predicted_contrast
from ArSSRLib.acquisition.estimate import Prediction, profile_of
from ArSSRLib.acquisition.profile import AxisProfile
from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.volume import Volume
from ArSSRLib.worker.estimating import estimate_profile
from ArSSRLib.worker.job import job_from_table

SPACING = (1.0, 1.0, 4.0)


def job(path, array, **changes):
    grid = {"size": list(array.shape[::-1]), "spacing": list(SPACING), "dtype": array.dtype.name}
    return job_from_table({"format": 1, "task": "profile", "input": str(path), **grid, **changes})


@pytest.fixture
def slices(tmp_path):
    """Every fourth slice of a texture, and its file."""
    array = np.ascontiguousarray((1000 * texture()[::4]).astype(np.int16))
    array.tofile(tmp_path / "1.raw")
    return tmp_path / "1.raw", array


def test_the_estimate_equals_that_of_the_engine(slices):
    path, array = slices
    expected = predicted_contrast(Volume(array, VolumeGeometry(array.shape[::-1], SPACING)))

    found = estimate_profile(job(path, array))["predictions"]

    assert any(found)
    assert found == [list(one) if one and np.isfinite(one.error) else None for one in expected]


@pytest.mark.parametrize("error", [0.02, math.inf])
def test_a_smooth_volume_is_told_to_the_panel_in_numbers_that_json_has(slices, monkeypatch, error):
    found = Prediction(0.1, error, smooth=True)
    monkeypatch.setattr("ArSSRLib.worker.estimating.predicted_contrast", lambda _: (found, None, found))

    told = json.loads(json.dumps(estimate_profile(job(*slices)), allow_nan=False))["predictions"]

    smooth = [0.1, min(error, 1.0), True, False, None, False]
    assert told == [smooth, None, smooth]
    assert profile_of(Prediction(*told[0])) == AxisProfile("gaussian", 0.7, "estimated")


def test_a_cut_off_is_told_to_the_panel_although_the_error_of_the_contrast_is_infinite(slices, monkeypatch):
    found = Prediction(0.1, math.inf, cut_off=True)
    monkeypatch.setattr("ArSSRLib.worker.estimating.predicted_contrast", lambda _: (found, None, None))

    told = estimate_profile(job(*slices))["predictions"]

    assert profile_of(Prediction(*told[0])) == AxisProfile("gaussian", 0.5, "estimated")


def test_a_volume_without_contrast_has_no_estimate(tmp_path):
    array = np.full((20, 20, 20), np.nan, np.float32)
    array.tofile(tmp_path / "1.raw")

    assert estimate_profile(job(tmp_path / "1.raw", array))["predictions"] == [None] * 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dtype": "object"}, "must be a type of real numbers"),
        ({"dtype": "nonsense"}, "must be a type of real numbers"),
        ({"size": [9, 9, 9]}, "instead of 729"),
        ({"input": "nowhere.raw"}, "cannot be read"),
    ],
)
def test_voxels_that_do_not_match_the_job_are_refused(slices, changes, reason):
    with pytest.raises(InputError, match=reason) as error:
        estimate_profile(job(*slices, **changes))

    one_line(error)
