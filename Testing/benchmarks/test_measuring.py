"""Rows are measured alternately, each in a separate process, and a row that dies does not affect others.

The processes here run a small script instead of a network.
"""

from __future__ import annotations

import textwrap

import pytest

# Replies like `row_process`: the k-th run takes k seconds, and the result is the length of the network's name.
SCRIPT = """
    import json, sys
    import numpy as np

    request = json.loads(sys.argv[1])
    name = f"{request['network']}, {request['way']}"
    print(json.dumps({"peak_memory": 1}), flush=True)
    for run, line in enumerate(sys.stdin, start=1):
        with open(LOG, "a") as log:
            print(name, file=log)
        if name == "no reference, reference in boxes" or (request["network"] == "dies" and run == 2):
            sys.exit(3)
        if line.strip():
            np.save(line.strip(), np.full(4, float(len(request["network"] if "once" in name else name))))
        reply = {"seconds": run, "cpu_seconds": run, "busy_seconds": 1.5 * run, "peak_memory": 100 * run}
        print(json.dumps(reply), flush=True)
"""


@pytest.fixture
def log(tmp_path, monkeypatch):
    """A log of the rows that ran, one line per run."""
    import speed

    script = tmp_path / "row.py"
    script.write_text(f"LOG = {str(tmp_path / 'log')!r}\n{textwrap.dedent(SCRIPT)}", encoding="utf-8")
    monkeypatch.setattr(speed, "SCRIPT", script)
    return tmp_path / "log"


def job(networks, **options):
    from jobs import Job

    return Job((4, 4, 4), 2, networks, rounds=options.pop("rounds", 3), **options)


def test_rows_are_measured_in_turns_after_one_run_that_does_not_count(log):
    from speed import measure_job

    timings = measure_job(job(("a", "b")), threads=1)

    rows = [f"{network}, {way}" for network in "ab" for way in ("encode once, grid_sample", "upsample")]
    assert log.read_text().splitlines() == rows * 4
    assert [timing.seconds for timing in timings] == [(2, 3, 4)] * 4


def test_memory_is_that_of_the_first_run(log):
    from speed import measure_job

    assert [timing.peak_memory for timing in measure_job(job(("a",)), threads=1)] == [100, 100]


def test_an_error_is_the_largest_difference_from_the_plain_answer(log):
    from speed import measure_job

    once, ours = measure_job(job(("name",)), threads=1)

    assert (once.difference, ours.difference) == (0, len("name, upsample") - len("name"))


def test_the_load_of_other_programs_is_shown(log):
    from speed import measure_job

    assert [timing.others for timing in measure_job(job(("a",)), threads=1)] == [0.5, 0.5]


def test_a_row_that_dies_fails_alone(log, capfd):
    from speed import measure_job

    timings = measure_job(job(("dies", "lives")), threads=1)

    assert [bool(timing.seconds) for timing in timings] == [False, False, True, True]
    assert "dies, upsample: The process ended with status 3" in capfd.readouterr().err


def test_a_reference_that_dies_costs_the_errors_only(log):
    from speed import measure_job

    timings = measure_job(job(("no reference", "a"), plain=False), threads=1)

    assert [timing.seconds for timing in timings] == [(2, 3, 4)] * 2
    assert [timing.difference for timing in timings] == [None, len("a, reference in boxes") - len("a, upsample")]


def test_the_published_procedure_runs_in_the_middle_round_only(log):
    from jobs import EVERY_SLICE, PUBLISHED
    from speed import measure_job

    timings = measure_job(job((PUBLISHED,), every_slice=True), threads=1)

    ways = [line.partition(", ")[2] for line in log.read_text().splitlines()]
    assert ways.index(EVERY_SLICE) == 4  # after warm-up and first round of two rows
    assert [timing.seconds for timing in timings] == [(1,), (2, 3, 4), (2, 3, 4)]


def test_a_job_of_minutes_has_no_run_that_does_not_count(log):
    from speed import measure_job

    assert [timing.seconds for timing in measure_job(job(("a",), warm_up=False), threads=1)] == [(1, 2, 3)] * 2


def test_the_time_of_a_slow_row_is_the_sum_of_its_parts(log):
    from jobs import EVERY_SLICE, ONCE, PUBLISHED, Row
    from speed import PlainCost, measure_job

    costs = {PUBLISHED: PlainCost(encode=1.0, query=0.5)}
    every_slice, once, ours = measure_job(job((PUBLISHED,), plain=False, rounds=2), threads=1, costs=costs)

    # 64 voxels in, 8 slices and 512 voxels out.
    assert (every_slice.row, every_slice.seconds) == (Row(PUBLISHED, EVERY_SLICE), (8 * 64 + 256,) * 2)
    assert (once.row, once.seconds) == (Row(PUBLISHED, ONCE), (64 + 256,) * 2)
    assert (every_slice.computed, once.computed, ours.computed) == (True, True, False)


def test_rows_are_below_the_row_that_they_are_compared_with(log):
    from jobs import EVERY_SLICE, ONCE, PUBLISHED, UPSAMPLE, Row
    from speed import PlainCost, measure_job

    costs = {network: PlainCost(1.0, 1.0) for network in (PUBLISHED, "a")}
    timings = measure_job(job(("a", PUBLISHED), plain=False, rounds=1), threads=1, costs=costs)

    rows = [Row(PUBLISHED, EVERY_SLICE), *(Row(name, way) for name in (PUBLISHED, "a") for way in (ONCE, UPSAMPLE))]
    assert [timing.row for timing in timings] == rows
