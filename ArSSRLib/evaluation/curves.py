"""Training curves of runs, from their logs, as in the paper's Figure 12."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ArSSRLib.errors import InputError, OutputError, reason_of
from ArSSRLib.figure import save_figure

LOG = "log.csv"
# Names of values that `ArSSRLib.training.journal` logs, and the titles of their panels.
PANELS = {
    "loss": "Training loss",
    "dB over cubic": "Training: dB over cubic interpolation",
    "mean": "Validation: mean gain over the floor, dB",
}
WIDTH, HEIGHT, DPI = 5.2, 3.8, 130

Series = Mapping[str, list[tuple[int, float]]]


def read_log(run: Path) -> Series:
    """Return the values of a run by name, (step, value) in the order of the log, from its folder or its log.csv.

    Raises:
        InputError: If there is no log, or it has another format.
    """
    path = run / LOG if run.is_dir() else run
    series: dict[str, list[tuple[int, float]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                series.setdefault(row["name"], []).append((int(row["step"]), float(row["value"])))
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        msg = (
            f"{path} cannot be read as the log of a run ({reason_of(error)}); specify the output folder of arssr train."
        )
        raise InputError(msg) from error
    if not any(name in series for name in PANELS):
        msg = (
            f"{path} contains none of {', '.join(PANELS)}; specify the output folder of a run that has logged at "
            "least one step."
        )
        raise InputError(msg)
    return series


def draw_curves(runs: Sequence[Path], path: Path) -> Figure:
    """Draw the logs of runs into a PNG file, with a color per run and a panel per kind of value; return the figure.

    Raises:
        InputError: If a run has no log, or there is no run.
        OutputError: If the figure cannot be written.
    """
    if not runs:
        msg = "No run was specified; specify the output folder of one or more runs, followed by the picture."
        raise InputError(msg)
    if path.suffix.lower() != ".png":
        msg = f"{path}: pictures are saved as PNG; the last argument must end in .png."
        raise OutputError(msg)
    names = [run.parent.name if run.name == LOG else run.name or str(run) for run in runs]
    # Folders with the same name are distinguished by their paths.
    logs = {str(run) if names.count(name) > 1 else name: read_log(run) for run, name in zip(runs, names, strict=True)}
    panels = [name for name in PANELS if any(name in log for log in logs.values())]
    figure = Figure(figsize=(WIDTH * len(panels), HEIGHT), dpi=DPI, layout="constrained")
    for number, name in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        _draw_panel(axes, {run: log[name] for run, log in logs.items() if name in log}, name)
    save_figure(figure, path)
    return figure


def _draw_panel(axes: Axes, curves: Mapping[str, list[tuple[int, float]]], name: str) -> None:
    for number, (run, points) in enumerate(curves.items()):
        steps, values = zip(*points, strict=True)
        marker = "o" if len(points) < 40 else ""
        axes.plot(steps, values, label=run, color=f"C{number}", marker=marker, markersize=3, linewidth=1.2)
    if name == "loss" and all(value > 0 for points in curves.values() for _, value in points):
        axes.set_yscale("log")
    if name != "loss":
        axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set_title(PANELS[name], fontsize=10)
    axes.set_xlabel("optimizer step")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, frameon=False)
