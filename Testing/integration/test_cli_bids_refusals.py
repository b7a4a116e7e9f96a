"""``arssr bids`` with faulty data sets: each fault is named, other scans are upsampled, nothing is incomplete."""

from __future__ import annotations

import json
import os
import re
import stat

import numpy as np
import pytest

from ArSSRLib import read_volume, write_volume
from ArSSRLib.cli import main
from ArSSRLib.cohort import memory, places
from ArSSRLib.cohort.cli import CLUSTERS
from ArSSRLib.cohort.dataset import Scan
from ArSSRLib.cohort.memory import least_limit, plan_of, share_of_worker
from ArSSRLib.cohort.places import Place, Share
from ArSSRLib.cohort.processing import Task
from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.volume import Volume

pytest.importorskip("bids2table", reason="bids2table is not installed (pip install bids2table)")
# Output of the official validator for a data set with a misspelled name and an empty file.
VERDICT = {
    "issues": {
        "issues": [
            {"code": "EMPTY_FILE", "severity": "error", "location": "/sub-2/anat/sub-2_T1w.nii.gz"},
            {"code": "NOT_INCLUDED", "severity": "error", "location": "/sub-1/anat/sub-1_t1w.nii.gz"},
            {"code": "README_FILE_MISSING", "severity": "warning", "location": "/dataset_description.json"},
        ]
    }
}


@pytest.fixture
def data_set(phantom, tmp_path):
    """Three subjects with one small scan each."""
    root = tmp_path / "raw"
    for number in (1, 2, 3):
        (root / f"sub-{number}" / "anat").mkdir(parents=True)
        write_volume(phantom, root / f"sub-{number}" / "anat" / f"sub-{number}_T1w.nii.gz")
    (root / "dataset_description.json").write_text('{"Name": "Phantoms", "BIDSVersion": "1.10.0"}')
    return root


@pytest.fixture
def bids(data_set, tmp_path, tiny_weights, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))  # ignores a validator installed on the machine

    def run(*arguments):
        words = [str(data_set), str(tmp_path / "out"), "participant", *arguments]
        return main(["bids", *words, "--scale", "1.5", "--device", "cpu", "--model", str(tiny_weights)])

    return run


@pytest.fixture
def validator(tmp_path):
    """A stand-in for the official validator with a configurable output."""

    def say(text):
        program = tmp_path / "programs" / "bids-validator-deno"
        program.parent.mkdir(exist_ok=True)
        (tmp_path / "verdict").write_text(text)
        program.write_text(f"#!/bin/sh\nexec /bin/cat '{tmp_path / 'verdict'}'\n")
        program.chmod(0o755)

    return say


def results_in(folder):
    return sorted(path.name for path in folder.rglob("*_desc-arssr_*.nii.gz"))


@pytest.mark.skipif(os.name != "posix", reason="a limit for files needs POSIX")
def test_a_disk_that_fills_up_costs_the_scans_that_do_not_fit(bids, data_set, phantom, tmp_path, capsys):
    import resource  # noqa: PLC0415 - POSIX only

    noise = np.random.default_rng(1).integers(0, 30000, phantom.array.shape).astype("i2")
    write_volume(phantom.with_array(noise), data_set / "sub-2/anat/sub-2_T1w.nii.gz", overwrite=True)
    small = Volume(noise[:6, :6, :6], phantom.geometry.cropped((0, 0, 0), (6, 6, 6)))
    for number in (1, 3):
        write_volume(small, data_set / f"sub-{number}/anat/sub-{number}_T1w.nii.gz", overwrite=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, hard))
    try:
        code = bids()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    printed = capsys.readouterr().out
    assert code == 1
    assert "sub-2" in printed.partition("error: ")[2].partition("\n")[0]
    assert "cannot be written" in printed
    assert "2 of 3 scans are finished, 1 failed" in printed
    assert [name[:5] for name in results_in(tmp_path / "out")] == ["sub-1", "sub-3"]
    assert list((tmp_path / "out").rglob(".arssr-*")) == []
    assert bids() == 0  # with enough space again, only the failed scan is computed
    assert capsys.readouterr().out.count("kept: ") == 2


def test_each_line_shows_the_progress_and_the_remaining_time(bids, capsys):
    assert bids() == 0

    counts = re.findall(r"; (\d of \d), ([\d:]+) left\)", capsys.readouterr().out)
    assert [count for count, _ in counts] == ["1 of 3", "2 of 3", "3 of 3"]
    assert counts[-1][1] == "00:00"


def test_a_read_only_source_is_accepted(bids, data_set, tmp_path):
    folders = [data_set, *(path for path in data_set.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    before = sorted(data_set.rglob("*"))
    try:
        assert bids() == 0
        assert sorted(data_set.rglob("*")) == before
    finally:
        for folder in folders:
            folder.chmod(stat.S_IRWXU)


def test_a_misspelled_scan_is_named_and_the_others_are_done(bids, data_set, tmp_path, capsys):
    for odd in ("sub-1_t1w.nii.gz", "sub-2_T2w.nii.gz", "brain.nii.gz"):
        (data_set / "sub-1/anat" / odd).write_text("")

    bids("--suffix", "T1w")

    warnings = capsys.readouterr().err
    assert [name for name in ("_t1w", "sub-2_T2w", "brain") if name not in warnings] == []
    assert warnings.count("does not follow the naming rules of BIDS") == 3
    assert len(results_in(tmp_path / "out")) == 3


def test_validation_can_be_skipped(bids, data_set, validator, capsys):
    validator(json.dumps(VERDICT))
    (data_set / "sub-1/anat/sub-1_t1w.nii.gz").write_text("")

    assert bids("--skip-bids-validation", "--suffix", "T1w") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for the validator is a shell script")
def test_errors_of_the_official_validator_are_one_line(bids, validator, tmp_path, capsys):
    validator(json.dumps(VERDICT))

    assert bids() == 2
    message = capsys.readouterr().err
    assert "bids-validator-deno reports errors: NOT_INCLUDED at /sub-1/anat/sub-1_t1w.nii.gz" in message
    assert "EMPTY_FILE" not in message  # an unreadable scan is named when it is processed
    assert "add --skip-bids-validation" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for the validator is a shell script")
def test_a_validator_without_a_result_is_reported_and_the_work_continues(bids, validator, capsys):
    validator("no JSON")

    assert bids("--participant-label", "1") == 0
    assert "gave no readable result" in capsys.readouterr().err


def test_the_uncertainty_is_beside_the_result_with_its_own_name(bids, tmp_path):
    assert bids("--participant-label", "1", "--quality", "best", "--uncertainty") == 0

    (spread,) = (tmp_path / "out").rglob("*_desc-arssruncertainty_T1w.nii.gz")
    (result,) = (tmp_path / "out").rglob("*_desc-arssr_T1w.nii.gz")
    said = json.loads(spread.with_name(spread.name.replace(".nii.gz", ".json")).read_text())
    assert read_volume(spread).array.min() >= 0
    assert read_volume(spread).geometry.size == read_volume(result).geometry.size
    assert said["Sources"] == [f"bids::sub-1/anat/{result.name}"]

    spread.unlink()
    assert bids("--participant-label", "1", "--quality", "best", "--uncertainty") == 0
    assert spread.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--jobs", "0"), "whole number of at least 1"),
        (("--cluster", "slurm", "--cluster-option", "queue"), "KEY=VALUE"),
        (("--cluster-option", "queue=long"), "specify the kind of cluster"),
        (("--scheduler", "tcp://a:1", "--jobs", "4"), "--scheduler brings its own workers"),
        (("--uncertainty",), "choose quality best"),
    ],
)
def test_contradictions_are_refused_before_any_work(bids, words, message, tmp_path, capsys):
    try:
        code = bids(*words)
    except SystemExit as leaving:
        code = leaving.code

    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def task(data_set, tmp_path, tiny_weights):
    how = {"scale": (2.0,), "spacing": None, "size": None, "isotropic": False, "force": False, "overwrite": False}
    scan = Scan("sub-1/anat/sub-1_T1w.nii.gz", "1", "", "T1w")
    return Task(str(data_set), str(tmp_path / "out"), scan, how, str(tiny_weights), UpsamplingOptions(device="cpu"))


def test_processes_of_this_machine_share_its_free_memory(task, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda _device: 20e9)

    assert share_of_worker([task], Place(jobs=4)) == Share(memory=pytest.approx(3.0))


def test_more_processes_than_the_memory_holds_are_refused_before_any_work(task, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda _device: 1e9)

    with pytest.raises(
        InputError, match=r"--jobs 16 leaves 0\.037 GB for each process, which is too little for the largest scan"
    ):
        share_of_worker([task], Place(jobs=16))


def test_gpus_of_this_machine_are_taken_in_turn_and_shared(task, monkeypatch):
    monkeypatch.setattr(places.torch.cuda, "device_count", lambda: 2)

    assert places.gpu_share(Place(jobs=5), UpsamplingOptions()) == Share(gpus=2, processes_per_gpu=3)
    assert places.gpu_share(Place(jobs=5), UpsamplingOptions(device="cpu")) == Share()


def test_a_worker_asks_for_the_least_memory_that_costs_little_work(task):
    large = Volume(np.zeros((160, 192, 192), np.float32), VolumeGeometry((192, 192, 160), (1.0, 1.0, 1.0)))

    limit = least_limit(task, large)

    best = plan_of(task, large, memory.LIMITS[-1]).cost
    lower = [other for other in memory.LIMITS if other < limit]
    assert plan_of(task, large, limit).cost <= memory.ACCEPTED_WORK * best
    assert plan_of(task, large, limit).memory <= limit * 1e9
    for other in lower[-1:]:
        with pytest.raises((AssertionError, MemoryError)):
            assert plan_of(task, large, other).cost <= memory.ACCEPTED_WORK * best


def test_every_kind_of_queue_is_one_of_dask_jobqueue():
    dask_jobqueue = pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")

    assert tuple(places._CLUSTERS) == CLUSTERS
    assert all(hasattr(dask_jobqueue, name) for name in places._CLUSTERS.values())
