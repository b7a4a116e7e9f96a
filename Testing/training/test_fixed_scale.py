"""Fixed-scale networks are trained like all others: their loss falls, they resume exactly, and they are validated."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from training.runs import (
    logged,
    losses_of,
    phantom_case,
    rough_grids,
    smooth_array,
    tiny_config,
    trainer_of,
    write_phantom,
)
from training.test_recipes import FOLDER, written

from ArSSRLib.checkpoint import load_model
from ArSSRLib.cli import main
from ArSSRLib.errors import ArSSRError
from ArSSRLib.model.fixed_scale import FixedScaleConfig
from ArSSRLib.model.registry import build_model
from ArSSRLib.training.checkpoints import FINAL
from ArSSRLib.training.config import fixed_scale_values
from ArSSRLib.training.dataset import BatchSampler
from ArSSRLib.training.losses import cubic_at
from ArSSRLib.training.recipe import config_from_table, read_recipe, table_of
from ArSSRLib.training.validation import settings_for

KINDS = ["srcnn3d", "dcsrn", "rescnn"]
RECIPE = """
training_data = "train"
validation_data = "val"
output = "run"
cache = "cache"
target_spacings = [0.0]
target_weights = [1.0]
batch_items = 1
patch_size = 4
margin = 0
points = 64
steps = 3
warm_up_steps = 1
loss = "l1"

[model]
kind = "dcsrn"
"""


def config_of(folder, kind="dcsrn", scale=2.0, **changes):
    """Return the smallest training set for a fixed-scale network: 8^3 fine voxels per patch at scale 2."""
    model = FixedScaleConfig(kind=kind, scale=scale)
    smallest = {"batch_items": 1, "patch_size": 4, "points": 100, "loss": "l1", "steps": 1000}
    return dataclasses.replace(
        tiny_config(folder), **{"model": model, **fixed_scale_values(model.scale), **smallest, **changes}
    )


@pytest.mark.parametrize("kind", KINDS)
def test_steps_on_one_batch_lower_its_loss(tmp_path, kind):
    trainer = trainer_of(config_of(tmp_path, kind, learning_rate=2e-4))
    batch = trainer.sampler.draw(0)

    losses = [float(trainer.train_step(batch)[0]) for _ in range(15)]

    assert losses[-1] < 0.97 * losses[0]


@pytest.mark.parametrize("changes", [{"scale": 2.5}, {"scale": 2.2, "patch_size": 7}, {"margin": 0, "batch_items": 3}])
def test_every_point_has_the_fine_voxel_of_its_truth(tmp_path, changes):
    config = config_of(tmp_path, "srcnn3d", **changes)
    model = build_model(config.model)
    model.network.forward = lambda volume: volume
    batch = BatchSampler(rough_grids(), config).draw(0)

    found = model.query(model.encode(batch.coarse), batch.coordinates)

    torch.testing.assert_close(found, cubic_at(batch), rtol=0, atol=1e-4)


def test_a_resumed_run_computes_the_losses_of_an_uninterrupted_one(tmp_path):
    config = config_of(tmp_path, "dcsrn")
    uninterrupted, first = trainer_of(config), trainer_of(config)
    expected = losses_of(uninterrupted, 6)
    before = losses_of(first, 3)
    config.output.mkdir()
    first.save()
    torch.manual_seed(77)
    second = trainer_of(config)
    second.resume()

    assert before + losses_of(second, 3) == expected
    for name in ("model", "average"):
        torch.testing.assert_close(second.state()[name], uninterrupted.state()[name], rtol=0, atol=0)


def test_a_step_in_half_precision_is_about_that_in_full(tmp_path):
    full, half = (trainer_of(config_of(tmp_path, "rescnn", precision=precision)) for precision in ("fp32", "bf16"))

    # Before the first step, the residual is zero in both.
    expected, found = losses_of(full, 3), losses_of(half, 3)

    assert found != expected
    assert found == pytest.approx(expected, rel=0.02)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # of PyTorch's own tracer
def test_a_compiled_network_computes_what_it_computes_plainly(tmp_path, traced):
    expected = losses_of(trainer_of(config_of(tmp_path, "dcsrn")), 2)

    trainer = trainer_of(config_of(tmp_path, "dcsrn", compile=True))

    assert losses_of(trainer, 2) == pytest.approx(expected, rel=1e-5)
    assert traced


def test_the_statistics_of_normalization_are_averaged_as_the_weights_are(tmp_path):
    trainer = trainer_of(config_of(tmp_path, "dcsrn", ema_decay=0.9))
    history = []
    for _ in range(3):
        losses_of(trainer, 1)
        history.append(trainer.model.network.units[2].norm.running_mean.clone())
    expected = history[0]
    for mean in history[1:]:
        expected = 0.9 * expected + 0.1 * mean

    assert not torch.equal(history[0], history[2])
    torch.testing.assert_close(trainer.average.network.units[2].norm.running_mean, expected)


def test_judging_leaves_the_statistics_of_the_averaged_weights_alone(tmp_path):
    trainer = trainer_of(config_of(tmp_path, "dcsrn"), [phantom_case()])
    losses_of(trainer, 2)
    trainer.config.output.mkdir()
    before = copy.deepcopy(trainer.average.state_dict())

    trainer.validate()

    torch.testing.assert_close(trainer.average.state_dict(), before, rtol=0, atol=0)


def test_a_run_from_recipe_to_weights_is_judged_at_its_own_scale(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_phantom(tmp_path / "train" / "a.nrrd", smooth_array((14, 16, 15), 1.0))
    write_phantom(tmp_path / "val" / "c.nrrd", smooth_array((16, 18, 14), 1.0, seed=3))

    options = ["--set", "model.scale=2.5", "--no-progress", "--device", "cpu"]
    assert main(["train", str(written(tmp_path, RECIPE)), *options]) == 0

    assert load_model(tmp_path / "run" / FINAL).config == FixedScaleConfig(kind="dcsrn", scale=2.5)
    config = dataclasses.replace(tiny_config(tmp_path), output=tmp_path / "run")
    assert [list(logged(config, f"2.5x2.5x2.5 {profile}")) for profile in ("point", "gaussian")] == [[3], [3]]
    assert len(settings_for(FixedScaleConfig(scale=2.5))) == 2


def test_a_volume_that_a_patch_does_not_fit_into_at_the_scale_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_phantom(tmp_path / "train" / "a.nrrd", smooth_array((14, 16, 15), 1.0))

    assert main(["train", str(written(tmp_path, RECIPE)), "--set", "model.scale=4", "--set", "validation_data="]) == 2

    assert (
        "a.nrrd has 15 x 16 x 14 voxels, fewer than a patch_size of 4 at scale 4, which is 16"
        in capsys.readouterr().err
    )


# --- recipes


@pytest.mark.parametrize("kind", KINDS)
def test_the_scale_of_a_shipped_recipe_is_one_key(kind):
    config = read_recipe(FOLDER / f"{kind}.toml", ["model.scale=3.5"])

    assert (config.model.kind, config.model.scale, config.scale_range) == (kind, 3.5, (3.5, 3.5))
    assert (config.isotropic_share, config.thick_share, config.whole_scale_share) == (1.0, 0.0, 0.0)
    assert config_from_table(table_of(config), origin="test") == config


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (
            ["scale_range=[2, 4]"],
            r"scale_range = \[2.0, 4.0\] is not valid; expected \[2.0, 2.0\] for",
        ),
        (["thick_share=0.1", "isotropic_share=0.9"], "isotropic_share = 0.9 is not valid; expected 1.0"),
        (["whole_scale_share=0.5"], "whole_scale_share = 0.5 is not valid; expected 0.0"),
        (["model.scale=0"], "scale is 0.0; choose a value from 1.0 to 16.0"),
        (["precision=bf16"], 'expected "fp32" for a network of kind srcnn3d'),
        (["coordinates=volume"], 'expected "relative"'),
        (["self_supervised=true", "target_spacings=[0]", "target_weights=[1]"], "self_supervised = true is not valid"),
        (["alignment=endpoints", "model.scale=2.2"], "a whole number when multiplied by 2.2"),
    ],
)
def test_a_recipe_that_does_not_fit_one_scale_is_refused_by_name(overrides, reason):
    with pytest.raises(ArSSRError, match=reason):
        read_recipe(FOLDER / "srcnn3d.toml", overrides)
