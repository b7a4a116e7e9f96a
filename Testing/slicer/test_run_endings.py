"""However a run ends, no worker, file or incomplete node is left, and the message says what to do next."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import time
import weakref
from types import SimpleNamespace

import pytest
import slicer
import slicer_runs
from ArSSRPanel import exchange, outputs, run
from ArSSRPanel.run import Run, RunCancelled
from slicer_runs import PROMPT, Told, large_volume, volume, wait, worker_processes

from ArSSRLib.errors import ArSSRError, CheckpointError, DeviceError, InputError, MemoryLimitError, OutputError
from ArSSRLib.leftovers import hidden_name

pytestmark = pytest.mark.usefixtures("temporary")


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """Make a request; every run of the test uses a worker that waits until it is canceled."""
    return slicer_runs.asker(slicer_runs.use_quick_worker(tmp_path, monkeypatch, slow=True))


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"memory_limit": 0.001}, MemoryLimitError, "too small"),
        ({"device": "cuda:7"}, DeviceError, "cuda"),
    ],
)
def test_an_error_of_the_engine_is_raised_and_leaves_no_node(ask, scene, options, kind, message):
    told = Told()
    source = volume()
    count = scene.GetNumberOfNodes()
    request = ask(source, **options)

    with pytest.raises(kind, match=message):
        wait(request, **told.callbacks())

    assert [(name, type(error)) for name, error in told.last] == [("onError", kind)]
    assert scene.GetNumberOfNodes() == count


def test_the_error_names_weights_that_cannot_be_used(ask, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")

    with pytest.raises(CheckpointError, match=r"broken\.safetensors"):
        wait(ask(volume(), model=str(tmp_path / "broken.safetensors")))


@pytest.mark.parametrize("cancelWhen", ["started", "upsampling"])
def test_cancel_ends_a_run_soon_and_leaves_nothing_behind(ask, scene, slicerHost, cancelWhen):
    told = Told()
    source = large_volume()
    count = scene.GetNumberOfNodes()
    started = Run(ask(source), **told.callbacks())
    started.start()
    pids = worker_processes()
    if cancelWhen == "upsampling":
        assert slicerHost.wait_until(lambda: any(fraction > 0 for fraction, _ in told["onProgress"]), timeout=60)
    began = time.monotonic()
    started.cancel()
    assert time.monotonic() - began < 0.1
    assert slicerHost.wait_until(lambda: told.last, timeout=60)

    assert time.monotonic() - began < PROMPT
    assert told.last == [("onCancelled", "")]
    assert scene.GetNumberOfNodes() == count
    assert worker_processes() & pids == set()


def test_a_blocking_run_can_be_canceled_by_its_callback(slow):
    started = Run(slow(volume()), onProgress=lambda *_: started.cancel())
    started.start()

    with pytest.raises(RunCancelled):
        started.wait()


def test_an_exception_in_a_callback_ends_a_blocking_run(slow):
    def onProgress(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        wait(slow(volume()), onProgress=onProgress)

    assert run.activeRun() is None
    assert worker_processes() == set()


def test_ctrl_c_ends_the_worker(slow):
    def onProgress(*_):
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        wait(slow(volume()), onProgress=onProgress)

    assert worker_processes() == set()


def test_a_killed_worker_is_reported_and_leaves_nothing_behind(ask, scene, slicerHost):
    told = Told()
    source = volume()
    count = scene.GetNumberOfNodes()
    Run(ask(source), **told.callbacks()).start()
    for pid in worker_processes():
        os.kill(pid, signal.SIGKILL)
    assert slicerHost.wait_until(lambda: told.last, timeout=60)

    assert isinstance(told.last[0][1], ArSSRError)
    assert scene.GetNumberOfNodes() == count
    assert run.activeRun() is None


def test_closing_the_scene_ends_the_run(ask, slicerHost):
    told = Told()
    Run(ask(large_volume()), **told.callbacks()).start()

    slicerHost.closeScene()

    assert told.last == [("onCancelled", "The scene was closed.")]
    assert worker_processes() == set()
    count = len(told.calls)
    slicerHost.wait_until(lambda: False, timeout=0.3)
    assert len(told.calls) == count


@pytest.mark.parametrize("gone", ["input", "output"])
def test_removing_a_node_of_the_run_ends_it(ask, scene, gone):
    told = Told()
    nodes = {"input": large_volume(), "output": volume(name="Out")}
    Run(ask(nodes["input"], nodes["output"]), **told.callbacks()).start()
    scene.RemoveNode(volume(name="Other"))
    assert told.last == []

    scene.RemoveNode(nodes[gone])

    assert told.last == [("onCancelled", f'"{nodes[gone].GetName()}" was removed from the scene; nothing was added.')]
    assert worker_processes() == set()


def test_unloading_the_module_ends_its_run_without_a_message(ask, slicerHost):
    told = Told()
    Run(ask(large_volume()), **told.callbacks()).start()

    run.cleanup()

    count = len(told.calls)
    slicerHost.wait_until(lambda: False, timeout=0.3)
    assert told.last == []
    assert len(told.calls) == count
    assert worker_processes() == set()


def test_a_second_run_is_refused_during_the_first(ask):
    Run(ask(large_volume())).start()

    with pytest.raises(InputError, match='"Large" is still being upsampled; wait until it is finished, or cancel it'):
        Run(ask(volume())).start()

    assert run.activeRun() is not None
    run.cleanup()


def test_a_full_disk_is_reported_before_anything_is_written(ask, monkeypatch):
    monkeypatch.setattr(exchange.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))

    with pytest.raises(OutputError, match=r"needs .* GB for temporary files in .* 1e-06 GB are free; free some space"):
        Run(ask(volume())).start()

    assert run.activeRun() is None


def test_a_missing_temporary_folder_is_reported(ask, monkeypatch, tmp_path):
    monkeypatch.setattr(slicer.app, "temporaryPath", str(tmp_path / "gone"))

    with pytest.raises(OutputError, match=r"gone cannot be written to .* Application Settings"):
        Run(ask(volume())).start()


def test_a_volume_that_has_changed_since_it_was_chosen_is_refused(ask):
    source = volume()
    request = ask(source)
    source.SetOrigin(1, 2, 3)

    with pytest.raises(InputError, match='"T1" has changed since it was selected'):
        Run(request).start()


def test_a_node_that_was_removed_since_it_was_chosen_is_refused(ask, scene):
    source = volume()
    request = ask(source)
    scene.RemoveNode(source)

    with pytest.raises(InputError, match="no longer in the scene"):
        Run(request).start()


def test_a_result_that_cannot_be_shown_leaves_no_node(quick, scene, monkeypatch):
    source = volume()
    count = scene.GetNumberOfNodes()

    def fail(*_):
        raise RuntimeError("no place")

    monkeypatch.setattr(outputs, "placeBeside", fail)

    with pytest.raises(RuntimeError, match="no place"):
        wait(quick(source))

    assert scene.GetNumberOfNodes() == count


def test_a_result_of_another_size_is_refused(quick, scene, monkeypatch):
    source = volume()
    request = quick(source)
    count = scene.GetNumberOfNodes()
    started = Run(request)
    started.start()
    started._grids = [source_grid.upsampled(1.5) for source_grid in started._grids]

    with pytest.raises(OutputError, match="were expected; nothing was added"):
        started.wait()

    assert scene.GetNumberOfNodes() == count


@pytest.mark.parametrize("blocking", [True, False])
def test_a_finished_run_releases_its_nodes(quick, slicerHost, blocking):
    started = Run(quick(volume()))
    started.start()
    if blocking:
        started.wait()
    assert slicerHost.wait_until(lambda: run.activeRun() is None, timeout=60)
    memory = weakref.ref(started)
    del started
    slicerHost.process_events(0.1)
    gc.collect()

    assert memory() is None


def test_names_of_temporary_files_do_not_identify_the_patient(ask, temporary):
    started = Run(ask(volume(name="DOE^JANE")))
    started.start()
    names = [path.name for path in temporary.rglob("*")]
    run.cleanup()

    assert names
    assert "DOE" not in " ".join(names)


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps other users out by where the folder lies")
def test_only_this_user_can_open_the_temporary_folder(ask, temporary):
    Run(ask(volume())).start()
    modes = [path.stat().st_mode & 0o777 for path in temporary.iterdir()]
    run.cleanup()

    assert modes == [0o700]


def test_only_folders_of_ended_slicer_processes_are_deleted(temporary, monkeypatch):
    gone = 2**22 + 1  # greater than the default limits of Linux, macOS and Windows
    own = hidden_name()
    left = own.replace(f"-{os.getpid()}-", f"-{gone}-")
    kept = [own, "ArSSR-notes", left.replace(".arssr", "Other"), left.rpartition("-")[0]]
    for name in [*kept, left]:
        (temporary / name).mkdir()
        (temporary / name / "1.nrrd").touch()

    assert exchange.sweepLeftOvers() == 1
    assert sorted(path.name for path in temporary.iterdir()) == sorted(kept)
    for name in kept:
        shutil.rmtree(temporary / name)
