"""Training within a time limit, which continues from states in parts that a lent machine can return."""

from __future__ import annotations

import time

import pytest
from training.runs import smooth_array, write_phantom

from ArSSRLib.checkpoint import load_model
from ArSSRLib.training.checkpoints import FINAL
from ArSSRLib.training.packing import pack
from gpu import parts, training
from gpu.run import RECIPE

OVERRIDES = ["model.channels=8", "model.blocks=1", "model.feature_channels=8"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """One packed volume to train on and one to validate on."""
    folder = tmp_path_factory.mktemp("data")
    for seed, split in enumerate(("train", "val")):
        path = write_phantom(folder / f"sub-{split}.nii.gz", smooth_array((28, 30, 26), 1.5, seed))
        (folder / split).mkdir()
        pack(path, folder / split / f"sub-{split}.npz", 0)
    return folder


@pytest.fixture
def train(data):
    def run(output, start_from, seconds=3.0, recipe=RECIPE, init="", overrides=OVERRIDES):
        told = []
        values = training.train(
            recipe=str(recipe),
            data=str(data),
            output=str(output),
            seconds=seconds,
            batch_items=4,
            sessions=1,
            start_from=str(start_from),
            init=str(init),
            overrides=[*overrides],
            tiny=True,
            tell=told.append,
        )
        return values, told

    return run


def test_training_ends_in_time_and_stores_state_and_weights(train, tmp_path):
    started = time.monotonic()
    values, told = train(tmp_path, tmp_path)

    # More time for the last step, the validation and the files on a busy machine.
    assert time.monotonic() - started < 3.0 + 15.0
    assert parts.joined(tmp_path) is not None
    assert (tmp_path / FINAL).exists()
    assert values["from step"] == 0
    assert told[-1]["step"] == values["step"] > 0
    assert values["steps/s"] > 0


def test_the_next_session_continues_from_the_parts_of_the_previous_one(train, tmp_path):
    first, _ = train(tmp_path / "first", tmp_path / "none")
    second, _ = train(tmp_path / "second", tmp_path / "first")

    assert second["from step"] == first["step"]
    assert second["step"] > first["step"]


def test_arssr3_starts_from_weights_of_arssr2_and_trains_on_blocks(train, tiny_weights, tmp_path):
    recipe = RECIPE.with_name("arssr3_cpu.toml")
    overrides = ["model.channels=4", "model.blocks=1", "model.feature_channels=8", "block_voxels=800"]

    values, _ = train(tmp_path, tmp_path, recipe=recipe, init=tiny_weights, overrides=overrides)

    assert values["step"] > 0
    assert load_model(tmp_path / FINAL).config.kind == "arssr3"


def test_a_step_on_the_device_has_the_same_loss_as_on_the_cpu():
    assert training.step(tiny=True)["right"]
