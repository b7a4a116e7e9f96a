"""The training loop: steps, validation, checkpoints, resuming.

The state of a run is its model, averaged model, optimizer and step, because batches are determined by the step. A
resumed run therefore computes the same losses as an uninterrupted one. Between two log entries, the host does not wait
for the device.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from contextlib import nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ArSSRLib.checkpoint import save_model
from ArSSRLib.errors import ArSSRError, InputError
from ArSSRLib.model.arssr3 import ArSSR3
from ArSSRLib.model.interface import Conditioning, SuperResolutionModel
from ArSSRLib.model.registry import build_model
from ArSSRLib.process import stop_requested
from ArSSRLib.training.blocks import AgreeingBlocks
from ArSSRLib.training.checkpoints import BEST, FINAL, LAST, NUMBERS, PARTS, read_state, write_state
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.cpu import PlainWeightGradients
from ArSSRLib.training.dataset import Batch, BatchSampler
from ArSSRLib.training.journal import Clock, Journal, summary
from ArSSRLib.training.losses import learning_rate, losses_of
from ArSSRLib.training.optimizers import make_optimizer
from ArSSRLib.training.processes import Processes
from ArSSRLib.training.recipe import table_of
from ArSSRLib.training.throughput import Pace
from ArSSRLib.training.validation import Case, mean_gains, score_case

NAN_BATCH = "nan_batch.pt"
LOG_EVERY = 50
# Steps between two checks whether any of several processes was asked to stop; they wait for each other.
AGREE_EVERY = 10


class Trainer:
    """One training run.

    Args:
        config: Training settings.
        sampler: Source of the batches.
        cases: Validation cases for the averaged model.
        processes: The processes that train together, and the device of this one.
        initial: Initial weights, with the architecture of ``config``; random weights if None.
        data: Hash of the training volumes, see `hash_of_volumes`.

    Raises:
        InputError: If the initial weights have another architecture.
    """

    def __init__(
        self,
        config: TrainingConfig,
        sampler: BatchSampler,
        cases: list[Case],
        *,
        processes: Processes,
        initial: SuperResolutionModel | None = None,
        data: str = "",
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.sampler, self.cases, self.processes, self.data = config, sampler, cases, processes, data
        self.device = processes.device
        self.model = build_model(config.model)
        if initial is not None:
            if initial.config != config.model:
                found, asked = initial.config.to_json(), config.model.to_json()
                msg = f"The initial weights are of {found}, but the recipe asks for {asked}; omit one of them."
                raise InputError(msg)
            self.model.load_state_dict(initial.state_dict())
        # The memory format in which 3-D convolutions are fastest.
        nn.Module.to(self.model, self.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
        if config.compile:
            for layer in self.model.compilable_layers():
                layer.compile()
        network = AgreeingBlocks(cast("ArSSR3", self.model)) if config.block_voxels else self.model
        self._wrapped = processes.wrapped(network)
        self.optimizer = make_optimizer(self.model, config)
        self.step, self.validated = 0, 0
        self.seconds = 0.0
        self.best = -math.inf
        self._clock = Clock(self.device)
        self.pace = Pace(self.model, config, self.device)
        self._window: list[Tensor] = []
        self._journal: Journal | None = None

    def fit(self, *, progress: bool = True) -> int | None:
        """Train until the last step, or until SIGTERM or Ctrl-C; then save the state.

        Returns:
            The number of the signal that ended the run early; None if it reached its last step.

        Raises:
            ArSSRError: If the loss is not a number; the batch is saved beside the checkpoints.
            OutputError: If a checkpoint cannot be written; the one before it is unharmed.
        """
        config = self.config
        if self.processes.leads:
            config.output.mkdir(parents=True, exist_ok=True)
            self._journal = Journal(config.output, config.steps, first_step=self.step, progress=progress)
        try:
            with stop_requested() as received:
                while not (stopped := self._agreed_stop(received)):
                    if self._validation_is_due():
                        self.validate(received)
                    elif self.step < config.steps:
                        self._advance()
                    else:
                        break
                self._log()
                self.save()
        finally:
            if self._journal:
                self._journal.close()
        if not stopped and self.processes.leads:
            save_model(self.average, config.output / FINAL, metadata=self._metadata({}))
        return stopped or None

    def _agreed_stop(self, received: list[int]) -> int:
        """Return the signal that any process received, or 0; several processes communicate only every few steps."""
        due = self.step % AGREE_EVERY == 0 or self.step == self.config.steps or self._validation_is_due()
        return self.processes.largest(received[0] if received else 0) if due or self.processes.world == 1 else 0

    def _advance(self) -> None:
        """Draw a batch, take a step, and log and save when due."""
        started = time.monotonic()
        self._clock.mark()
        batch = self.sampler.draw(self.step)
        self._clock.mark()
        self._window.append(self.train_step(batch))
        self._clock.mark()
        self.seconds += time.monotonic() - started
        if self.pace.is_cold and self.pace.warm_up(started):
            self._clock.forget()
            if self._journal:
                self._journal.say(self.pace.words)
        if self._journal:
            self._journal.count()
        saving = self.step % self.config.checkpoint_every == 0
        if saving or self.step % LOG_EVERY == 0 or self._validation_is_due():
            self._log()
        if saving:
            self.save()

    def train_step(self, batch: Batch) -> Tensor:
        """Take one optimizer step.

        Returns:
            The loss, the ratio of the root mean square error to that of cubic interpolation, and the norm of the
            gradient, shape (3,), on the device, without synchronization.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        told, bf16 = Conditioning(batch.scale, batch.acquisition), self.config.precision == "bf16"
        on_cpu = self.device.type == "cpu" and not (bf16 or self.config.compile)
        with PlainWeightGradients() if on_cpu else nullcontext():
            if batch.blocks:
                result = self._wrapped(batch.coarse, told, batch.blocks, bf16=bf16)
            else:
                result = self._wrapped(batch.coarse, told, batch.coordinates, placed=batch.placed, bf16=bf16)
        loss, ratio = losses_of(result, batch, self.config)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip or math.inf)
        self.optimizer.step()
        self._average_weights()
        self.step += 1
        return torch.stack([loss.detach(), ratio, norm])

    @torch.no_grad()
    def _average_weights(self) -> None:
        """Move the averaged weights towards the new ones; after the first step, both are equal.

        The statistics of batch normalization are averaged too: exact ones would need additional passes.
        """
        averaged, current = ([*m.parameters(), *m.buffers()] for m in (self.average, self.model))
        decay = self.config.ema_decay if self.step else 0.0
        get_ema_multi_avg_fn(decay)(averaged, current, self.step)  # type: ignore[no-untyped-call]

    def _validation_is_due(self) -> bool:
        every, step = self.config.validate_every, self.step
        return step > self.validated and bool(self.cases) and (step % every == 0 or step == self.config.steps)

    def validate(self, received: list[int] | None = None) -> dict[str, float]:
        """Validate the averaged model, log the result, and export the model if it is the best so far.

        A signal in ``received`` ends validation, which the resumed run repeats.

        Returns:
            Mean gain over the floor in dB by setting, and overall as "mean"; empty if validation was ended.
        """
        self._log()
        own = self.cases[self.processes.rank :: self.processes.world]
        scores = self.processes.joined([score_case(self.average, case, self.device) for case in own if not received])
        if len(scores) < len(self.cases):
            return {}
        self.validated = self.step
        gains = mean_gains(scores)
        if self._journal:
            self._journal.record(self.step, self.seconds, {name: round(gain, 3) for name, gain in gains.items()})
            self._journal.say(f"step {self.step}: dB over the floor {_listed(gains)}")
        if gains["mean"] > self.best:
            self.best = gains["mean"]
            if self.processes.leads:
                save_model(self.average, self.config.output / BEST, metadata=self._metadata(gains))
        return gains

    def save(self) -> None:
        """Write the state for an exact resume."""
        if self.processes.leads:
            write_state(self.config.output / LAST, self.state())

    def state(self) -> dict[str, Any]:
        """Return the state of the run as tensors, numbers and text."""
        parts = {name: getattr(self, name).state_dict() for name in PARTS}
        return self._identity() | parts | {name: getattr(self, name) for name in NUMBERS}

    def resume(self) -> None:
        """Continue from the last checkpoint in the output folder.

        Raises:
            CheckpointError: If there is none, it cannot be read, or it belongs to another run.
        """
        state = read_state(self.config.output / LAST, self._identity(), self.device)
        for name in PARTS:
            getattr(self, name).load_state_dict(state[name])
        for name in NUMBERS:
            setattr(self, name, state[name])

    def _identity(self) -> dict[str, Any]:
        items = self.config.batch_items * self.processes.world
        return {"recipe": table_of(self.config), "items": items, "data": self.data}

    def _log(self) -> None:
        """Wait for the steps since the last log entry and record them; stop if a loss is not finite."""
        if not self._window:
            return
        values = self.processes.mean(torch.stack(self._window)).tolist()
        first = self.step - len(values)
        self._window.clear()
        for offset, (loss, _, norm) in enumerate(values):
            if not math.isfinite(loss + norm):
                self._refuse_step(first + offset)
        loss, ratio, norm = (sum(column) / len(values) for column in zip(*values, strict=True))
        shown = summary(loss, ratio, self._clock.costs(), self.config.batch_items * self.processes.world)
        shown |= self.pace.share_of_peak(shown)
        shown |= {"gradient norm": round(norm, 4), "learning rate": learning_rate(self.config, self.step - 1)}
        if self._journal:
            self._journal.show(shown)
            self._journal.record(self.step, self.seconds, shown)

    def _refuse_step(self, step: int) -> None:
        if self.processes.leads:
            batches = [self.sampler.of_rank(rank).draw(step) for rank in range(self.processes.world)]
            torch.save({"step": step, "batches": [vars(batch) for batch in batches]}, self.config.output / NAN_BATCH)
        msg = (
            f"The loss of step {step} or its gradient is not a number; its batch is saved in {NAN_BATCH}. Continue "
            "from the last checkpoint with --resume and a smaller learning_rate."
        )
        raise ArSSRError(msg)

    def _metadata(self, gains: dict[str, float]) -> dict[str, str]:
        recipe = {k: v for k, v in table_of(self.config).items() if not k.endswith(("_data", "output", "cache"))}
        validated = {"validation_gain_db": _listed(gains)} if gains else {}
        return {
            "steps": str(self.step),
            "training_seconds": str(round(self.seconds)),
            "recipe": str(recipe),
            **validated,
        }


def hash_of_volumes(hashes: list[str]) -> str:
    """Return a hash of the training volumes, from the hashes of their voxels in the order of training."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _listed(gains: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:+.2f}" for name, value in gains.items())
