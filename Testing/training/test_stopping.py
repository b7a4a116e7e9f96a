"""A run that stops on request, with a loss of NaN, or on a full disk, and its checkpoint."""

import dataclasses
import os
import signal

import pytest
import torch
from training.runs import logged, losses_of, phantom_case, tiny_config, trainer_of

from ArSSRLib.errors import ArSSRError, CheckpointError, OutputError
from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.training.checkpoints import FINAL, LAST
from ArSSRLib.training.loop import NAN_BATCH


@pytest.fixture
def config(tmp_path):
    return tiny_config(tmp_path)


# --- stopped


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_its_step_and_it_can_go_on(config, number, monkeypatch):
    expected = losses_of(trainer_of(config), 12)
    trainer = trainer_of(config)
    draw = trainer.sampler.draw

    def interrupted(step):
        if step == 5:
            os.kill(os.getpid(), number)
        return draw(step)

    monkeypatch.setattr(trainer.sampler, "draw", interrupted)
    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]

    assert trainer.fit(progress=False) == number
    assert trainer.step == 6
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert not (config.output / FINAL).exists()
    second = trainer_of(config)
    second.resume()
    assert losses_of(second, 6) == expected[6:]


def test_a_signal_during_validation_leaves_it_for_the_resumed_run(config):
    config = dataclasses.replace(config, validate_every=6)
    trainer = trainer_of(config, [phantom_case(), phantom_case()])
    validate = trainer.validate

    def interrupted(received):
        received.append(signal.SIGTERM)
        return validate(received)

    trainer.validate = interrupted
    assert trainer.fit(progress=False) == signal.SIGTERM
    assert (trainer.step, trainer.validated) == (6, 0)
    second = trainer_of(config, [phantom_case()])
    second.resume()
    second.fit(progress=False)

    assert list(logged(config, "mean")) == [6, 12]


def test_a_loss_that_is_not_a_number_stops_and_saves_its_batch(config, monkeypatch):
    config = dataclasses.replace(config, checkpoint_every=4)
    trainer = trainer_of(config)
    step = trainer.train_step

    def poisoned(batch):
        if trainer.step == 6:
            with torch.no_grad():
                trainer.model.output.bias.fill_(float("nan"))
        return step(batch)

    monkeypatch.setattr(trainer, "train_step", poisoned)

    with pytest.raises(ArSSRError, match=r"step 6 .*is not a number.*smaller learning_rate"):
        trainer.fit(progress=False)

    saved = torch.load(config.output / NAN_BATCH, weights_only=True)
    assert saved["step"] == 6
    torch.testing.assert_close(saved["batches"], [vars(trainer.sampler.draw(6))], rtol=0, atol=0)
    # The previous checkpoint is kept, because a run cannot resume from weights with NaN.
    assert torch.load(config.output / LAST, weights_only=True)["step"] == 4


def test_a_gradient_that_is_not_a_number_stops_too(config, monkeypatch):
    trainer = trainer_of(config)
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(float("nan")))

    with pytest.raises(ArSSRError, match="step 0 "):
        trainer.fit(progress=False)


# --- checkpoints


def test_a_full_disk_leaves_the_checkpoint_before_it(config):
    resource = pytest.importorskip("resource")
    trainer = trainer_of(config)
    losses_of(trainer, 2)
    config.output.mkdir()
    trainer.save()
    before = (config.output / LAST).read_bytes()
    losses_of(trainer, 1)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))  # the system refuses to write more
    try:
        with pytest.raises(OutputError, match=r"step 3 cannot be saved .*previous checkpoint is intact.*--resume"):
            trainer.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert (config.output / LAST).read_bytes() == before
    assert [path.name for path in config.output.iterdir()] == [LAST]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"model": ArSSR2Config(channels=16, blocks=1, feature_channels=8)}, r"model\.channels: 8, now 16"),
        ({"seed": 1}, "seed: 0, now 1"),
        ({"scale_range": (2.0, 3.0)}, r"scale_range: \[1.25, 4.25\], now \[2.0, 3.0\]"),
        ({"batch_items": 3}, "items per step over all processes: 2, now 3"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_with_what_differs(config, changes, found):
    trainer = trainer_of(config)
    config.output.mkdir()
    trainer.save()

    with pytest.raises(CheckpointError, match=f"belongs to another run: .*{found}"):
        trainer_of(dataclasses.replace(config, **changes)).resume()


def test_a_state_older_than_a_key_of_the_recipe_uses_its_default(config):
    config.output.mkdir()
    trainer_of(config).save()
    state = torch.load(config.output / LAST, weights_only=True)
    del state["recipe"]["unknown_profile_weights"]
    torch.save(state, config.output / LAST)

    trainer_of(config).resume()

    with pytest.raises(CheckpointError, match=r"unknown_profile_weights: \[\], now \[1.0, 0.0, 0.0, 0.0\]"):
        trainer_of(dataclasses.replace(config, unknown_profile_weights=(1.0, 0.0, 0.0, 0.0))).resume()


def test_a_checkpoint_of_other_training_volumes_is_refused(config):
    config.output.mkdir()
    trainer_of(config, data="one").save()

    with pytest.raises(CheckpointError, match="the voxels of the training volumes"):
        trainer_of(config, data="two").resume()


def test_values_of_a_run_can_be_changed_when_it_is_resumed(config):
    config.output.mkdir()
    trainer_of(config).save()

    trainer_of(dataclasses.replace(config, steps=99, learning_rate=1e-5, checkpoint_every=7)).resume()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "nothing to continue"), (b"not a checkpoint", "without --resume"), ({"step": 3}, "--init")],
)
def test_a_file_that_is_no_checkpoint_is_refused_with_a_message(config, content, reason):
    config.output.mkdir()
    if isinstance(content, bytes):
        (config.output / LAST).write_bytes(content)
    elif content:
        torch.save(content, config.output / LAST)

    with pytest.raises(CheckpointError, match=reason):
        trainer_of(config).resume()
