"""The worker as Slicer starts it, in a separate process, from its first line to any kind of end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from worker_events import events_in, lens_job, question_about, upsample_job

from ArSSRLib import UpsamplingOptions, read_volume, upsample, write_volume
from ArSSRLib.checkpoint import load_model

ROOT = Path(__file__).resolve().parents[2]
# A process with a function that never returns, as inside a library: only a watching thread can react.
STUCK = """
import os, sys, time
from importlib import import_module
from ArSSRLib import worker
room, name = {where!r}.rsplit(":", 1)
place = import_module(room)
for part in name.split(".")[:-1]:
    place = getattr(place, part)
def stuck(*arguments, **options):
    print("a stray print")
    os.write(1, b"a stray write\\n")
    os.write(2, b"stuck\\n")
    time.sleep(600)
setattr(place, name.split(".")[-1], stuck)
os._exit(worker.main(sys.argv[1:]))
"""
# A process that can only allocate a little memory after PyTorch is loaded.
SHORT_OF_MEMORY = """
import os, resource, sys
import torch, ArSSRLib.upsampling, ArSSRLib.io.itk
from ArSSRLib import worker
from ArSSRLib.options import UpsamplingOptions
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 150_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
os._exit(worker.main(sys.argv[1:]))
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with an unusual name."""
    folder = tmp_path / "Klinik Süd 脳 (1)"
    folder.mkdir()
    return folder


@pytest.fixture
def brain(phantom, folder):
    return write_volume(phantom, folder / "Größe 1.nrrd", compress=False)


@pytest.fixture
def start(folder):
    """Return a function that starts a worker with a job; all workers are ended after the test."""
    processes = []

    def begin(job: dict, *, code: str | None = None, stdin: int = subprocess.PIPE) -> subprocess.Popen:
        path = folder.parent / "job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        command = [sys.executable, *(["-c", code] if code else ["-m", "ArSSRLib.worker"]), str(path)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"}
        environment.pop("PYTHONUNBUFFERED", None)  # Slicer does not set it
        processes.append(
            subprocess.Popen(
                command,
                cwd=folder.parent,
                env=environment,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def finish(process: subprocess.Popen) -> tuple[bytes, bytes]:
    """Return the output of a process until its end, with its input open, which `communicate` would close."""
    output = process.stdout.read()
    process.wait(timeout=60)
    return output, process.stderr.read()


def busy() -> float:
    """Return the number of programs per CPU core of this machine, at least 1, by which time limits are multiplied."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def in_folder(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_job_runs_from_file_to_file_with_any_file_names(start, brain, folder, tiny_weights):
    region = [[3, 31], [0, 36], [2, 15]]
    targets = [folder / "schärfer eins.nrrd", folder / "schärfer zwei.nrrd"]
    job = upsample_job(tiny_weights, *((brain, target) for target in targets), region=region)

    # No message can arrive on this standard input, which does not stop the work.
    process = start(job, stdin=subprocess.DEVNULL)
    output, errors = finish(process)

    told = events_in(output)
    fractions = [line["fraction"] for line in told if line["event"] == "progress"]
    assert (process.returncode, told[0]["event"], told[-1]["event"]) == (0, "started", "done"), errors
    assert (told[0]["pid"], errors) == (process.pid, b"")
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    assert in_folder(folder) == sorted([brain.name, *(target.name for target in targets)])
    whole = upsample(read_volume(brain), load_model(tiny_weights), 2, UpsamplingOptions(device="cpu", precision="fp32"))
    expected = whole.geometry.cropped((3, 0, 2), (28, 36, 13))
    for target in targets:
        result = read_volume(target)
        assert result.geometry.matches(expected, 1e-9)
        np.testing.assert_allclose(result.array, whole.array[2:15, 0:36, 3:31], atol=1e-5 * np.ptp(whole.array))


@pytest.mark.parametrize(
    ("where", "way"),
    [
        ("ArSSRLib.worker.volumes:load_packages", "closing"),
        ("ArSSRLib.worker.volumes:read_volume", "SIGTERM"),
        ("ArSSRLib.worker.volumes:read_volume", "SIGHUP"),
        ("ArSSRLib.model.arssr2:ArSSR2.encode_lean", "line"),
        ("ArSSRLib.worker.volumes:write_volume", "line"),
    ],
    ids=["loading, input closed", "reading, SIGTERM", "reading, SIGHUP", "encoding one tile, line", "writing, line"],
)
def test_a_stuck_worker_ends_in_two_seconds_and_leaves_nothing_behind(start, brain, folder, tiny_weights, where, way):
    process = start(upsample_job(tiny_weights, (brain, folder / "sharp.nrrd")), code=STUCK.format(where=where))
    said = b""
    while b"stuck\n" not in said:
        said += process.stderr.readline()
    if not where.endswith("load_packages"):
        assert len(in_folder(folder)) == 2  # the input, and a hidden folder

    asked = time.monotonic()
    if way == "line":
        process.stdin.write(b"cancel\n")
        process.stdin.flush()
    elif way == "closing":
        process.stdin.close()
    else:
        process.send_signal(getattr(signal, way))
    code = process.wait(timeout=60)
    seconds = time.monotonic() - asked

    assert code == 130
    assert seconds < 2 * busy()
    assert in_folder(folder) == [brain.name]
    # Output of libraries never mixes with the events.
    told = events_in(process.stdout.read())
    assert told[-1] == {"event": "cancelled"}
    assert b"a stray print" in said
    assert b"a stray write" in said


def test_a_worker_that_is_killed_leaves_no_output_under_its_final_name(start, brain, folder, tiny_weights):
    job = upsample_job(tiny_weights, (brain, folder / "one.nrrd"), (brain, folder / "two.nrrd"))
    process = start(job)
    for line in process.stdout:
        event = json.loads(line)
        if event.get("stage") == "upsample" and event["volume"] == 2:
            process.kill()
            break
    process.wait(timeout=60)

    # The remaining file is hidden; a killed process cannot remove it.
    assert process.returncode == -signal.SIGKILL
    assert [name for name in in_folder(folder) if not name.startswith(".arssr-")] == [brain.name]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux, which tells what a process holds")
def test_a_worker_without_memory_says_what_to_do(start, folder, tiny_weights, oblique_geometry, phantom):
    large = phantom.with_array(np.zeros((100, 100, 100), np.float32), oblique_geometry.resized((100, 100, 100)))
    large.array[::2] = 1
    source = write_volume(large, folder / "large.nrrd", compress=False)

    process = start(upsample_job(tiny_weights, (source, folder / "sharp.nrrd"), scale=[4, 4, 4]), code=SHORT_OF_MEMORY)
    output, _ = finish(process)

    error = events_in(output)[-1]
    assert (process.returncode, error["event"], error["kind"]) == (2, "error", "MemoryLimitError")
    assert "smaller region" in error["message"]
    assert in_folder(folder) == ["large.nrrd"]


def test_a_probe_describes_the_machine(start, tiny_weights):
    process = start({"format": 1, "task": "probe", "models": [str(tiny_weights)], "measure": False})
    output, errors = finish(process)

    started, done = events_in(output)
    assert (process.returncode, started["event"], done["event"], errors) == (0, "started", "done", b"")
    assert done["devices"][-1]["smoke"] == "ok"
    # A worker with PyTorch uses between 0.1 and 1 GB; plans start from this number.
    assert 1e8 < done["base_memory"] < 1e9


def test_a_lens_answers_until_its_input_ends(start, brain, folder, tiny_weights, phantom):
    process = start(lens_job(tiny_weights, brain, folder))
    told = []
    while not told or told[-1]["event"] != "ready":
        told += events_in(process.stdout.readline())
    for number in (1, 2):
        process.stdin.write(json.dumps(question_about(phantom.geometry, number, exact=number == 2)).encode() + b"\n")
        process.stdin.flush()
        told += events_in(process.stdout.readline())
    prepared = events_in(process.stdout.readline())  # the planes beside the exact one

    asked = time.monotonic()
    process.stdin.close()
    code = process.wait(timeout=60)

    assert time.monotonic() - asked < 2 * busy()
    assert [event["event"] for event in told] == ["started", "ready", "plane", "plane"]
    assert [event["number"] for event in told[2:]] == [1, 2]
    assert [Path(event["file"]).stat().st_size for event in told[2:]] == [4 * 40 * 36] * 2
    assert prepared == [{"event": "prepared", "number": 2}]
    assert (code, process.stderr.read()) == (130, b"")
    assert events_in(process.stdout.read()) == [{"event": "cancelled"}]


def test_a_job_that_cannot_be_done_is_refused_without_loading_anything(start, folder):
    process = start(upsample_job("arssr2", (folder / "gone.nrrd", folder / "sharp.nrrd")))
    output, errors = finish(process)

    assert (process.returncode, errors) == (2, b"")
    assert [line["event"] for line in events_in(output)] == ["started", "error"]
