"""Output of a training run: the progress line, log.csv, and TensorBoard where it is installed."""

from __future__ import annotations

import csv
import importlib
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

logger = logging.getLogger(__name__)

LOG, BOARD = "log.csv", "tensorboard"
COLUMNS = ("step", "seconds", "name", "value")


class Journal:
    """The log of one run; only the leading process has one.

    Args:
        folder: Where log.csv and the TensorBoard files go.
        steps: Steps of the whole run.
        first_step: Step at which the run continues; later entries, of a run that was lost, are deleted.
        progress: Whether to show a progress line.
    """

    def __init__(self, folder: Path, steps: int, *, first_step: int, progress: bool) -> None:
        self._path = folder / LOG
        self._forget_after(first_step)
        self._board = _tensorboard(folder / BOARD, first_step)
        self._bar = tqdm(
            total=steps, initial=first_step, disable=not progress, unit="step", smoothing=0.05, dynamic_ncols=True
        )

    def count(self) -> None:
        """Advance the progress line by one step."""
        self._bar.update()

    def record(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """Write values of one step to the log and to TensorBoard."""
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([step, round(seconds), name, value] for name, value in values.items())
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def show(self, values: Mapping[str, float]) -> None:
        """Show values at the end of the progress line."""
        text = f"loss {values['loss']:.4f}, {values['dB over cubic']:+.2f} dB over cubic"
        if "steps/s" in values:
            text += (
                f", {values['steps/s']:.3g} steps/s, {values['patches/s']:.1f} patches/s, "
                f"batch {values['batch ms']:.0f} ms, step {values['step ms']:.0f} ms"
            )
        if "% of peak" in values:
            text += f", {values['% of peak']:.0f} % of peak"
        self._bar.set_postfix_str(text)

    def say(self, text: str) -> None:
        """Print a line without breaking the progress line."""
        self._bar.write(text)

    def close(self) -> None:
        """End the progress line and flush TensorBoard."""
        self._bar.close()
        if self._board is not None:
            self._board.close()

    def _forget_after(self, step: int) -> None:
        rows = []
        if step and self._path.exists():
            with self._path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.reader(file) if row and row[0].isdigit() and int(row[0]) <= step]
        with self._path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *rows])


class Clock:
    """Time spent on drawing batches and on taking steps, accumulated until it is read.

    On CUDA, the times are measured on the device, without synchronization; elsewhere, wall-clock time is measured.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_cuda = device.type == "cuda"
        self._marks: list[Any] = []

    def mark(self) -> None:
        """Record the time: before the batch, between batch and step, and after the step."""
        if self._on_cuda:
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def forget(self) -> None:
        """Discard all marks; the time between them does not count."""
        self._marks.clear()

    def costs(self) -> tuple[float, float] | None:
        """Return the milliseconds per batch and per step since the last call, or None without any, and reset.

        On CUDA, the device must have reached the last mark.
        """
        if not self._marks:
            return None
        pairs = [self._milliseconds(one, two) for one, two in zip(self._marks, self._marks[1:], strict=False)]
        count = len(self._marks) // 3
        self._marks.clear()
        return sum(pairs[0::3]) / count, sum(pairs[1::3]) / count

    def _milliseconds(self, one: Any, two: Any) -> float:  # noqa: ANN401 - an event or a number
        return float(one.elapsed_time(two)) if self._on_cuda else 1000 * (two - one)


def summary(loss: float, ratio: float, costs: tuple[float, float] | None, patches: int) -> dict[str, float]:
    """Return the values that are shown and logged for a number of steps.

    ``costs`` are milliseconds per batch and per step, None while warming up; ``patches`` are those of a step, of all
    processes.
    """
    shown = {"loss": round(loss, 5), "dB over cubic": round(-20 * math.log10(max(ratio, 1e-9)), 3)}
    if costs is None:
        return shown
    batch, step = costs
    rate = 1000 / max(batch + step, 1e-3)
    return shown | {
        "steps/s": round(rate, 3),
        "patches/s": round(patches * rate, 2),
        "batch ms": round(batch, 2),
        "step ms": round(step, 2),
    }


def _tensorboard(folder: Path, first_step: int) -> Any:  # noqa: ANN401 - None, or a class of an optional package
    try:
        module = importlib.import_module("torch.utils.tensorboard")
    except ImportError:
        logger.info(
            "TensorBoard is not installed, so only log.csv is written. To install it: pip install ArSSRLib[train]"
        )
        return None
    return module.SummaryWriter(str(folder), purge_step=first_step)
