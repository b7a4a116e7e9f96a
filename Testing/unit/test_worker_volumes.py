"""The worker's additional outputs for a volume, and the information about it in the job."""

from __future__ import annotations

import json

import numpy as np
import pytest
from worker_events import Told, upsample_job

from ArSSRLib.acquisition import decision
from ArSSRLib.acquisition.estimate import Prediction
from ArSSRLib.io import read_volume, write_volume
from ArSSRLib.worker import run


@pytest.fixture
def work(phantom, tmp_path):
    """Return a function that runs a job for one volume and returns its last event; the result is sharp.nrrd."""
    volume = phantom.with_array(np.rint(phantom.array).astype(np.int16))
    write_volume(volume, tmp_path / "brain.nrrd", compress=False)

    def do(weights, *, volume=None, **changes):
        told = Told(tmp_path / "events")
        files = {"input": str(tmp_path / "brain.nrrd"), "output": str(tmp_path / "sharp.nrrd"), **(volume or {})}
        (tmp_path / "job.json").write_text(json.dumps(upsample_job(weights, **{"volumes": [files], **changes})))
        run([str(tmp_path / "job.json")], told.events, told.cancellation)
        return told.lines()[-1]

    return do


def test_the_uncertainty_is_written_beside_the_result(work, tmp_path, tiny_weights):
    spread = tmp_path / "spread.nrrd"

    end = work(tiny_weights, volume={"uncertainty": str(spread)}, quality="best", uncertainty=True)

    assert end["event"] == "done"
    uncertainty = read_volume(spread)
    assert uncertainty.geometry.matches(read_volume(tmp_path / "sharp.nrrd").geometry)
    assert uncertainty.array.min() >= 0 < uncertainty.array.max()


def test_the_slice_profile_in_the_job_is_used(work, tiny_weights):
    profile = [{"kind": "gaussian", "width": 1.0, "source": "DICOM"}] * 3

    end = work(tiny_weights, volume={"profile": profile})

    record = end["results"][0]["record"]
    assert record["profile"] == profile
    assert record["disagreement"] is not None


def test_an_unknown_kind_of_slice_profile_is_refused(work, tiny_weights):
    profile = [None, None, {"kind": "round", "width": 1.0, "source": "DICOM"}]

    end = work(tiny_weights, volume={"profile": profile})

    assert end["event"] == "error"
    assert "round" in end["message"]


def test_the_frames_of_a_sequence_share_one_estimate_of_the_slice_profile(work, tmp_path, tiny_weights, monkeypatch):
    found, calls = Prediction(0.5, 0.01), []
    monkeypatch.setattr(decision, "predicted_axes", lambda *given: calls.append(given) or (found,) * 3)
    source = str(tmp_path / "brain.nrrd")
    frames = [{"input": source, "output": str(tmp_path / f"{number}.nrrd")} for number in range(3)]

    end = work(tiny_weights, volumes=frames)

    assert [result["record"]["profile"][2]["source"] for result in end["results"]] == ["estimated"] * 3
    assert len(calls) == 1
