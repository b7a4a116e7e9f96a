"""Scans distributed by Dask: each is upsampled once, even if workers are lost, and invalid settings are refused."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch

from ArSSRLib import read_volume, upsampling, write_volume
from ArSSRLib.cli import main
from ArSSRLib.cohort import distribution, places
from ArSSRLib.cohort.dataset import Scan
from ArSSRLib.cohort.distribution import outcomes_of
from ArSSRLib.cohort.places import Place, Share
from ArSSRLib.cohort.processing import DONE, FAILED, KEPT, Outcome, Task
from ArSSRLib.errors import ClusterError, DependencyError
from ArSSRLib.options import UpsamplingOptions

distributed = pytest.importorskip("distributed", reason="Dask is not installed (pip install distributed)")
pytest.importorskip("bids2table", reason="bids2table is not installed (pip install bids2table)")
# Dask leaves the cleanup of closed connections to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore")
SCANS = 6


@pytest.fixture(scope="module")
def cluster():
    """Two workers in separate processes, as in a cluster."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as started:
        yield started


@pytest.fixture
def tasks(phantom, tmp_path, tiny_weights):
    """Scans of a data set, and the settings for upsampling them."""
    root = tmp_path / "raw"
    for number in range(SCANS):
        (root / f"sub-{number}" / "anat").mkdir(parents=True)
        write_volume(phantom, root / f"sub-{number}" / "anat" / f"sub-{number}_T1w.nii.gz")
    (root / "dataset_description.json").write_text('{"Name": "Phantoms", "BIDSVersion": "1.10.0"}')
    how = {"scale": (1.5,), "spacing": None, "size": None, "isotropic": False, "force": False, "overwrite": False}
    scans = [Scan(f"sub-{n}/anat/sub-{n}_T1w.nii.gz", str(n), "", "T1w") for n in range(SCANS)]
    options = UpsamplingOptions(device="cpu")
    return [Task(str(root), str(tmp_path / "out"), scan, how, str(tiny_weights), options) for scan in scans]


def results_of(tasks):
    return sorted(path.name for path in Path(tasks[0].output).rglob("*.nii.gz"))


def test_the_command_names_unreadable_scans_and_has_the_workers_do_the_rest(cluster, tasks, capsys):
    (Path(tasks[0].root) / tasks[2].scan.path).write_text("not a volume")
    words = [tasks[0].root, tasks[0].output, "participant", "--scale", "1.5", "--device", "cpu"]

    code = main(["bids", *words, "--model", tasks[0].model, "--scheduler", cluster.scheduler_address])

    printed = capsys.readouterr().out
    assert code == 1
    assert printed.count("error: ") == 1
    assert "sub-2_T1w.nii.gz" in printed
    assert "5 of 6 scans are finished, 1 failed" in printed
    assert len(results_of(tasks)) == SCANS - 1


def test_warnings_of_workers_are_printed_once_each_with_the_name_of_the_scan(cluster, tasks, capsys):
    words = [tasks[0].root, tasks[0].output, "participant", "--scale", "9", "--device", "cpu", "--suffix", "T1w"]

    chosen = ["--participant-label", "0", "1", "--model", tasks[0].model, "--scheduler", cluster.scheduler_address]
    assert main(["bids", *words, *chosen]) == 0

    lines = [line for line in capsys.readouterr().err.splitlines() if "outside the range for which model" in line]
    assert sorted(line.split(": ")[2] for line in lines) == [task.scan.path for task in tasks[:2]]


def test_processes_of_this_machine_do_the_work_and_say_nothing_else(tasks, capfd):
    words = [tasks[0].root, tasks[0].output, "participant", "--scale", "1.5", "--device", "cpu"]

    code = main(["bids", *words, "--model", tasks[0].model, "--jobs", "2"])

    printed = capfd.readouterr()
    assert code == 0
    assert printed.out.count("done: ") == SCANS
    assert printed.err == ""
    assert len(results_of(tasks)) == SCANS


def test_a_scan_that_fails_on_one_worker_is_tried_on_another(cluster, tasks, monkeypatch):
    (Path(tasks[0].root) / tasks[2].scan.path).unlink()
    took, real = [], distribution._result_of
    monkeypatch.setattr(distribution, "_result_of", lambda *words: took.append(real(*words)) or took[-1])

    outcomes = list(outcomes_of(tasks, Place(scheduler=cluster.scheduler_address), Share()))

    assert [outcome.path for outcome in outcomes if outcome.state == FAILED] == [tasks[2].scan.path]
    failed = [worker for worker, outcome in took if outcome.state == FAILED]
    assert len(failed) == len(set(failed)) == 2


def fails_one_scan(task, share):
    """Fail the scan of subject 0 after a moment; process that of subject 1 until its folder has a file `go`."""
    root = Path(task.root)
    where = distributed.get_worker().address
    if task.scan.path.startswith("sub-0"):
        time.sleep(0.5)  # Dask does not move shorter tasks
        return where, Outcome(task.scan.path, FAILED, "no space left on device")
    if task.scan.path.startswith("sub-1"):
        (root / "busy").write_text(str(os.getpid()))
        wait_for(root / "go")
    return where, Outcome(task.scan.path, DONE, "done")


def wait_for(file):
    for _attempt in range(600):
        if file.exists():
            return
        time.sleep(0.05)
    msg = f"{file} did not appear"
    raise TimeoutError(msg)


def failures_of(tasks, cluster, monkeypatch, meanwhile):
    """Process two scans, one of which fails; return the workers on which it failed.

    `meanwhile` runs once that scan has failed on one worker while the other worker is busy.
    """
    took, result_of = [], distribution._result_of

    def record(future, task):
        took.append(result_of(future, task))
        if len(took) == 1:
            wait_for(Path(task.root) / "busy")
            other.start()
        return took[-1]

    other = threading.Thread(target=meanwhile)
    monkeypatch.setattr(distribution, "_on_worker", fails_one_scan)
    monkeypatch.setattr(distribution, "_result_of", record)
    states = {
        outcome.path: outcome.state
        for outcome in outcomes_of(tasks[:2], Place(scheduler=cluster.scheduler_address), Share())
    }
    other.join()
    assert list(states.values()).count(FAILED) == 1
    assert len(states) == 2
    return [worker for worker, outcome in took if outcome.state == FAILED]


def test_a_scan_that_fails_on_one_worker_waits_for_another_that_is_busy(cluster, tasks, monkeypatch):
    def free_the_other_worker():
        time.sleep(2.5)  # Dask moves tasks to idle workers once a second
        (Path(tasks[0].root) / "go").touch()

    failed = failures_of(tasks, cluster, monkeypatch, free_the_other_worker)

    assert len(failed) == len(set(failed)) == 2


def test_a_scan_that_waits_for_a_lost_worker_goes_to_any_other(cluster, tasks, monkeypatch):
    monkeypatch.setattr(distribution, "LOOK", 0.2)

    def end_the_other_worker():
        busy = int((Path(tasks[0].root) / "busy").read_text())
        (Path(tasks[0].root) / "go").touch()
        psutil.Process(busy).kill()

    assert len(failures_of(tasks, cluster, monkeypatch, end_the_other_worker)) == 2


def test_a_scan_that_ends_its_workers_is_abandoned_and_named(cluster, tasks, monkeypatch):
    sent, real = [], distribution._Spreading._submit
    monkeypatch.setattr(distribution._Spreading, "_submit", lambda *words: sent.append(words) or real(*words))
    error = distributed.KilledWorker("task", "worker", 3)
    dead = type("Future", (), {"status": "error", "exception": lambda _self: error})()
    result_of = distribution._result_of
    monkeypatch.setattr(distribution, "_result_of", lambda _future, task: result_of(dead, task))

    outcomes = list(outcomes_of(tasks, Place(scheduler=cluster.scheduler_address), Share()))

    assert len(sent) == len(outcomes) == SCANS
    assert all("every worker that processed it ended" in outcome.message for outcome in outcomes)


def test_the_result_is_that_of_the_plain_loop(cluster, tasks, tmp_path):
    list(outcomes_of(tasks[:1], Place(scheduler=cluster.scheduler_address), Share()))
    spread = read_volume(next(Path(tasks[0].output).rglob("*.nii.gz")))
    shutil.rmtree(tasks[0].output)

    list(outcomes_of(tasks[:1], Place(), Share()))

    assert (read_volume(next(Path(tasks[0].output).rglob("*.nii.gz"))).array == spread.array).all()


def test_a_killed_worker_costs_nothing_but_time(cluster, tasks):
    place = Place(scheduler=cluster.scheduler_address)
    with distributed.Client(cluster) as client:
        process, *_ = client.run(os.getpid).values()
    outcomes = []

    for outcome in outcomes_of(tasks, place, Share()):
        if not outcomes:
            psutil.Process(process).kill()
        outcomes.append(outcome)

    assert sorted(outcome.path for outcome in outcomes) == [task.scan.path for task in tasks]
    assert {outcome.state for outcome in outcomes} <= {DONE, KEPT}
    assert len(results_of(tasks)) == SCANS


def test_workers_of_another_version_are_refused_by_name(cluster, tasks, monkeypatch):
    monkeypatch.setattr(distribution, "__version__", "9.9")
    monkeypatch.setattr(distribution, "RESOURCE", "arssr-9.9")
    offered = distribution.admission("9.9", "arssr-9.9")
    monkeypatch.setattr(distribution, "admission", lambda: offered)

    with pytest.raises(DependencyError, match=r"No worker has ArSSR 9\.9: tcp://\S+ has ArSSR \d"):
        next(outcomes_of(tasks, Place(scheduler=cluster.scheduler_address), Share()))


def test_a_worker_that_starts_later_receives_waiting_scans(tasks):
    with distributed.LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address=None) as empty:
        later = threading.Timer(0.5, lambda: empty.scale(1))
        later.start()

        states = [outcome.state for outcome in outcomes_of(tasks, Place(scheduler=empty.scheduler_address), Share())]

    assert states == [DONE] * SCANS


def test_a_lost_scheduler_ends_the_run_and_finished_results_are_kept(tasks, monkeypatch):
    monkeypatch.setattr(distribution, "GIVEN_UP", 1.0)
    monkeypatch.setattr(distribution, "LOOK", 0.2)
    monkeypatch.setattr(places, "PATIENCE", 2)
    with distributed.LocalCluster(n_workers=1, processes=False, protocol="tcp", dashboard_address=None) as leaving:
        outcomes = outcomes_of(tasks, Place(scheduler=leaving.scheduler_address), Share())
        first = next(outcomes)
        leaving.close()

        with pytest.raises(ClusterError, match=r"was lost; run the command again. Finished results are kept"):
            list(outcomes)

    assert first.state == DONE
    assert results_of(tasks)


def test_a_missing_scheduler_is_reported_in_one_line(tasks, monkeypatch, capsys):
    monkeypatch.setattr(places, "PATIENCE", 0.5)
    words = [tasks[0].root, tasks[0].output, "participant", "--scale", "2", "--model", tasks[0].model]

    assert main(["bids", *words, "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "tcp://127.0.0.1:9: no Dask scheduler responds" in capsys.readouterr().err


SBATCH = """#!/bin/sh
for script; do :; done
cp "$script" "{folder}/job.sh"
setsid sh "{folder}/job.sh" > "{folder}/log" 2>&1 &
echo "Submitted batch job $!"
"""


@pytest.mark.skipif(shutil.which("setsid") is None, reason="the stand-in for Slurm needs setsid")
def test_jobs_are_requested_with_the_memory_of_the_plan(tasks, tmp_path, monkeypatch, capsys):
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed (pip install dask-jobqueue)")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in {"sbatch": SBATCH.format(folder=tmp_path), "scancel": "#!/bin/sh\nkill -- -$1\n"}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(upsampling, "used_memory", lambda _device: 300e6)  # ignores remains of earlier tests
    words = [tasks[0].root, tasks[0].output, "participant", "--scale", "1.5", "--device", "cpu"]

    settings = [word for pair in ("queue=long", "cores=2", "interface=lo") for word in ("--cluster-option", pair)]
    code = main(["bids", *words, "--model", tasks[0].model, "--cluster", "slurm", *settings, "--shard", "1/3"])

    job = (tmp_path / "job.sh").read_text()
    assert code == 0, (tmp_path / "log").read_text()
    assert "#SBATCH -p long" in job
    assert "#SBATCH --cpus-per-task=2" in job
    assert "#SBATCH --mem=2G" in job  # 1.5 times the smallest limit, 1 GB
    assert results_of(tasks)


@pytest.mark.skipif(sys.platform != "linux", reason="the loopback interface has another name")
@pytest.mark.parametrize("takes", ["refuses", "is missing"])
def test_a_queue_that_refuses_jobs_is_named_with_its_reason(tasks, tmp_path, monkeypatch, capfd, takes):
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed (pip install dask-jobqueue)")
    if takes == "refuses":
        (tmp_path / "sbatch").write_text("#!/bin/sh\necho invalid partition specified: long >&2; exit 1\n")
        (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    words = [tasks[0].root, tasks[0].output, "participant", "--scale", "1.5", "--device", "cpu"]

    code = main(["bids", *words, "--model", tasks[0].model, "--cluster", "slurm", "--cluster-option", "interface=lo"])

    (line,) = (text for text in capfd.readouterr().err.splitlines() if "warning" not in text)
    assert code == 2
    assert line.startswith("arssr: error: The cluster slurm cannot be started")
    reasons = {"refuses": "invalid partition specified: long", "is missing": "No such file or directory: 'sbatch'"}
    assert reasons[takes] in line
    assert not results_of(tasks)


def test_processes_of_this_machine_share_its_memory_and_gpus_in_turn(tasks, monkeypatch):
    taken = []
    worker = type("Worker", (), {"name": 3, "address": "here", "state": type("State", (), {"nthreads": 2})})
    monkeypatch.setattr(distributed, "get_worker", lambda: worker)
    monkeypatch.setattr(distribution, "process", taken.append)
    monkeypatch.setattr(distribution, "resolve_device", torch.device)
    monkeypatch.setattr(distribution, "total_memory", lambda _device: 40e9)

    distribution._on_worker(tasks[0], Share(memory=2.0))
    distribution._on_worker(tasks[0], Share(memory=2.0, gpus=2, processes_per_gpu=2))

    assert [(task.options.device, task.options.memory_limit, task.threads) for task in taken] == [
        ("cpu", 2.0, 2),
        ("cuda:1", 12.0, 2),
    ]
