"""The results as one figure: the speedup, and the share of the machine's peak."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from floors import Peaks
from jobs import EVERY_SLICE, ONCE, PLAIN_ENCODE, PLAIN_QUERY, PUBLISHED
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from report import NETWORKS, WAYS, Result, ratio_text
from speed import Timing, times_faster

YARDSTICK, PUBLISHED_BAR, OURS_BAR = "#9a9a9a", "#2b6ca3", "#c8641e"
# Inches.
WIDTH, ROW_HEIGHT, MARGIN = 11.0, 0.27, 1.1
# A bar: its label, its length, the text at its end, and its color.
Bar = tuple[str, float, str, str]


def draw(results: Sequence[Result], peaks: Peaks, path: Path) -> None:
    """Write the figure of all results as PNG."""
    whole = [result for result in results if not result.job.parts]
    panels = [
        ("times faster than the published procedure (≈: computed from its parts)", ratio_bars(whole, 0), True),
        ("times faster than encode once, grid_sample, with the same network", ratio_bars(whole, 1), False),
        ("% of the measured matrix product peak", share_bars(results, peaks), False),
    ]
    panels = [panel for panel in panels if panel[1]]
    if not panels:
        return
    counts = [len(bars) for _, bars, _ in panels]
    height = ROW_HEIGHT * sum(counts) + MARGIN * len(panels)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": counts})[:, 0]
    for axis, (title, bars, logarithmic) in zip(axes, panels, strict=True):
        _draw_bars(axis, title, bars, logarithmic=logarithmic)
    figure.savefig(path, dpi=130)


def ratio_bars(results: Sequence[Result], yardstick: int) -> list[Bar]:
    """Return a bar for each row with its speedup over the first (0) or the second (1) yardstick of its job."""
    bars = []
    for result in results:
        for timing in result.timings:
            other = result.yardsticks(timing)[yardstick]
            ratio = times_faster(timing, other)
            # A yardstick itself is not compared with the next one, which is faster.
            if ratio is None or other is None or timing is other or (yardstick == 1 and timing.row.way == EVERY_SLICE):
                continue
            bars.append((_label(result, timing), ratio, ratio_text(timing, other), _color(timing)))
    return bars


def share_bars(results: Sequence[Result], peaks: Peaks) -> list[Bar]:
    """Return a bar for each encoder and decoder, in percent of the peak."""
    bars = []
    for result in results:
        for timing in result.timings if result.job.parts else ():
            share = result.share_of_matmul(timing, peaks)
            if share is not None:
                bars.append((_label(result, timing), 100 * share, f"{100 * share:.3g} %", _color(timing)))
    return bars


def _draw_bars(axis: Axes, title: str, bars: Sequence[Bar], *, logarithmic: bool) -> None:
    labels, lengths, texts, colors = zip(*bars, strict=True)
    drawn = axis.barh(range(len(bars)), lengths, color=colors)
    axis.bar_label(drawn, labels=texts, padding=3, fontsize=8)
    axis.set_yticks(range(len(bars)), labels, fontsize=8)
    axis.set_ylim(len(bars) - 0.4, -0.6)  # the first row on top
    axis.set_title(title, fontsize=10, loc="left")
    axis.spines[["top", "right"]].set_visible(False)
    if logarithmic:
        axis.set_xscale("log")
        axis.set_xlim(min(*lengths, 1.0) * 0.8, max(lengths) * 3)
    else:
        # The goal: the peak, or the speed of the yardstick.
        goal = 100 if "%" in title else 1
        axis.set_xlim(0, max(*lengths, goal) * 1.12)
        axis.axvline(goal, color="black", linewidth=0.8, linestyle=":")


def _label(result: Result, timing: Timing) -> str:
    size = f"{' x '.join(map(str, result.job.size))} at {result.job.scale:g}x"
    way = WAYS[timing.row.way].replace("*", "").replace("`", "").removeprefix("published procedure: ")
    return f"{size} · {NETWORKS.get(timing.row.network, timing.row.network)} · {way}"


def _color(timing: Timing) -> str:
    if timing.row.way in (EVERY_SLICE, ONCE, PLAIN_ENCODE, PLAIN_QUERY):
        return YARDSTICK
    return PUBLISHED_BAR if timing.row.network == PUBLISHED else OURS_BAR
