"""The measurement of a cohort counts lost and repeated scans, and the report agrees with the rows."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

pytest.importorskip("bids2table", reason="bids2table is not installed (pip install bids2table)")


@pytest.fixture
def cohort():
    import cohort

    return cohort


@pytest.fixture
def tasks(cohort, tmp_path):
    weights = cohort.make_data_set(tmp_path / "raw", 3)
    return cohort.tasks_of(tmp_path / "raw", tmp_path / "out", weights)


def test_nothing_is_lost_or_done_twice_where_nothing_goes_wrong(cohort, tasks):
    row = cohort._measured(tasks, cohort.Place(), None)

    assert (row.scans, row.lost, row.twice, row.lost_workers) == (3, 0, 0, 0)
    assert row.processor > 0


def test_scans_without_a_result_and_with_two_outcomes_are_counted(cohort, tasks, monkeypatch):
    real = cohort.outcomes_of
    monkeypatch.setattr(cohort, "outcomes_of", lambda tasks, *rest: [*real(tasks[:1], *rest), *real(tasks[:2], *rest)])

    row = cohort._measured(tasks, cohort.Place(), None)

    assert (row.lost, row.twice) == (1, 1)


def test_the_report_compares_with_the_plain_loop(cohort):
    plain = cohort.Row(101, 10.0, 0.1, 5.05, (0, 0), 0, 0, 0, 0.5)
    rows = {
        cohort.PLAIN: plain,
        cohort.LOCAL: replace(plain, seconds=5.0, processor=10.1),
        cohort.CLUSTER: replace(plain, scheduler=(200_000_000, 150_000_000), lost_workers=1),
    }

    text = cohort.report(rows, cohort.this_machine(1))

    assert "| --jobs 2 | 20.0 | 2.00x | 0.1 | 100 | 50 |" in text
    assert "| 200 MB | 1 | 0 | 0 |" in text
    assert "at first, it was 150 MB" in text


def test_what_was_measured_is_kept_and_the_report_waits_for_every_way(cohort, tmp_path, capsys):
    report = tmp_path / "report.md"
    words = ["--scans", "2", "--folder", str(tmp_path / "kept"), "--report", str(report)]

    assert cohort.main([*words, "--way", cohort.PLAIN]) == 0

    (kept,) = (tmp_path / "kept" / "2").glob("*.json")
    assert json.loads(kept.read_text())[0] == cohort.PLAIN
    assert not report.exists()
