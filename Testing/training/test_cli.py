"""arssr train from a recipe and files to weights, and its exit codes."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from training.runs import TINY_PUBLISHED, smooth_array, write_phantom
from training.test_processes import RECIPE, ROOT

from ArSSRLib.checkpoint import load_model, registry, save_model
from ArSSRLib.cli import main
from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.model.registry import build_model
from ArSSRLib.training.checkpoints import BEST, FINAL, LAST

TRAIN = ["train", "recipe.toml", "--no-progress", "--device", "cpu"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_phantom(tmp_path / "train" / "a.nrrd", smooth_array((24, 26, 28), 1.0))
    write_phantom(tmp_path / "val" / "c.nrrd", smooth_array((16, 18, 14), 1.0, seed=3))
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


def without_model(folder):
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.partition("[model]")[0], encoding="utf-8")


def test_a_run_from_recipe_to_weights(folder, capsys):
    assert main(TRAIN) == 0

    assert load_model(folder / "run" / BEST).config.channels == 8
    assert load_model(folder / "run" / FINAL).config.channels == 8
    assert "6 of 6 steps" in capsys.readouterr().out


def test_a_run_without_validation_leaves_the_weights_of_its_last_step(folder):
    assert main([*TRAIN, "--set", 'validation_data=""']) == 0

    state = torch.load(folder / "run" / LAST, weights_only=True)
    torch.testing.assert_close(load_model(folder / "run" / FINAL).state_dict(), state["average"])
    assert not (folder / "run" / BEST).exists()


def test_a_table_of_splits_replaces_two_folders(folder):
    (folder / "data.csv").write_text("path,split\ntrain/a.nrrd,train\nval/c.nrrd,val\n", encoding="utf-8")

    assert main([*TRAIN, "--set", "training_data=data.csv", "--set", "validation_data=data.csv"]) == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--set", "validation_data=train"], "a.nrrd is in both"),
        (["--set", "training_data=nowhere"], "nowhere: cannot be listed"),
        (["--set", "scale_range=[0.5, 2]"], "scale_range"),
        (["--set", "patch_size=30", "--set", "margin=2"], "a.nrrd has 28 x 26 x 24 voxels"),
        (["--resume"], "nothing to continue"),
        (["--init", "nobody"], 'There is no model "nobody"'),
        (["--device", "cuda:99"], "cuda"),
        (["--init", "arssr2", "--set", "model.channels=9"], "model.channels=9 cannot be set with --init"),
        (["--init", "arssr2", "--set", "model.blocks=3"], "have 6 residual blocks, but model.blocks = 3 is fewer"),
    ],
)
def test_an_impossible_training_is_refused_before_the_first_step(folder, capsys, arguments, reason):
    assert main([*TRAIN, *arguments]) == 2

    assert reason in capsys.readouterr().err
    assert not (folder / "run").exists()


def test_a_run_is_never_begun_over_another(folder, capsys):
    main(TRAIN)

    assert main(TRAIN) == 2
    assert "already contains a run; continue it with --resume" in capsys.readouterr().err


# --- fine-tuning


@pytest.mark.parametrize("config", [ArSSR2Config(channels=8, blocks=2, feature_channels=16), TINY_PUBLISHED])
def test_fine_tuning_takes_architecture_and_weights_from_a_file(folder, config):
    without_model(folder)
    torch.manual_seed(3)
    initial = build_model(config)
    save_model(initial, folder / "initial.safetensors", metadata={})
    coordinates = "relative" if config.kind == "arssr2" else "volume"

    # With a tiny learning rate, the weights remain the initial ones.
    arguments = ["--init", "initial.safetensors", "--set", "learning_rate=1e-30", "--set", f"coordinates={coordinates}"]
    assert main([*TRAIN, *arguments]) == 0

    tuned = load_model(folder / "run" / FINAL)
    assert tuned.config == config
    torch.testing.assert_close(tuned.state_dict(), initial.state_dict())


def test_fine_tuning_knows_the_bundled_models_by_name(folder):
    name = registry()[0].name

    assert main([*TRAIN, "--init", name, "--set", "steps=3", "--set", 'validation_data=""']) == 0

    bundled, tuned = load_model(name), load_model(folder / "run" / FINAL)
    assert tuned.config == bundled.config
    moved = [float((a - b).detach().abs().max()) for a, b in zip(tuned.parameters(), bundled.parameters(), strict=True)]
    assert 0 < max(moved) < 0.02


def test_the_documented_recipe_trains_its_own_kind_of_network_from_the_weights_of_another(folder):
    recipe = str(ROOT / "ArSSRLib" / "training" / "recipes" / "arssr3_cpu.toml")
    places = ["training_data=train", "validation_data=''", "output=run"]
    tiny = ["steps=2", "warm_up_steps=0", "batch_items=2", "patch_size=8", "block_voxels=1000"]
    grid = ["target_spacings=[0.0]", "target_weights=[1.0]"]
    arguments = [word for value in [*places, *tiny, *grid] for word in ("--set", value)]

    assert main(["train", recipe, *TRAIN[2:], "--init", "arssr2", *arguments]) == 0

    bundled, tuned = load_model("arssr2").config, load_model(folder / "run" / FINAL).config
    assert tuned.kind == "arssr3"
    assert dataclasses.asdict(bundled).items() - {("kind", "arssr2")} <= dataclasses.asdict(tuned).items()


def test_fine_tuning_continues_where_it_stopped(folder):
    without_model(folder)
    save_model(build_model(ArSSR2Config(channels=8, blocks=1)), folder / "initial.safetensors", metadata={})
    tune = [*TRAIN, "--init", "initial.safetensors"]
    assert main([*tune, "--set", "output=whole"]) == 0
    assert main([*tune, "--set", "steps=3", "--set", "hold_share=1"]) == 0

    assert main([*tune, "--resume"]) == 0

    whole, resumed = (torch.load(folder / name / LAST, weights_only=True)["model"] for name in ("whole", "run"))
    torch.testing.assert_close(resumed, whole, rtol=0, atol=0)


def test_a_deeper_network_begins_with_the_weights_of_a_smaller_one(folder):
    without_model(folder)
    initial = build_model(ArSSR2Config(channels=8, blocks=1))
    save_model(initial, folder / "initial.safetensors", metadata={})
    deeper = ["--init", "initial.safetensors", "--set", "model.blocks=3", "--set", "learning_rate=1e-30"]

    assert main([*TRAIN, *deeper]) == 0

    tuned = load_model(folder / "run" / FINAL)
    assert tuned.config.blocks == 3
    torch.testing.assert_close(tuned.blocks[0].state_dict(), initial.blocks[0].state_dict())


def test_a_volume_with_thick_slices_suffices_for_training(folder):
    write_phantom(folder / "thick" / "t2.nrrd", smooth_array((10, 40, 44), 1.0), spacing=(1.0, 1.0, 4.0))
    arguments = ["self_supervised=true", "training_data=thick", 'validation_data=""']

    assert main([*TRAIN, *(word for argument in arguments for word in ("--set", argument))]) == 0
    assert (folder / "run" / FINAL).exists()


# --- interruption


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_the_run_and_leaves_with_its_exit_code(folder, number, code):
    arguments = ["--set", "steps=1000000", "--set", "checkpoint_every=1000000", "--set", "validate_every=1000000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ArSSRLib", *TRAIN, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    log = folder / "run" / "log.csv"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (log.exists() and ",loss," in log.read_text(encoding="utf-8")):
        time.sleep(0.1)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)

    assert process.returncode == code
    assert "continue it with --resume" in said
    state = torch.load(folder / "run" / LAST, weights_only=True)
    assert state["step"] >= 50
    assert np.isfinite(state["model"]["output.bias"].item())
