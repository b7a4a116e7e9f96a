"""The worker's task "lens": each request is answered once, the newest first, and no request ends the worker."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
from phantoms import texture_in_slices
from worker_events import Told, lens_job, question_about

from ArSSRLib import upsample, write_volume
from ArSSRLib.acquisition.profile import AxisProfile
from ArSSRLib.checkpoint import load_model
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.model.arssr2 import ArSSR2
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling.lens import Lens
from ArSSRLib.volume import Volume
from ArSSRLib.worker import run
from ArSSRLib.worker.cancellation import Inbox

SECONDS = 30


class Worker:
    """A worker in a thread of this process, and its events."""

    def __init__(self, folder, job: dict) -> None:
        self.told = Told(folder / "events")
        path = folder / "job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        self.code: int | None = None
        self._thread = threading.Thread(target=self._run, args=(str(path),), daemon=True)
        self._thread.start()

    def _run(self, path: str) -> None:
        self.code = run([path], self.told.events, self.told.cancellation)

    def ask(self, *questions: dict | str) -> None:
        lines = [question if isinstance(question, str) else json.dumps(question) for question in questions]
        self.told.cancellation.inbox.add("".join(f"{line}\n" for line in lines).encode())

    def next(self, event: str, count: int = 1) -> dict:
        """Wait for the ``count``-th event with a name, and return it."""
        end = time.monotonic() + SECONDS
        while len(found := self.told.lines(event)) < count:
            assert time.monotonic() < end, self.told.lines()
            assert self._thread.is_alive() or len(self.told.lines(event)) >= count, self.told.lines()
            time.sleep(0.01)
        return found[count - 1]

    def end(self) -> int | None:
        self.told.cancellation.request()
        self.told.cancellation.inbox.close()
        self._thread.join(SECONDS)
        return self.code


@pytest.fixture
def source(phantom, tmp_path):
    return write_volume(phantom, tmp_path / "brain.nrrd", compress=False)


@pytest.fixture
def worker(source, tiny_weights, tmp_path):
    (tmp_path / "planes").mkdir()
    worker = Worker(tmp_path, lens_job(tiny_weights, source, tmp_path / "planes"))
    worker.next("ready")
    yield worker
    assert worker.end() == 130


def test_the_plane_in_the_file_equals_the_whole_result(worker, phantom, tiny_weights):
    whole = upsample(phantom, load_model(tiny_weights), 2, UpsamplingOptions(device="cpu", precision="fp32"))

    worker.ask(question_about(phantom.geometry, 7, exact=True))
    answer = worker.next("plane")

    plane = np.fromfile(answer["file"], np.float32).reshape(answer["size"][::-1])
    assert (answer["number"], answer["exact"], answer["uncorrected"]) == (7, True, False)
    np.testing.assert_allclose(plane, whole.array[8], atol=1e-5 * np.ptp(whole.array))


def test_the_lens_uses_the_slice_profile_of_the_job(source, phantom, tiny_weights, tmp_path):
    (tmp_path / "planes").mkdir()
    stated = {"kind": "gaussian", "width": 1.0, "source": "DICOM"}
    job = lens_job(tiny_weights, source, tmp_path / "planes") | {"profile": [stated, stated, stated]}
    worker = Worker(tmp_path, job)

    worker.ask(question_about(phantom.geometry, 1))

    assert worker.next("plane")["uncorrected"]
    worker.end()


@pytest.mark.parametrize(("first", "uncorrected"), [("sharp", False), ("smooth", True)])
def test_the_profile_is_estimated_from_the_frame_that_the_job_names(tiny_weights, tmp_path, first, uncorrected):
    (tmp_path / "planes").mkdir()
    grid = VolumeGeometry((96, 96, 24), (1.0, 1.0, 4.0))
    files = {
        name: write_volume(Volume(texture_in_slices(grid, axis), grid), tmp_path / f"{name}.nrrd", compress=False)
        for name, axis in (("sharp", AxisProfile("point")), ("smooth", AxisProfile("gaussian", 1.3)))
    }
    job = lens_job(tiny_weights, files["sharp"], tmp_path / "planes") | {"estimated_from": str(files[first])}
    worker = Worker(tmp_path, job)

    worker.ask(question_about(grid, 1) | {"scale": [1, 1, 4]})

    assert worker.next("plane")["uncorrected"] == uncorrected
    worker.end()


def test_after_an_exact_answer_the_planes_beside_it_are_ready(worker, phantom):
    worker.ask(question_about(phantom.geometry, 1, exact=True))
    first = worker.next("plane")
    prepared = worker.next("prepared")
    worker.ask(question_about(phantom.geometry, 2, slice_number=9))
    second = worker.next("plane", 2)

    assert first["encoded"] > 0
    assert prepared["number"] == 1
    assert (second["encoded"], second["exact"]) == (0, True)


def test_a_request_does_not_wait_for_the_planes_beside_the_last_one(worker, phantom, monkeypatch):
    prepare = Lens.prepare

    def overtaken(self, *arguments, check):
        worker.ask(question_about(phantom.geometry, 2, slice_number=9))
        prepare(self, *arguments, check=check)

    monkeypatch.setattr(Lens, "prepare", overtaken)
    worker.ask(question_about(phantom.geometry, 1, exact=True))
    worker.next("plane", 2)

    assert [event["number"] for event in worker.told.lines("plane")] == [1, 2]
    assert not worker.told.lines("prepared")


def test_only_the_newest_of_several_waiting_requests_is_answered(worker, phantom):
    worker.ask(*(question_about(phantom.geometry, number) for number in (1, 2, 3)))
    worker.next("plane")
    worker.ask(question_about(phantom.geometry, 4))
    worker.next("plane", 2)

    assert [event["number"] for event in worker.told.lines("plane")] == [3, 4]


@pytest.mark.parametrize(("exact", "answered"), [(True, [2]), (False, [1, 2])])
def test_only_exact_work_is_abandoned_for_a_newer_request(worker, phantom, monkeypatch, exact, answered):
    encode = ArSSR2.encode_box

    def overtaken(self, *arguments, **options):
        monkeypatch.setattr(ArSSR2, "encode_box", encode)
        worker.ask(question_about(phantom.geometry, 2, slice_number=9))
        return encode(self, *arguments, **options)

    monkeypatch.setattr(ArSSR2, "encode_box", overtaken)
    worker.ask(question_about(phantom.geometry, 1, exact=exact))
    worker.next("plane", len(answered))

    assert [event["number"] for event in worker.told.lines("plane")] == answered


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scale": [0.5, 1, 1]}, "Scale must be at least 1"),
        ({"size": [0, 3]}, "The plane has 0 x 3 pixels"),
        ({"origin": "here"}, "origin"),
        ({"zoom": 2}, "unknown key zoom"),
    ],
)
def test_an_invalid_request_is_refused_and_the_next_one_is_answered(worker, phantom, change, words):
    worker.ask(question_about(phantom.geometry, 5) | change)
    refused = worker.next("refused")
    worker.ask(question_about(phantom.geometry, 6))

    assert words in refused["message"]
    assert worker.next("plane")["number"] == 6


@pytest.mark.parametrize("line", ["hello", "[1, 2]", "[" * 5000])
def test_a_line_that_is_not_a_request_is_refused(worker, line):
    worker.ask(line)

    assert "A question must be one JSON object" in worker.next("refused")["message"]


@pytest.mark.parametrize("missing", ["input", "folder"])
def test_a_job_with_a_missing_volume_or_folder_is_refused(source, tiny_weights, tmp_path, missing):
    job = lens_job(tiny_weights, source, tmp_path) | {missing: str(tmp_path / "gone")}

    error = Worker(tmp_path, job).next("error")

    assert "gone: does not exist" in error["message"]


def test_an_inbox_keeps_the_newest_line_and_joins_pieces():
    inbox = Inbox()
    inbox.add(b"first\nnext ")
    inbox.add(b"one\r\n\nand")

    assert inbox.waiting
    assert inbox.take() == b"next one"
    assert not inbox.waiting
    inbox.close()
    assert inbox.take() is None
