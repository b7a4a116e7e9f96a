"""Two processes started by `torchrun` train like one process with the doubled batch."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from training.runs import smooth_array, write_phantom

from ArSSRLib.cli import main
from ArSSRLib.training.checkpoints import BEST, FINAL, LAST

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """
training_data = "train"
validation_data = "val"
output = "run"
cache = "cache"
target_spacings = [0]
target_weights = [1]
batch_items = 2
patch_size = 6
margin = 1
points = 200
noise_share = 0.5
steps = 6
warm_up_steps = 2
checkpoint_every = 3
validate_every = 6
[model]
kind = "arssr2"
channels = 8
blocks = 1
feature_channels = 8
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_phantom(tmp_path / "train" / "a.nrrd", smooth_array((24, 26, 28), 1.0))
    write_phantom(tmp_path / "train" / "b.nrrd", smooth_array((24, 26, 28), 1.0, seed=2))
    write_phantom(tmp_path / "val" / "c.nrrd", smooth_array((16, 18, 14), 1.0, seed=3))
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


def start_two(folder, *arguments):
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "ArSSRLib", "train"]
    return subprocess.Popen(
        [sys.executable, *command, "recipe.toml", "--no-progress", "--device", "cpu", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def two_processes(folder, *arguments):
    process = start_two(folder, *arguments)
    said, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints
    return said


def states_of(folder, name):
    return torch.load(folder / name / LAST, weights_only=True)


def test_two_processes_equal_one_with_the_doubled_batch_and_only_one_writes(folder):
    said = two_processes(folder, "--set", "output=two")
    assert main(["train", "recipe.toml", "--no-progress", "--device", "cpu", "--set", "batch_items=4"]) == 0

    two, one = states_of(folder, "two"), states_of(folder, "run")
    torch.testing.assert_close(two["model"], one["model"], rtol=0, atol=2e-6)
    torch.testing.assert_close(two["average"], one["average"], rtol=0, atol=2e-6)
    assert two["best"] == pytest.approx(one["best"], abs=1e-3)
    assert two["items"] == one["items"] == 4
    assert said.count("6 of 6 steps") == 1
    files = sorted(path.name for path in (folder / "two").iterdir() if path.is_file())
    assert files == sorted([BEST, FINAL, LAST, "log.csv"])
    rows = (folder / "two" / "log.csv").read_text(encoding="utf-8").splitlines()
    assert len([row for row in rows if ",loss," in row]) == 2


def test_two_processes_go_on_where_one_with_the_doubled_batch_stopped(folder):
    one = ["train", "recipe.toml", "--no-progress", "--device", "cpu", "--set", "batch_items=4"]
    assert main([*one, "--set", "output=whole"]) == 0
    assert main([*one, "--set", "steps=3", "--set", "hold_share=1"]) == 0

    two_processes(folder, "--resume")

    resumed, whole = states_of(folder, "run"), states_of(folder, "whole")
    assert resumed["step"] == 6
    torch.testing.assert_close(resumed["model"], whole["model"], rtol=0, atol=2e-6)


def test_two_processes_that_are_terminated_save_the_same_step(folder):
    never = [f"{name}=1000000" for name in ("steps", "checkpoint_every", "validate_every")]
    process = start_two(folder, *(word for value in never for word in ("--set", value)))
    log, deadline = folder / "run" / "log.csv", time.monotonic() + 120
    while time.monotonic() < deadline and not (log.exists() and ",loss," in log.read_text(encoding="utf-8")):
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)

    # Both exchange their state every ten steps, so that neither waits for a process that has ended.
    assert process.returncode != 0
    assert states_of(folder, "run")["step"] % 10 == 0
    assert states_of(folder, "run")["step"] >= 50
