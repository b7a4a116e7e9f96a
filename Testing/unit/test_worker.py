"""The worker's job from file to file, in this process: events, results and refusals."""

from __future__ import annotations

import json
import os
import sys
import threading
import weakref

import numpy as np
import pytest
import torch
from worker_events import Told, upsample_job

from ArSSRLib import __version__, read_volume, upsample, write_volume
from ArSSRLib.checkpoint import load_model, sha256_of
from ArSSRLib.model.arssr2 import ArSSR2
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.worker import packages, run, volumes


@pytest.fixture
def told(tmp_path):
    (tmp_path / "told").mkdir()
    return Told(tmp_path / "told" / "events")


@pytest.fixture
def work(told, tmp_path):
    """Return a function that writes a job and runs it."""

    def do(job: object) -> int:
        path = tmp_path / "told" / "job.json"
        path.write_text(job if isinstance(job, str) else json.dumps(job), encoding="utf-8")
        return run([str(path)], told.events, told.cancellation)

    return do


@pytest.fixture
def brain(phantom, tmp_path):
    """The phantom as a file from Slicer, with uncompressed integers."""
    volume = phantom.with_array(np.rint(phantom.array).astype(np.int16))
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    return write_volume(volume, tmp_path / "in" / "brain.nrrd", compress=False)


@pytest.fixture
def sharp(tmp_path):
    return tmp_path / "out" / "sharp.nrrd"


def left_in(folder) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.fixture
def assert_refused(told, tmp_path):
    """Check that a job ended with one error of one line, and that nothing was written."""

    def check(code: int, kind: str, *words: str) -> None:
        assert code == 2
        events = told.lines()
        assert [line["event"] for line in events if line["event"] in ("done", "error", "cancelled")] == ["error"]
        error = events[-1]
        assert error["kind"] == kind
        assert "\n" not in error["message"]
        assert error["message"].endswith((".", "?"))
        assert "defect" not in error["message"]
        for word in words:
            assert word in error["message"]
        if (tmp_path / "out").is_dir():
            assert left_in(tmp_path / "out") == []

    return check


# --- finished work


def test_the_written_volume_equals_the_result_of_the_engine(work, told, brain, sharp, tiny_weights):
    code = work(upsample_job(tiny_weights, (brain, sharp), scale=[1, 1.5, 3]))

    volume = read_volume(brain)
    expected = upsample(
        volume, load_model(tiny_weights), (1, 1.5, 3), UpsamplingOptions(device="cpu", precision="fp32")
    )
    result = read_volume(sharp)
    assert code == 0
    assert result.array.dtype == np.int16
    np.testing.assert_array_equal(result.array, expected.array)
    assert result.geometry.matches(expected.geometry, 1e-9)
    assert b"encoding: raw" in sharp.read_bytes()[:2000]
    assert left_in(sharp.parent) == ["sharp.nrrd"]


def test_the_last_event_describes_the_result(work, told, brain, sharp, tiny_weights):
    region = [[2, 30], [0, 36], [1, 5]]

    work(upsample_job(tiny_weights, (brain, sharp), region=region))

    done = told.lines()[-1]
    (result,) = done["results"]
    written = read_volume(sharp)
    assert done["event"] == "done"
    assert (result["output"], result["size"]) == (str(sharp), [28, 36, 4])
    assert result["spacing"] == pytest.approx(written.geometry.spacing)
    assert written.geometry.size == (28, 36, 4)
    assert 0 < result["seconds"] <= done["seconds"]
    assert (done["device"], done["precision"], done["region"], done["scale"]) == ("cpu", "fp32", region, [2, 2, 2])
    assert f"({torch.get_num_threads()} thread" in done["device_name"]
    assert (done["model"], done["sha256"], done["version"]) == ("tiny", sha256_of(tiny_weights), __version__)
    assert done["peak_memory"] > 10_000_000


def test_the_stages_are_in_order_and_the_first_event_identifies_the_worker(work, told, brain, sharp, tiny_weights):
    work(upsample_job(tiny_weights, (brain, sharp), (brain, sharp.with_name("two.nrrd"))))

    assert told.lines()[0] == {"event": "started", "version": __version__, "pid": os.getpid()}
    stages = [(line["stage"], line["volume"]) for line in told.lines("stage")]
    each = ("read", "upsample", "write")
    assert stages == [("load", 1), *((stage, 1) for stage in each), *((stage, 2) for stage in each)]


def test_several_volumes_share_one_model(work, told, brain, sharp, tiny_weights, monkeypatch):
    loaded = []
    monkeypatch.setattr("ArSSRLib.checkpoint.load_model", lambda *a, **k: loaded.append(a) or load_model(*a, **k))

    work(upsample_job(tiny_weights, *((brain, sharp.with_name(f"{n}.nrrd")) for n in range(3))))

    assert len(loaded) == 1
    assert left_in(sharp.parent) == ["0.nrrd", "1.nrrd", "2.nrrd"]
    assert told.lines("progress")[-1]["fraction"] == 1


def test_one_volume_is_released_before_the_next_is_read(work, brain, sharp, tiny_weights, monkeypatch):
    held = []

    def read_and_remember(path):
        assert [volume() for volume in held] == [None] * len(held)
        volume = read_volume(path)
        held.append(weakref.ref(volume))
        return volume

    monkeypatch.setattr(volumes, "read_volume", read_and_remember)

    assert work(upsample_job(tiny_weights, *((brain, sharp.with_name(f"{n}.nrrd")) for n in range(3)))) == 0
    assert len(held) == 3


def test_an_existing_output_file_is_replaced(work, brain, sharp, tiny_weights):
    sharp.write_text("old")

    assert work(upsample_job(tiny_weights, (brain, sharp))) == 0
    assert read_volume(sharp).geometry.size == (40, 36, 18)


def test_outputs_may_be_in_different_folders(work, brain, sharp, tiny_weights):
    other = sharp.parent / "other"
    other.mkdir()

    assert work(upsample_job(tiny_weights, (brain, sharp), (brain, other / "sharp.nrrd"))) == 0
    assert left_in(other) == ["sharp.nrrd"]


def test_warnings_of_the_engine_become_events(work, told, brain, sharp, tiny_weights, phantom):
    array = phantom.array.copy()
    array[0, 0, 0] = np.nan
    write_volume(phantom.with_array(array), brain, overwrite=True)

    work(upsample_job(tiny_weights, (brain, sharp)))

    (warning,) = told.lines("log")
    assert warning["level"] == "warning"
    assert "not finite" in warning["message"]


# --- refusals


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 2}', '{"format": 1, "task": "upsample"}', '{"scale": NaN}', "[" * 100_000]
)
def test_an_invalid_job_file_is_an_error_event(work, assert_refused, content):
    assert_refused(work(content), "InputError", "job.json")


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["missing.json"]])
def test_a_call_without_a_job_file_is_an_error_event(told, assert_refused, arguments):
    assert_refused(run(arguments, told.events, told.cancellation), "InputError")


@pytest.mark.parametrize(
    ("changes", "kind", "word"),
    [
        ({"scale": [2, 2, 0.5]}, "InputError", "Scale must be at least 1"),
        ({"scale": [2, 2, 1e9]}, "InputError", "smaller scale"),
        ({"model": "arsr2"}, "CheckpointError", "Did you mean arssr2?"),
        ({"model": "missing.safetensors"}, "CheckpointError", "does not exist"),
        ({"device": "cuda:7"}, "DeviceError", "choose"),
        ({"device": "gpu"}, "DeviceError", "choose auto"),
        ({"precision": "fp8"}, "InputError", "fp32"),
        ({"memory_limit": -1}, "InputError", "positive number of GB"),
        ({"memory_limit": 1e-6}, "MemoryLimitError", "raise the limit"),
        ({"region": [[0, 41], [0, 36], [0, 18]]}, "InputError", "extends beyond the grid of 40 x 36 x 18 voxels"),
    ],
)
def test_an_impossible_request_is_an_error_event(work, brain, sharp, tiny_weights, assert_refused, changes, kind, word):
    assert_refused(work(upsample_job(tiny_weights, (brain, sharp)) | changes), kind, word)


def test_a_missing_input_is_refused(work, told, brain, sharp, tiny_weights, assert_refused):
    job = upsample_job(tiny_weights, (brain, sharp), (brain.with_name("gone.nrrd"), sharp.with_name("2.nrrd")))

    assert_refused(work(job), "InputError", "gone.nrrd", "does not exist")
    assert told.lines("stage") == []


def test_a_missing_output_folder_is_refused(work, brain, sharp, tiny_weights, assert_refused):
    job = upsample_job(tiny_weights, (brain, sharp.parent / "nowhere" / "sharp.nrrd"))

    assert_refused(work(job), "OutputError", "not an existing folder")


@pytest.mark.parametrize("which", ["itself", "linked", "of another volume"])
def test_an_output_that_is_an_input_is_refused(work, brain, sharp, tiny_weights, assert_refused, which):
    before = brain.read_bytes()
    second = write_volume(read_volume(brain), brain.with_name("second.nrrd"))
    (brain.parent / "link").symlink_to(brain.parent, target_is_directory=True)
    target = {"itself": brain, "linked": brain.parent / "link" / brain.name, "of another volume": second}[which]

    assert_refused(work(upsample_job(tiny_weights, (brain, target), (second, sharp))), "OutputError", "never replaced")

    assert brain.read_bytes() == before


def test_two_volumes_with_the_same_output_are_refused(work, brain, sharp, tiny_weights, assert_refused):
    assert_refused(work(upsample_job(tiny_weights, (brain, sharp), (brain, sharp))), "OutputError", "two volumes")


def test_if_one_volume_fails_no_result_is_written(work, brain, sharp, tiny_weights, assert_refused):
    broken = brain.with_name("broken.nrrd")
    broken.write_bytes(brain.read_bytes()[:500])

    code = work(upsample_job(tiny_weights, (brain, sharp), (broken, sharp.with_name("2.nrrd"))))

    assert_refused(code, "InputError", "broken.nrrd")


def test_if_one_result_cannot_be_renamed_the_others_are_removed(
    work, brain, sharp, tiny_weights, assert_refused, monkeypatch
):
    check = volumes.validate_output

    def then_a_folder_appears(path, **options):
        check(path, **options)
        if path.name == "2.nrrd":
            path.mkdir()

    monkeypatch.setattr(volumes, "validate_output", then_a_folder_appears)

    code = work(upsample_job(tiny_weights, (brain, sharp), (brain, sharp.with_name("2.nrrd"))))

    sharp.with_name("2.nrrd").rmdir()
    assert_refused(code, "OutputError", "cannot be written")


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")]
)
@pytest.mark.parametrize("where", ["reading", "encoding", "writing"])
def test_a_lack_of_memory_is_an_error_with_the_next_step(
    work, brain, sharp, tiny_weights, assert_refused, monkeypatch, error, where
):
    def fail(*_, **__):
        raise error

    target = {
        "reading": (volumes, "read_volume"),
        "encoding": (ArSSR2, "encode_lean"),
        "writing": (volumes, "write_volume"),
    }
    monkeypatch.setattr(*target[where], fail)

    assert_refused(work(upsample_job(tiny_weights, (brain, sharp))), "MemoryLimitError", "smaller memory limit")


def test_a_missing_pytorch_is_an_error_with_the_next_step(
    work, brain, sharp, tiny_weights, assert_refused, monkeypatch
):
    monkeypatch.setitem(sys.modules, "torch", None)

    code = work(upsample_job(tiny_weights, (brain, sharp)))

    assert_refused(code, "DependencyError", "PyTorch is not installed", "PyTorch extension", "pip install torch")


def test_a_pytorch_that_cannot_be_loaded_is_an_error(work, brain, sharp, tiny_weights, assert_refused, monkeypatch):
    def import_module(name: str):
        raise OSError("[WinError 126] The specified module could not be found.\nError loading c10.dll")

    monkeypatch.setattr(packages, "import_module", import_module)

    code = work(upsample_job(tiny_weights, (brain, sharp)))

    assert_refused(code, "DependencyError", "cannot be loaded", "c10.dll", "reinstall it")


def test_a_defect_is_one_line_and_its_traceback_is_logged(work, told, brain, sharp, tiny_weights, monkeypatch):
    def fail(*_, **__):
        raise KeyError("spacing")

    monkeypatch.setattr(volumes, "read_volume", fail)

    assert work(upsample_job(tiny_weights, (brain, sharp))) == 1

    log, error = told.lines()[-2:]
    assert (log["event"], log["level"]) == ("log", "debug")
    assert "Traceback" in log["message"]
    assert error["kind"] == "KeyError"
    assert "defect" in error["message"]
    assert "\n" not in error["message"]
    assert left_in(sharp.parent) == []


# --- stopping


@pytest.mark.parametrize("stage", ["load", "read", "upsample", "write"])
def test_a_cancellation_stops_the_work_at_its_next_step(work, told, brain, sharp, tiny_weights, monkeypatch, stage):
    send = told.events.send

    def send_and_ask(event: str, **fields):
        send(event, **fields)
        if fields.get("stage") == stage and fields["volume"] == (1 if stage == "load" else 2):
            told.cancellation.request()

    monkeypatch.setattr(told.events, "send", send_and_ask)

    code = work(upsample_job(tiny_weights, (brain, sharp), (brain, sharp.with_name("2.nrrd"))))

    assert code == 130
    assert told.lines()[-1] == {"event": "cancelled"}
    assert left_in(sharp.parent) == []


def test_the_work_can_be_canceled_until_results_are_renamed(work, told, brain, sharp, tiny_weights, monkeypatch):
    send = told.events.send

    def send_and_ask(event: str, **fields):
        send(event, **fields)
        if fields.get("fraction") == 1:
            told.cancellation.request()

    monkeypatch.setattr(told.events, "send", send_and_ask)

    assert work(upsample_job(tiny_weights, (brain, sharp))) == 130
    assert left_in(sharp.parent) == []


def test_unfinished_files_are_registered_before_they_are_created(work, told, brain, sharp, tiny_weights, monkeypatch):
    named = []
    monkeypatch.setattr(told.cancellation, "remove_if_left", lambda folder: named.append((folder, folder.exists())))
    seen = []
    write = volumes.write_volume
    monkeypatch.setattr(volumes, "write_volume", lambda v, path, **o: seen.append(path.parent) or write(v, path, **o))

    work(upsample_job(tiny_weights, (brain, sharp)))

    assert named == [(seen[0], False)]


def test_a_cancellation_from_another_thread_stops_a_tile(work, told, brain, sharp, tiny_weights, monkeypatch):
    encode = ArSSR2.encode_lean

    def ask_and_encode(self, *arguments):
        thread = threading.Thread(target=told.cancellation.request)
        thread.start()
        thread.join()
        encode(self, *arguments)
        raise AssertionError("the encoding went on to its end")

    monkeypatch.setattr(ArSSR2, "encode_lean", ask_and_encode)

    assert work(upsample_job(tiny_weights, (brain, sharp))) == 130


def test_the_work_ends_if_the_reader_has_ended(told, brain, sharp, tiny_weights, tmp_path):
    os.close(told.descriptor)
    (tmp_path / "job.json").write_text(json.dumps(upsample_job(tiny_weights, (brain, sharp))))

    assert run([str(tmp_path / "job.json")], told.events, told.cancellation) == 130
    assert left_in(sharp.parent) == []
