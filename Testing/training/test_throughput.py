"""The reported speed of a run: operations per step, share of the peak, and a warm-up that does not count."""

from __future__ import annotations

import dataclasses
import math
import time

import pytest
from gpu.scaling import scaled
from training.runs import CPU, TINY, tiny_config, trainer_of

from ArSSRLib.model.registry import build_model
from ArSSRLib.training.throughput import WARM_UP_STEPS, Pace, step_operations


def test_the_operations_are_three_passes_through_convolutions_and_decoder(tmp_path):
    config = tiny_config(tmp_path, batch_items=2, patch_size=6, model=TINY)
    model = build_model(config.model)

    encoder = model.head.weight.numel() + 2 * 8 * 8 * 27 + 8 * 8 * 27
    decoder = sum(layer.weight.numel() for layer in (*model.hidden, model.output))
    assert step_operations(model, config, 100) == 3 * 2 * 2 * (216 * encoder + 100 * decoder)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # of PyTorch's own tracer
def test_a_run_that_compiles_reports_its_warm_up_separately(tmp_path, traced):
    trainer = trainer_of(tiny_config(tmp_path, compile=True, steps=6))

    trainer.fit(progress=False)

    assert not trainer.pace.is_cold
    assert 0 < trainer.pace.warm_up_seconds < trainer.seconds
    assert trainer.pace.words.startswith(f"warm-up: {WARM_UP_STEPS} steps in ")


def test_a_run_on_the_cpu_that_does_not_compile_has_none(tmp_path):
    assert not trainer_of(tiny_config(tmp_path)).pace.is_cold


def test_the_last_step_of_the_warm_up_is_reported(tmp_path):
    config = tiny_config(tmp_path, compile=True)
    pace = Pace(build_model(config.model), config, CPU)

    assert [pace.warm_up(time.monotonic()) for _ in range(WARM_UP_STEPS)] == [False, False, True]


def test_the_share_of_the_peak_is_operations_times_rate(tmp_path, monkeypatch):
    monkeypatch.setattr("ArSSRLib.training.throughput.peak_operations", lambda device, precision: 1e12)
    config = tiny_config(tmp_path)
    model = build_model(config.model)

    shown = Pace(model, config, CPU).share_of_peak({"steps/s": 5.0})

    assert shown["% of peak"] == pytest.approx(100 * 5 * step_operations(model, config, config.points) / 1e12, abs=0.05)
    assert Pace(model, config, CPU).share_of_peak({}) == {}


def test_a_larger_batch_has_a_larger_learning_rate_by_the_root_and_a_shorter_average(tmp_path):
    config = tiny_config(tmp_path, batch_items=6, learning_rate=1e-3, ema_decay=0.999)

    larger = scaled(config, 24)

    assert larger == dataclasses.replace(config, batch_items=24, learning_rate=2e-3, ema_decay=larger.ema_decay)
    assert larger.ema_decay == pytest.approx(0.996)
    assert scaled(config, 6) == config
    assert scaled(config, 600).learning_rate == pytest.approx(4e-3)
    assert scaled(config, 3).learning_rate == pytest.approx(1e-3 / math.sqrt(2))
