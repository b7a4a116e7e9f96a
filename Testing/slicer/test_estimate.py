"""The estimate in the panel matches the worker's plan for the same run."""

from __future__ import annotations

import mrml_volumes
import numpy as np
import pytest
from ArSSRPanel.acquisition import keyOf, remember
from ArSSRPanel.estimate import estimateRun
from ArSSRPanel.request import makeRequest

from ArSSRLib import planning
from ArSSRLib.acquisition.decision import predicted_contrast
from ArSSRLib.acquisition.estimate import Prediction, profile_of
from ArSSRLib.acquisition.profile import SliceProfile
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import destination_of
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.timing import work_beside
from ArSSRLib.upsampling import plan_upsampling
from ArSSRLib.volume import Volume

GRID = VolumeGeometry((20, 18, 40), (1.0, 1.0, 1.5))


@pytest.fixture
def facts(tiny_model, monkeypatch) -> dict:
    """What a probe would report for the tiny model on a machine with constant free memory."""
    monkeypatch.setattr("ArSSRLib.upsampling.free_memory", lambda _: 8 * 10**9)
    monkeypatch.setattr("ArSSRLib.upsampling.used_memory", lambda _: 10**9)
    network = {"halo": tiny_model.halo, "bytes_per_coarse_voxel": tiny_model.bytes_per_coarse_voxel}
    return {
        "devices": [{"id": "cpu", "name": "CPU", "free_memory": 8e9, "total_memory": 8e9, "smoke": "ok"}],
        "models": {"arssr2": {**network, "encoding_cost": tiny_model.encoding_cost, "sha256": "ab"}},
        "base_memory": 10**9,
        "speed": {"cpu": {"arssr2": 1e-5}},
    }


@pytest.mark.parametrize("region", [False, True])
@pytest.mark.parametrize(("thickness", "dtype"), [(None, np.int16), ("1.5", np.float64), ("unknown", np.float32)])
def test_the_panel_plans_what_the_worker_plans(scene, tiny_model, facts, region, thickness, dtype):
    volume = Volume(mrml_volumes.blob(GRID).astype(dtype), GRID)
    node = mrml_volumes.add_volume(GRID, volume.array)
    roi = mrml_volumes.add_roi(GRID.ras_affine[:3] @ (10, 9, 3, 1), (4, 4, 3)) if region else None
    options = UpsamplingOptions(device="cpu", slice_thickness=thickness)
    request = makeRequest(node, scale=(1, 1, 2), roi=roi, model="arssr2", options=options)
    remember(keyOf(node, "arssr2"), predicted_contrast(volume))

    shown = estimateRun(request, facts)

    job = {"region": request.region, "destination": destination_of("result.nrrd")}
    plan = plan_upsampling(volume, tiny_model, request.scale, options, **job)
    assert shown.cost == pytest.approx(plan.cost)
    assert shown.beside == pytest.approx(work_beside(plan, GRID))
    if region and thickness == "1.5":  # the margin accounts for most of the work
        wanted = np.prod([stop - first for first, stop in request.region])
        assert wanted * 3 < np.prod([stop - first for first, stop in plan.computed])


def test_a_profile_estimated_from_the_voxels_is_planned_for_once_it_is_known(scene, facts, monkeypatch):
    node = mrml_volumes.add_volume(GRID, mrml_volumes.blob(GRID))
    roi = mrml_volumes.add_roi(GRID.ras_affine[:3] @ (10, 9, 3, 1), (4, 4, 3))
    planned = []

    def work(*args, **more):
        planned.append(more["profile"])
        return planning.Work(*args, **more)

    monkeypatch.setattr("ArSSRPanel.estimate.Work", work)
    found = Prediction(0.6, 0.01)
    for place in (None, roi):
        estimateRun(makeRequest(node, scale=(1, 1, 2), roi=place, model="arssr2"), facts)
        remember(keyOf(node, "arssr2"), (found,) * 3)
    node.GetImageData().Modified()
    estimateRun(makeRequest(node, scale=(1, 1, 2), model="arssr2"), facts)

    assert planned == [SliceProfile(), SliceProfile((None, None, profile_of(found))), SliceProfile()]
