"""fit: steps, validation, checkpoints, resume.

The state of a run is its model, averaged model, optimizer, step and generator; with them a resumed run draws the same
batches and computes the same losses as one that was never interrupted.
"""

from __future__ import annotations

import csv
import logging
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from ArSSRLib.checkpoint import save_model
from ArSSRLib.coordinates import index_of
from ArSSRLib.errors import ArSSRError, CheckpointError
from ArSSRLib.interpolation import spline_at_points, spline_coefficients
from ArSSRLib.model.config import build_model, model_config_from_json, model_config_to_json
from ArSSRLib.training.config import TrainingConfig, table_of
from ArSSRLib.training.dataset import Batch, BatchSampler
from ArSSRLib.training.validation import Case, mean_gains, score_case

if TYPE_CHECKING:
    from ArSSRLib.model.config import SuperResolutionModel

logger = logging.getLogger(__name__)

LAST, BEST, LOG, NAN_BATCH = "last.pt", "best.safetensors", "log.csv", "nan_batch.pt"
# Below this error of cubic interpolation (in parts of the intensity range) an item is not weighed up any further.
SMALLEST_CUBIC_ERROR = 6e-3
LOG_EVERY = 50


def relative_loss(result: Tensor, truth: Tensor, cubic: Tensor, squared_share: float) -> Tensor:
    """Return the error of each item over that of cubic interpolation, averaged over items.

    Easy and hard scales are weighed alike; without that, the hard ones drown the rest.

    Args:
        result: Shape (N, K).
        truth: Shape (N, K).
        cubic: Cubic interpolation of the coarse patch, shape (N, K).
        squared_share: Weight of the root mean square; the mean absolute error has the rest.
    """
    error, reference = result - truth, cubic - truth
    absolute = error.abs().mean(1) / reference.abs().mean(1).clamp_min(SMALLEST_CUBIC_ERROR)
    squared = (error.square().mean(1) + 1e-12).sqrt() / reference.square().mean(1).sqrt().clamp_min(
        SMALLEST_CUBIC_ERROR
    )
    return torch.lerp(absolute, squared, squared_share).mean()


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Return the learning rate of a step: linear warm-up, a plateau, then a cosine to zero."""
    if step < config.warm_up_steps:
        return config.learning_rate * (step + 1) / config.warm_up_steps
    plateau = config.warm_up_steps + config.hold_share * (config.steps - config.warm_up_steps)
    progress = max(0.0, (step - plateau) / max(1.0, config.steps - plateau))
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class Trainer:
    """One training run.

    Args:
        config: What to compute.
        sampler: Where batches come from.
        cases: What the averaged model is validated on.
        device: Where to compute.
    """

    def __init__(self, config: TrainingConfig, sampler: BatchSampler, cases: list[Case], device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.device = device
        self.sampler = sampler
        self.cases = cases
        self.model = build_model(config.model).to(device)
        # The order of memory in which 3-D convolutions are fastest.
        nn.Module.to(self.model, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))  # type: ignore[no-untyped-call]
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate)
        self.step = 0
        self.seconds = 0.0
        self.best = -math.inf

    def fit(self, *, progress: bool = True) -> None:
        """Train until the last step, or until SIGTERM or Ctrl-C, after which the state is saved.

        Raises:
            ArSSRError: If the loss is not a number; the batch is saved beside the checkpoints.
        """
        self.config.output.mkdir(parents=True, exist_ok=True)
        with (
            _stop_requested() as stop,
            tqdm(total=self.config.steps, initial=self.step, disable=not progress, unit="step", smoothing=0.05) as bar,
        ):
            losses: list[Tensor] = []
            while self.step < self.config.steps and not stop:
                started = time.monotonic()
                losses.append(self.train_step(self.sampler.draw().to(self.device)))
                self.seconds += time.monotonic() - started
                bar.update()
                if self.step % LOG_EVERY == 0:
                    self._log(losses, bar)
                    losses.clear()
                if self.step % self.config.validate_every == 0 or self.step == self.config.steps:
                    self.validate()
                if self.step % self.config.checkpoint_every == 0:
                    self.save()
            self.save()

    def train_step(self, batch: Batch) -> Tensor:
        """Take one optimizer step and return its loss, a tensor on the device: nothing waits for it."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            feature_map = self.model.encode(batch.coarse, batch.scale)
        result = self.model.query(feature_map, batch.coordinates, batch.scale)
        cubic = _cubic_at(batch)
        loss = relative_loss(result, batch.truth, cubic, self.config.squared_share)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        self.step += 1
        self._last_batch = batch
        return loss.detach()

    def validate(self) -> dict[str, float]:
        """Judge the averaged model, append to the log, and export it when it is the best so far."""
        if not self.cases:
            return {}
        model = cast("SuperResolutionModel", self.average.module)
        gains = mean_gains(score_case(model, case, self.device) for case in self.cases)
        self._append({"step": self.step, "seconds": round(self.seconds), **{k: round(v, 3) for k, v in gains.items()}})
        tqdm.write(f"step {self.step}: dB over the floor {_listed(gains)}")
        if gains["mean"] > self.best:
            self.best = gains["mean"]
            save_model(model, self.config.output / BEST, metadata=self._metadata(gains))
        return gains

    def save(self) -> None:
        """Write everything that an exact resume needs, under a temporary name first."""
        path = self.config.output / LAST
        temporary = path.with_suffix(".tmp")
        torch.save(self.state(), temporary)
        temporary.replace(path)

    def state(self) -> dict[str, Any]:
        """Return the state of the run as tensors, numbers and text."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.sampler.generator.get_state(),
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "architecture": model_config_to_json(self.config.model),
        }

    def resume(self) -> None:
        """Continue from the last checkpoint in the output folder.

        Raises:
            CheckpointError: If there is none, it cannot be read, or its architecture is another.
        """
        path = self.config.output / LAST
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as error:
            msg = f"{path} cannot be resumed ({type(error).__name__}); start anew without --resume."
            raise CheckpointError(msg) from error
        if model_config_from_json(state["architecture"]) != self.config.model:
            expected = model_config_to_json(self.config.model)
            msg = (
                f"{path} was trained with {state['architecture']}, the recipe asks for {expected}; name another output."
            )
            raise CheckpointError(msg)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.generator.set_state(state["generator"].cpu())
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]

    def _log(self, losses: list[Tensor], bar: tqdm[Any]) -> None:
        mean = float(torch.stack(losses).mean())
        if not math.isfinite(mean):
            torch.save(self._last_batch.__dict__, self.config.output / NAN_BATCH)
            msg = (
                f"The loss is not a number at step {self.step}; the batch is saved as {NAN_BATCH}. "
                "Resume from the last checkpoint with a smaller learning_rate."
            )
            raise ArSSRError(msg)
        # The loss is an error over that of cubic, so its logarithm is a gain.
        bar.set_postfix(loss=f"{mean:.4f}", dB=f"{-20 * math.log10(mean):+.2f}")
        self._append({"step": self.step, "seconds": round(self.seconds), "loss": round(mean, 5)})

    def _append(self, row: dict[str, float]) -> None:
        with (self.config.output / LOG).open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            for name, value in row.items():
                if name not in ("step", "seconds"):
                    writer.writerow([row["step"], row["seconds"], name, value])

    def _metadata(self, gains: dict[str, float]) -> dict[str, str]:
        return {
            "steps": str(self.step),
            "training_seconds": str(round(self.seconds)),
            "validation_gain_db": _listed(gains),
            "recipe": str({k: v for k, v in table_of(self.config).items() if not k.endswith(("_data", "output"))}),
        }


@torch.no_grad()
def _cubic_at(batch: Batch) -> Tensor:
    coarse = batch.coarse[:, 0]
    positions = [index_of(batch.coordinates[..., axis], n) for axis, n in enumerate(coarse.shape[1:])]
    return spline_at_points(spline_coefficients(coarse), positions)


def _listed(gains: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:+.2f}" for name, value in gains.items())


@contextmanager
def _stop_requested() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT, so that a step is finished and saved before leaving."""
    received: list[int] = []

    def _note(number: int, _: FrameType | None) -> None:
        received.append(number)

    previous = {number: signal.signal(number, _note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
