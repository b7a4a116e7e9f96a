"""The whole command on the CPU, under the conditions of a machine without packages, to find failures here first.

The packages that such a machine may lack are hidden, Triton uses its interpreter, and the run is killed halfway.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from types import SimpleNamespace

import psutil
import pytest

from gpu import plan, run
from gpu.results import FILE, too_much

pytest.importorskip("triton", reason="there is no Triton here (pip install triton; Linux only)")
NAMES = [item.name for item in plan.proof(tiny=True)]


def results_in(folder) -> dict[str, dict]:
    path = folder / FILE
    return json.loads(path.read_text(encoding="utf-8"))["items"] if path.exists() else {}


@pytest.fixture(scope="module")
def rehearsed(bare_environment, command, tmp_path_factory):
    """A run that is killed after some items, and a second one that completes it."""
    folder = tmp_path_factory.mktemp("output")
    words = [*command, "--minutes", "5", "--output", str(folder)]
    with (folder / "log").open("wb") as log:
        first = subprocess.Popen(words, env=bare_environment, stdout=log, stderr=log, start_new_session=True)
        while len(results_in(folder)) < 8 and first.poll() is None:
            time.sleep(0.05)
        workers = psutil.Process(first.pid).children(recursive=True)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    (folder / "log").unlink()
    _, alive = psutil.wait_procs(workers, timeout=10)
    killed = results_in(folder)
    second = subprocess.run(words, env=bare_environment, capture_output=True, text=True, check=False)
    return SimpleNamespace(folder=folder, killed=killed, alive=alive, second=second, items=results_in(folder))


def test_a_killed_run_leaves_complete_results_and_no_process(rehearsed):
    assert 8 <= len(rehearsed.killed) < len(NAMES)
    assert list(rehearsed.killed) == NAMES[: len(rehearsed.killed)]
    assert rehearsed.alive == []


def test_a_second_call_continues_the_run(rehearsed):
    assert list(rehearsed.items) == NAMES
    done = [name for name in rehearsed.killed if f" {name}:" in rehearsed.second.stdout]
    assert done == []
    assert f" {NAMES[-1]}:" in rehearsed.second.stdout


def test_all_items_for_a_gpu_are_correct_without_the_packages(rehearsed):
    assert {name: result["message"] for name, result in rehearsed.items.items() if result["status"] != "ok"} == {}
    assert rehearsed.second.returncode == 0, rehearsed.second.stdout + rehearsed.second.stderr
    assert rehearsed.items["smoke/machine"]["values"]["stand-ins"] == "psutil, tqdm, safetensors"


def test_the_tables_and_block_sizes_exist_and_are_small_enough_to_be_returned(rehearsed):
    report = (rehearsed.folder / "report.md").read_text(encoding="utf-8")
    blocks = json.loads((rehearsed.folder / "blocks.json").read_text(encoding="utf-8"))

    assert report.count("| fused fp16 |") == len(plan.TINY_JOBS)
    assert set(blocks) == {f"{model}, fp16" for model in (plan.PUBLISHED, plan.DEFAULT)}
    assert too_much(rehearsed.folder) == []


def test_a_budget_of_two_seconds_is_kept(bare_environment, command, tmp_path):
    started = time.monotonic()
    words = [*command, "--minutes", str(2 / 60), "--output", str(tmp_path)]
    ended = subprocess.run(words, env=bare_environment, capture_output=True, text=True, check=False)

    # More time for starting Python and ending a process on a busy machine.
    assert time.monotonic() - started < 2 + 10
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert list(results_in(tmp_path)) == NAMES
    assert results_in(tmp_path)[NAMES[-1]]["status"] == "no time"


def test_without_a_gpu_the_command_says_so_and_does_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "finds_a_gpu", lambda: False)

    assert run.main(["--output", str(tmp_path / "none")]) == 2
    assert "no CUDA GPU" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
