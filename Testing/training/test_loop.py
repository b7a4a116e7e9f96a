"""A run of a few steps on a phantom: it learns, is saved, and continues as if it had never stopped."""

import dataclasses
import re

import pytest
import torch
from training.runs import TINY_PUBLISHED, logged, losses_of, phantom_case, rough_grids, tiny_config, trainer_of

from ArSSRLib.checkpoint import load_model
from ArSSRLib.errors import InputError
from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.model.registry import build_model
from ArSSRLib.training.checkpoints import BEST, FINAL, LAST
from ArSSRLib.training.losses import learning_rate, relative_loss

PUBLISHED = {
    "model": TINY_PUBLISHED,
    "coordinates": "patch",
    "alignment": "endpoints",
    "degradation": "cubic",
    "augmentation": False,
    "loss": "l1",
    "schedule": "halving",
    "halve_every": 3,
    "gradient_clip": 0.0,
    "ema_decay": 0.0,
}
OPTIONS = {
    "ours": {},
    "published": PUBLISHED,
    "bf16": {"precision": "bf16"},
    "all augmentations": {"gamma_share": 0.5, "curve_share": 0.5, "bias_share": 1.0, "noise_share": 1.0},
    "volume coordinates": {**PUBLISHED, "coordinates": "volume"},
    "self-supervised": {"self_supervised": True},
    "muon": {"optimizer": "muon"},
    "slices of different brightness": {"isotropic_share": 0.0, "thick_share": 1.0, "jitter_share": 1.0},
}


@pytest.fixture
def config(tmp_path):
    return tiny_config(tmp_path)


@pytest.mark.parametrize(
    "options",
    [{}, {"optimizer": "muon"}, {**PUBLISHED, "halve_every": 1000, "seed": 1}],
    ids=["ours", "muon", "published"],
)
def test_steps_on_one_batch_lower_its_loss(config, options):
    # Seed 1, because with seed 0, the last rectifier of the published network returns 0 everywhere.
    trainer = trainer_of(dataclasses.replace(config, learning_rate=3e-3, steps=1000, **options))
    batch = trainer.sampler.draw(0)

    losses = [float(trainer.train_step(batch)[0]) for _ in range(60)]

    assert losses[-1] < 0.97 * losses[0]


def test_a_new_model_loses_exactly_as_much_as_cubic(config):
    trainer = trainer_of(dataclasses.replace(config, squared_share=0.0))
    # Coarse enough that no item is below the lower limit of the weighting.
    loss, ratio, _ = trainer.train_step(trainer.sampler.draw(0)).tolist()

    assert loss == pytest.approx(1.0, abs=1e-4)
    assert ratio == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_resumed_run_computes_the_losses_of_an_uninterrupted_one(config, options):
    config = dataclasses.replace(config, **options)
    grids = rough_grids((12, 30, 32), spacing=(3.0, 1.0, 1.0))
    uninterrupted = trainer_of(config, grids=grids)
    expected = losses_of(uninterrupted, 8)
    first = trainer_of(config, grids=grids)
    before = losses_of(first, 4)
    config.output.mkdir()
    first.save()
    torch.manual_seed(77)  # a new process has a different global state
    second = trainer_of(config, grids=grids)
    second.resume()

    assert before + losses_of(second, 4) == expected
    torch.testing.assert_close(second.state()["average"], uninterrupted.state()["average"], rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # of PyTorch's own tracer
@pytest.mark.parametrize("options", [{}, PUBLISHED], ids=["ours", "published"])
def test_a_compiled_network_computes_what_it_computes_plainly(config, options, traced):
    config = dataclasses.replace(config, **options)
    expected = losses_of(trainer_of(config), 3)

    trainer = trainer_of(dataclasses.replace(config, compile=True))

    assert losses_of(trainer, 3) == pytest.approx(expected, rel=1e-5)
    assert traced
    assert trainer.model.state_dict().keys() == trainer_of(config).model.state_dict().keys()


@pytest.mark.parametrize("decay", [0.9, 0.0])
def test_the_averaged_weights_are_the_exponential_mean_of_the_steps(config, decay):
    trainer = trainer_of(dataclasses.replace(config, ema_decay=decay))
    history = []
    for _ in range(3):
        losses_of(trainer, 1)
        history.append(trainer.model.output.weight.detach().clone())
    expected = history[0]
    for weights in history[1:]:
        expected = decay * expected + (1 - decay) * weights

    torch.testing.assert_close(trainer.average.output.weight, expected)


def test_fit_leaves_a_checkpoint_a_log_and_weights_that_load(config):
    trainer = trainer_of(config, [phantom_case()])

    assert trainer.fit(progress=False) is None

    for name in (BEST, FINAL):
        assert load_model(config.output / name).config == config.model
    torch.testing.assert_close(load_model(config.output / FINAL).state_dict(), trainer.average.state_dict())
    assert list(logged(config, "2x2x2 point")) == [12]
    assert sorted(path.name for path in config.output.iterdir() if path.is_file()) == sorted(
        [BEST, FINAL, LAST, "log.csv"]
    )


def test_the_best_weights_are_kept_when_later_ones_are_worse(config):
    trainer = trainer_of(dataclasses.replace(config, validate_every=4), [phantom_case()])
    trainer.fit(progress=False)
    best, at = trainer.best, (config.output / BEST).read_bytes()
    with torch.no_grad():
        trainer.average.output.bias.fill_(1.0)

    assert trainer.validate()["mean"] < best
    assert (trainer.best, (config.output / BEST).read_bytes()) == (best, at)


def test_the_log_contains_costs_and_gain_over_cubic(config):
    trainer_of(config).fit(progress=False)

    for name in ("loss", "dB over cubic", "patches/s", "batch ms", "step ms", "gradient norm", "learning rate"):
        assert list(logged(config, name)) == [12]
    assert logged(config, "dB over cubic")[12] == pytest.approx(0, abs=1)
    patches = 1000 * 2 / (logged(config, "batch ms")[12] + logged(config, "step ms")[12])
    assert logged(config, "patches/s")[12] == pytest.approx(patches, rel=0.02)


def test_the_progress_line_shows_loss_gain_speed_and_costs(config, capsys):
    trainer_of(config).fit()

    line = capsys.readouterr().err.split("\r")[-1]
    assert re.search(
        r"12/12 .*loss \d\.\d+, [+-]\d\.\d+ dB over cubic, [\d.e+]+ steps/s, [\d.]+ patches/s, "
        r"batch \d+ ms, step \d+ ms",
        line,
    )


def test_a_resumed_run_discards_the_log_after_its_checkpoint(config):
    config = dataclasses.replace(config, checkpoint_every=4)
    trainer_of(config).fit(progress=False)
    whole = logged(config, "loss")
    with (config.output / "log.csv").open("a", encoding="utf-8") as file:
        file.write("15,1,loss,0.5\n")
    second = trainer_of(dataclasses.replace(config, steps=16))
    second.resume()
    second.fit(progress=False)

    assert list(whole) == [4, 8, 12]
    assert list(logged(config, "loss")) == [4, 8, 12, 16]


def test_tensorboard_shows_the_curves(config):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trainer_of(config).fit(progress=False)

    events = accumulator.EventAccumulator(str(config.output / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [12]
    assert events.Scalars("loss")[0].value == pytest.approx(logged(config, "loss")[12])


def test_training_does_without_tensorboard(config, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)

    trainer_of(config).fit(progress=False)

    assert list(logged(config, "loss")) == [12]
    assert not (config.output / "tensorboard").exists()


# --- initial weights


def test_a_run_begins_with_the_weights_it_is_given(config):
    torch.manual_seed(5)
    initial = build_model(config.model)
    with torch.no_grad():
        initial.output.bias.fill_(0.25)

    trainer = trainer_of(config, initial=initial)

    torch.testing.assert_close(trainer.model.state_dict(), initial.state_dict())
    torch.testing.assert_close(trainer.average.state_dict(), initial.state_dict())


def test_weights_of_another_architecture_are_refused(config):
    with pytest.raises(InputError, match='"channels": 16'):
        trainer_of(config, initial=build_model(ArSSR2Config(channels=16, blocks=1)))


# --- schedule and loss


def test_the_learning_rate_rises_holds_and_falls_to_zero(config):
    config = dataclasses.replace(config, steps=1000, warm_up_steps=100, hold_share=0.5, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in (0, 50, 99, 300, 540, 775, 1000)]

    assert rates == pytest.approx([0.01, 0.51, 1.0, 1.0, 1.0, 0.5, 0.0], abs=0.01)


def test_the_loss_weighs_items_by_their_cubic_error():
    truth = torch.zeros(2, 100)
    cubic = torch.stack([torch.full((100,), 0.1), torch.full((100,), 0.02)])

    assert float(relative_loss(cubic / 2, truth, cubic, 0.5)) == pytest.approx(0.5, abs=1e-4)


def test_the_published_loss_is_the_mean_absolute_error(config):
    trainer = trainer_of(dataclasses.replace(config, loss="l1"))
    batch = trainer.sampler.draw(0)
    with torch.no_grad():
        told = Conditioning(batch.scale)
        result = trainer.model.query(trainer.model.encode(batch.coarse, told), batch.coordinates, told)

    assert float(trainer.train_step(batch)[0]) == pytest.approx(float((result - batch.truth).abs().mean()))
