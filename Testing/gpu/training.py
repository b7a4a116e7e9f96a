"""Train for some minutes, and store the state where it is returned, so that the next minutes continue exactly."""

from __future__ import annotations

import dataclasses
import math
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ArSSRLib.checkpoint import load_model, save_model
from ArSSRLib.kernels.choosing import clock
from ArSSRLib.model.registry import kinds
from ArSSRLib.training.checkpoints import BEST, FINAL, LAST
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.dataset import Batch, BatchSampler, load_training_volumes
from ArSSRLib.training.loop import Trainer, hash_of_volumes
from ArSSRLib.training.packing import packed_sources, unpacked
from ArSSRLib.training.preparation import Preparation, TrainingVolume
from ArSSRLib.training.processes import Processes
from ArSSRLib.training.recipe import read_recipe
from ArSSRLib.training.sources import refuse_shared_subjects
from ArSSRLib.training.validation import Case, make_case, settings_for
from ArSSRLib.training.whole_batches import WholeBatchSampler
from gpu import parts
from gpu.networks import device_of
from gpu.results import write_atomically
from gpu.scaling import scaled

# Steps for measuring the speed after the warm-up, and seconds after which fewer are enough.
MEASURED, MEASURED_SECONDS = 20, 5.0
# Fraction of the time for the planned steps, and seconds reserved for the last validation and the files.
SHARE, KEPT = 0.97, 8.0
# Seconds between two stored states.
KEEP_EVERY = 30.0
# Central voxels along an axis of a validation volume; its floor is computed on the CPU beforehand.
VALIDATED = 96
RECIPE = Path(__file__).resolve().parents[2] / "ArSSRLib" / "training" / "recipes" / "arssr2_cpu.toml"
# Groups of patches with the same scales, for as many scales per step as in the CPU recipe.
GROUPS, TINY_GROUPS = 6, 2
# Changes of a recipe in a rehearsal.
TINY = ("batch_items=2", "patch_size=6", "margin=1", "points=100", "precision='fp32'", "compile=false")


class Kept(Trainer):
    """A run whose state is stored in parts, and which reports its progress.

    Args:
        folder: Folder for parts and weights.
        end: Monotonic time at which it must stop.
        tell: Called with intermediate states.
    """

    def __init__(
        self, *arguments: Any, folder: Path, end: float, tell: Callable[[dict[str, Any]], object], **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._folder, self._end, self._tell = folder, end, tell
        self._rate = 0.0

    def _agreed_stop(self, received: list[int]) -> int:
        """Stop at the end of the time as after an external request: the step is finished, and the state saved."""
        if time.monotonic() >= self._end:
            received.append(signal.SIGTERM)
        return super()._agreed_stop(received)

    def save(self) -> None:
        """Write the state, and store it in parts with the best weights so far."""
        super().save()
        parts.keep(self.config.output / LAST, self._folder, self.step)
        self.keep_weights(BEST)
        self._tell(self.standing())

    def keep_weights(self, name: str) -> None:
        """Copy weights to the returned folder."""
        if (self.config.output / name).exists():
            write_atomically(self._folder / name, (self.config.output / name).read_bytes())

    def standing(self) -> dict[str, Any]:
        """Return the progress of the run: its step, the last values of its log, and the best gain so far."""
        values = {"step": self.step, "steps": self.config.steps, "warm-up s": round(self.pace.warm_up_seconds, 1)}
        values["steps/s"] = round(self._rate, 2)
        values |= last_values(self.config.output / "log.csv")
        if math.isfinite(self.best):
            values["best gain dB"] = round(self.best, 3)
        return values

    def plan(self, sessions: int) -> None:
        """Take some steps, and compute the number of steps that the time allows.

        Args:
            sessions: Number of equally long sessions of the run; the learning rate falls in the last of them.
        """
        started = time.monotonic()
        while self.pace.is_cold:
            self._advance()
        warm, first = time.monotonic(), self.step
        while self.step < first + MEASURED and time.monotonic() < warm + MEASURED_SECONDS:
            self._advance()
        self._log()  # waits for the device
        self._rate = (self.step - first) / (time.monotonic() - warm)
        left, whole = self._end - time.monotonic(), self._end - started
        more = SHARE * self._rate * (max(1.0, left) + (sessions - 1) * whole)
        steps = max(self.step + 1 + self.config.warm_up_steps, self.step + round(more))
        every = max(1, round(self._rate * KEEP_EVERY))
        changed = {"steps": steps, "checkpoint_every": every, "validate_every": max(1, round(more / sessions / 3))}
        self.config = dataclasses.replace(self.config, **changed)


def train(
    *,
    recipe: str,
    data: str,
    output: str,
    seconds: float,
    batch_items: int,
    sessions: int,
    start_from: str,
    init: str,
    overrides: list[str],
    tiny: bool,
    tell: Callable[[dict[str, Any]], object],
) -> dict[str, Any]:
    """Train until the end of the time.

    Args:
        recipe: File of the recipe for a CPU.
        data: Folder with the packed volumes, in "train" and "val".
        output: Output folder: parts of the state, the best and the last weights.
        seconds: The time.
        batch_items: Patches per step; learning rate and weight average are adapted.
        sessions: Number of equally long sessions of the run, including this one.
        start_from: Folder with the parts of the state to continue from; without parts, the run starts.
        init: Initial weights, adopted by the network of the recipe; "" for random weights.
        overrides: Further values of the recipe.
        tiny: Whether it is a rehearsal.
        tell: Called with intermediate states.
    """
    end = time.monotonic() + seconds - min(KEPT, 0.2 * seconds)
    folder, work = Path(output), Path(tempfile.mkdtemp(prefix="arssr-training-"))
    try:
        return _train(
            _config(recipe, data, work, overrides, batch_items, tiny=tiny),
            folder,
            end,
            sessions=sessions,
            start_from=Path(start_from),
            init=init,
            tiny=tiny,
            tell=tell,
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _config(
    recipe: str, data: str, work: Path, overrides: list[str], batch_items: int, *, tiny: bool
) -> TrainingConfig:
    places = [
        f"{key}={str(value)!r}"
        for key, value in {
            "training_data": Path(data) / "train",
            "validation_data": Path(data) / "val",
            "output": work,
        }.items()
    ]
    fixed = ["target_spacings=[0.0]", "target_weights=[1.0]", "steps=1000000"]
    config = read_recipe(Path(recipe), [*places, *fixed, *(TINY if tiny else ("compile=true",)), *overrides])
    return dataclasses.replace(scaled(config, batch_items), scale_groups=TINY_GROUPS if tiny else GROUPS)


def _train(
    config: TrainingConfig,
    folder: Path,
    end: float,
    *,
    sessions: int,
    start_from: Path,
    init: str,
    tiny: bool,
    tell: Callable[[dict[str, Any]], object],
) -> dict[str, Any]:
    device = device_of(tiny=tiny)
    config.output.mkdir(parents=True, exist_ok=True)
    training = packed_sources(config.training_data, "train")
    assert config.validation_data is not None
    validation = packed_sources(config.validation_data, "val")
    refuse_shared_subjects(training, validation)
    grids = load_training_volumes(training, config)
    cases = [case for source in validation[: 1 if tiny else 2] for case in _cases(source.path, config, tiny=tiny)]
    trainer = Kept(
        config,
        WholeBatchSampler(grids, config, device=device),
        cases,
        processes=Processes(0, 1, device),
        initial=kinds()[config.model.kind][1].adopting(load_model(init), config.model) if init else None,
        data=hash_of_volumes([volume.voxel_hash for volume in grids[0]]),
        folder=folder,
        end=end,
        tell=tell,
    )
    state = parts.joined(start_from)
    if state is not None:
        (config.output / LAST).write_bytes(state)
        trainer.resume()
    first = trainer.step
    trainer.plan(sessions)
    stopped = trainer.fit(progress=False)
    if stopped:
        save_model(trainer.average, config.output / FINAL, metadata={"steps": str(trainer.step)})
    for name in (BEST, FINAL):
        trainer.keep_weights(name)
    return {"from step": first, **trainer.standing(), "finished": not stopped}


def batches(*, tiny: bool) -> dict[str, Any]:
    """Build batches on the device, and on a GPU, refuse synchronization; report the time of a batch."""
    device = device_of(tiny=tiny)
    overrides = ["batch_items=96"] if not tiny else [*TINY, "batch_items=4"]
    config = read_recipe(RECIPE, [*overrides, f"scale_groups={TINY_GROUPS if tiny else GROUPS}"])
    stored = (8000 * torch.rand((140, 150, 130), generator=torch.Generator().manual_seed(0))).to(torch.int16)
    volume = TrainingVolume("noise", stored, torch.nonzero(stored > 100)[::500])
    sampler = WholeBatchSampler([[volume], [volume]], config, device=device)
    sampler.draw(0)
    started, count = clock(device), 2 if tiny else 20
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        made = [sampler.draw(1 + number) for number in range(count)]
        host = (time.perf_counter() - started) / count
    finally:
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    took = (clock(device) - started) / count
    sound = all(bool(torch.isfinite(batch.coarse).all()) for batch in made)
    return {"ms a batch": 1e3 * took, "of the host": 1e3 * host, "patches/s": config.batch_items / took, "right": sound}


def step(*, tiny: bool) -> dict[str, Any]:
    """Take steps with a small network on the device and on the CPU, with the same batches, and compare the losses."""
    losses = []
    for device in (torch.device("cpu"), device_of(tiny=tiny)):
        with tempfile.TemporaryDirectory() as folder:
            overrides = [*TINY, "steps=200", "model.channels=8", "model.blocks=1", "model.feature_channels=8"]
            config = read_recipe(RECIPE, [f"output={folder!r}", *overrides])
            stored = (8000 * torch.rand((40, 42, 38), generator=torch.Generator().manual_seed(0))).to(torch.int16)
            volume = TrainingVolume("noise", stored, torch.nonzero(stored > 100)[::50])
            sampler = BatchSampler([[volume], [volume]], config)
            trainer = Trainer(config, sampler, [], processes=Processes(0, 1, device))
            with torch.backends.cudnn.flags(allow_tf32=False):
                batches = [_moved(sampler.draw(number), device) for number in range(4)]
                losses.append(torch.stack([trainer.train_step(batch) for batch in batches]).cpu())
    error = float((losses[1] / losses[0] - 1).abs().max())
    return {"relative error": error, "last loss": float(losses[1][-1, 0]), "right": error < 2e-2}


def _moved(batch: Batch, device: torch.device) -> Batch:
    moved = {name: value.to(device) for name, value in vars(batch).items() if isinstance(value, torch.Tensor)}
    return dataclasses.replace(batch, **moved)


def _cases(path: Path, config: TrainingConfig, *, tiny: bool) -> list[Case]:
    """Return the center of a packed volume in every setting."""
    array = unpacked(path, Preparation(config.crop_and_pad, config.normalization))[0].array
    edge = 16 if tiny else VALIDATED
    middle = tuple(slice(max(0, (n - edge) // 2), max(0, (n - edge) // 2) + edge) for n in array.shape)
    settings = settings_for(config.model)[: 1 if tiny else None]
    return [make_case(path.name, array[middle].copy(), scale, profile) for scale, profile in settings]


def last_values(log: Path) -> dict[str, float]:
    """Return the last value of each name in the log of a run."""
    if not log.exists():
        return {}
    rows = [line.split(",") for line in log.read_text(encoding="utf-8").splitlines()[1:]]
    return {name: float(value) for _, _, name, value in rows}
