"""The tables show measured values, and mark computed and unreliable ones."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ArSSRLib.checkpoint import DEFAULT_MODEL

RUN = Path(__file__).with_name("run.py")
PNG = b"\x89PNG"


@pytest.fixture
def peaks():
    from floors import Peaks

    return Peaks(matmul=10.0, convolution=5.0, bandwidth=1e9)


@pytest.fixture
def result():
    """32 x 32 x 32 at 2x: the published procedure 90 s, encode once 3 s, the engine 2 s, with a floor of 1 s."""
    from floors import Work
    from jobs import EVERY_SLICE, ONCE, PUBLISHED, UPSAMPLE, Job, Row
    from report import Result
    from speed import Timing

    job = Job((32, 32, 32), 2, (PUBLISHED,), rounds=1, every_slice=True)
    seconds = {EVERY_SLICE: 90.0, ONCE: 3.0, UPSAMPLE: 2.0}
    timings = [Timing(Row(PUBLISHED, way), (s,), (2 * s,), 5 * 10**8, 2e-6) for way, s in seconds.items()]
    return Result(job, timings, {PUBLISHED: (Work(4, 4), Work(6, 4))})


@pytest.fixture
def promised():
    """The default model's promise, in 50 s and 3 GB, without an error."""
    from floors import Work
    from jobs import PROMISED, UPSAMPLE, Row
    from report import Result
    from speed import Timing

    timing = Timing(Row(DEFAULT_MODEL, UPSAMPLE), (50.0,) * 3, (99.0,) * 3, 3 * 10**9, 1e-6)
    return Result(PROMISED, [timing], {DEFAULT_MODEL: (Work(4, 4), Work(6, 4))})


def cells(text, name):
    """Return the cells of the row whose first cell ends in a name."""
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines() if line[:1] == "|"]
    return next(row for row in rows if row[0].endswith(name))


def test_a_row_shows_its_ratios_its_costs_and_its_error(result, peaks):
    from report import job_section

    row = cells(job_section(result, peaks), "`upsample`**")
    assert row[1:] == ["45x", "1.5x", "50 %", "2", "4", "0.5", "2.0e-06"]


def test_computed_values_are_marked(result, peaks):
    from report import job_section

    timings = [replace(result.timings[0], computed=True), *result.timings[1:]]
    text = job_section(replace(result, timings=timings), peaks)

    assert cells(text, "for every slice, `grid_sample`")[4] == "≈ 90"
    assert cells(text, "`upsample`**")[1:3] == ["≈ 45x", "1.5x"]


def test_a_row_that_failed_says_so(result, peaks):
    from report import job_section

    timings = [*result.timings[:2], replace(result.timings[2], seconds=(), cpu_seconds=())]
    assert "failed" in cells(job_section(replace(result, timings=timings), peaks), "`upsample`**")


def test_a_row_beside_other_programs_is_marked(result, peaks):
    from report import job_section

    busy = [*result.timings[:2], replace(result.timings[2], others=0.4)]
    text = job_section(replace(result, timings=busy), peaks)

    assert [line.count("(!)") for line in text.splitlines() if "upsample" in line] == [1]
    assert "do not trust" in text
    assert "do not trust" not in job_section(result, peaks)


def test_promises_are_compared_with_what_was_measured(result, promised, peaks):
    from promises import promises

    found = {(round(p.measured, 9), p.limit, p.kept) for p in promises([result, promised], peaks, threads=2)}

    assert found == {(45, 30, True), (1.5, 1.3, True), (50, 60, True), (3, 4, True), (2e-6, 1e-5, True)}


def test_a_promise_that_is_not_kept_says_so(result, promised, peaks):
    from machine import this_machine
    from promises import readme_block

    slow = [*result.timings[:2], replace(result.timings[2], seconds=(4.0,))]
    block = readme_block([replace(result, timings=slow), promised], peaks, this_machine(2))

    assert cells(block, "against the published procedure")[1:] == ["22.5x", "at least 30x", "**no**"]
    assert cells(block, "two cores, seconds")[1:] == ["50", "at most 60", "yes"]


def test_promises_for_two_cores_are_not_shown_for_more(promised, peaks):
    from promises import promises

    assert [p.limit for p in promises([promised], peaks, threads=4)] == [1e-5]


def test_bars_are_the_ratios(result, peaks, tmp_path):
    from chart import draw, ratio_bars

    assert [bar[1] for bar in ratio_bars([result], 0)] == [30, 45]
    assert [bar[1] for bar in ratio_bars([result], 1)] == [1.5]
    draw([result], peaks, tmp_path / "bars.png")
    assert (tmp_path / "bars.png").read_bytes().startswith(PNG)


def test_the_quick_run_measures_every_kind_of_row(tmp_path):
    command = [sys.executable, RUN, "--quick", "--only", "speed", "--threads", "1", "--output", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)

    assert done.returncode == 0, done.stderr
    text = (tmp_path / "quick.md").read_text(encoding="utf-8")
    assert (tmp_path / "quick.png").read_bytes().startswith(PNG)
    assert "failed" not in text
    assert re.findall(r"^## (\w+)", text, re.MULTILINE) == ["Encoder", "7", "20"]
    errors = [float(error) for error in re.findall(r"\| (\d\.\de-\d\d) \|$", text, re.MULTILINE)]
    assert len(errors) >= 4
    assert max(errors) < 1e-5
