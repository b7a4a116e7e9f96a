"""A run of a few steps on a phantom: it learns, it is saved, it goes on as if it had never stopped."""

import dataclasses

import numpy as np
import pytest
import torch

from ArSSRLib.checkpoint import load_model
from ArSSRLib.errors import ArSSRError, CheckpointError
from ArSSRLib.model.config import ArSSR2Config
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.dataset import BatchSampler, TrainingVolume
from ArSSRLib.training.loop import BEST, LAST, NAN_BATCH, Trainer, learning_rate, relative_loss
from ArSSRLib.training.validation import make_case


@pytest.fixture
def config(tmp_path):
    return TrainingConfig(
        training_data=tmp_path,
        validation_data=tmp_path,
        output=tmp_path / "run",
        model=ArSSR2Config(channels=8, blocks=1, feature_channels=8, decoder_layers=2),
        target_spacings=(0.0,),
        target_weights=(1.0,),
        batch_items=2,
        patch_size=6,
        margin=1,
        points=200,
        steps=12,
        warm_up_steps=2,
        validate_every=1000,
        checkpoint_every=1000,
    )


def trainer_of(config, cases=()):
    torch.manual_seed(0)
    stored = (8000 * torch.rand((30, 32, 28))).to(torch.int16)
    grids = [[TrainingVolume("phantom", stored, torch.nonzero(stored > 100)[::50])]]
    return Trainer(config, BatchSampler(grids, config), list(cases), torch.device("cpu"))


def losses_of(trainer, count):
    return [float(trainer.train_step(trainer.sampler.draw())) for _ in range(count)]


def test_steps_on_one_batch_lower_its_loss(config):
    trainer = trainer_of(dataclasses.replace(config, learning_rate=3e-3, steps=1000))
    batch = trainer.sampler.draw()

    losses = [float(trainer.train_step(batch)) for _ in range(60)]

    assert losses[-1] < 0.97 * losses[0]


def test_a_new_model_loses_exactly_as_much_as_cubic(config):
    trainer = trainer_of(dataclasses.replace(config, squared_share=0.0))
    # Coarse enough that no item falls below the floor of the weighting.
    assert losses_of(trainer, 1)[0] == pytest.approx(1.0, abs=1e-4)


def test_a_resumed_run_computes_the_losses_of_an_uninterrupted_one(config):
    uninterrupted = losses_of(trainer_of(config), 10)
    first = trainer_of(config)
    before = losses_of(first, 4)
    config.output.mkdir()
    first.save()
    torch.manual_seed(77)  # a new process has another global state
    second = trainer_of(config)
    second.resume()

    assert before + losses_of(second, 6) == uninterrupted


def test_the_averaged_weights_are_the_exponential_mean_of_the_steps(config):
    trainer = trainer_of(dataclasses.replace(config, ema_decay=0.9))
    history = []
    for _ in range(3):
        losses_of(trainer, 1)
        history.append(trainer.model.output.weight.detach().clone())
    expected = history[0]
    for weights in history[1:]:
        expected = 0.9 * expected + 0.1 * weights

    torch.testing.assert_close(trainer.average.module.output.weight, expected)


def test_fit_leaves_a_checkpoint_a_log_and_weights_that_load(config):
    rng = np.random.default_rng(0)
    truth = rng.random((16, 18, 14), dtype=np.float32)
    cases = [make_case("phantom", truth, (2.0, 2.0, 2.0), "point")]
    trainer = trainer_of(config, cases)

    trainer.fit(progress=False)

    model = load_model(config.output / BEST)
    assert model.config == config.model
    assert (config.output / LAST).exists()
    assert "2x2x2 point" in (config.output / "log.csv").read_text(encoding="utf-8")
    assert not list(config.output.glob("*.tmp"))


def test_a_checkpoint_of_another_architecture_is_refused(config):
    trainer = trainer_of(config)
    config.output.mkdir()
    trainer.save()
    other = dataclasses.replace(config, model=ArSSR2Config(channels=16, blocks=1, feature_channels=8))

    with pytest.raises(CheckpointError, match="was trained with"):
        trainer_of(other).resume()


def test_a_damaged_checkpoint_is_refused_in_words(config):
    config.output.mkdir()
    (config.output / LAST).write_bytes(b"not a checkpoint")

    with pytest.raises(CheckpointError, match="without --resume"):
        trainer_of(config).resume()


def test_a_loss_that_is_not_a_number_stops_and_saves_the_batch(config, monkeypatch):
    monkeypatch.setattr("ArSSRLib.training.loop.LOG_EVERY", 1)
    trainer = trainer_of(config)
    with torch.no_grad():
        trainer.model.output.bias.fill_(float("nan"))

    with pytest.raises(ArSSRError, match="smaller learning_rate"):
        trainer.fit(progress=False)

    saved = torch.load(config.output / NAN_BATCH, weights_only=True)
    assert saved["coarse"].shape == (2, 1, 6, 6, 6)


def test_the_learning_rate_rises_holds_and_falls_to_zero(config):
    config = dataclasses.replace(config, steps=1000, warm_up_steps=100, hold_share=0.5, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in (0, 50, 99, 300, 540, 775, 1000)]

    assert rates == pytest.approx([0.01, 0.51, 1.0, 1.0, 1.0, 0.5, 0.0], abs=0.01)


def test_the_loss_weighs_items_by_their_cubic_error():
    truth = torch.zeros(2, 100)
    cubic = torch.stack([torch.full((100,), 0.1), torch.full((100,), 0.02)])

    assert float(relative_loss(cubic / 2, truth, cubic, 0.5)) == pytest.approx(0.5, abs=1e-4)
