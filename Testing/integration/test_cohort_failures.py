"""Failed scans and warnings of the engine: the reasons are stored on disk, and the output names the scans."""

from __future__ import annotations

import json

import pytest

from ArSSRLib import write_volume
from ArSSRLib.cli import main
from ArSSRLib.cohort import processing

pytest.importorskip("bids2table", reason="bids2table is not installed (pip install bids2table)")
SCAN = "sub-2/anat/sub-2_T1w.nii.gz"
REASON = "is not compressed with gzip"


@pytest.fixture
def data_set(phantom, tmp_path):
    """Two subjects with one scan each, of which the second is unreadable."""
    root = tmp_path / "raw"
    for number in (1, 2):
        (root / f"sub-{number}" / "anat").mkdir(parents=True)
        write_volume(phantom, root / f"sub-{number}" / "anat" / f"sub-{number}_T1w.nii.gz")
    (root / "dataset_description.json").write_text('{"Name": "Phantoms", "BIDSVersion": "1.10.0"}')
    (root / SCAN).write_text("not a volume")
    return root


@pytest.fixture
def bids(data_set, tmp_path, tiny_weights):
    def run(*arguments, level="participant", scale="1.5"):
        words = [str(data_set), str(tmp_path / "out"), level, *arguments, "--skip-bids-validation"]
        return main(["bids", *words, "--scale", scale, "--device", "cpu", "--model", str(tiny_weights)])

    return run


def log_in(folder):
    return folder / "out" / "logs" / "sub-2_T1w.log"


def test_the_reason_of_a_failure_is_kept_until_the_scan_succeeds(bids, data_set, phantom, tmp_path):
    assert bids() == 1

    first, second, *_ = log_in(tmp_path).read_text().splitlines()
    assert first.startswith(f"{SCAN}: {REASON}")
    assert str(tmp_path) not in first
    assert "ArSSR" in second
    assert "logs/" in (tmp_path / "out" / ".bidsignore").read_text().splitlines()

    write_volume(phantom, data_set / SCAN, overwrite=True)
    assert bids() == 0
    assert list((tmp_path / "out" / "logs").iterdir()) == []


def test_a_share_leaves_the_logs_of_the_others_alone(bids, tmp_path):
    assert bids() == 1
    assert bids("--participant-label", "1") == 0
    assert log_in(tmp_path).exists()


def test_an_unexpected_failure_is_stored_with_its_traceback(bids, tmp_path, monkeypatch):
    monkeypatch.setattr(processing, "carry_out", lambda plan, *_: plan.no_such_thing)

    assert bids("--participant-label", "1") == 1

    text = (tmp_path / "out" / "logs" / "sub-1_T1w.log").read_text()
    assert "Traceback" in text
    assert "AttributeError" in text


def test_a_log_that_cannot_be_written_is_a_warning(bids, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "logs").write_text("")

    assert bids() == 1
    assert f"The reason for the failure of {SCAN} could not be saved" in capsys.readouterr().err


def test_lines_added_to_the_ignore_file_are_kept(bids, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".bidsignore").write_text("*.arssr.json\nnotes.txt\n")

    bids("--participant-label", "1")

    lines = (tmp_path / "out" / ".bidsignore").read_text().splitlines()
    assert lines[:2] == ["*.arssr.json", "notes.txt"]
    assert "logs/" in lines
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("level", ["group", "report"])
def test_failed_scans_are_listed_in_the_index_with_their_reason(bids, tmp_path, capsys, level):
    pytest.importorskip("jinja2", reason="Jinja2 is not installed (pip install Jinja2)")
    bids()
    capsys.readouterr()

    code = bids(level="group") if level == "group" else main(["report", str(tmp_path / "out")])

    said = capsys.readouterr().out.splitlines()
    assert code == 1
    assert json.loads(said[-1])["failed"] == 1
    assert said[0].startswith(f"{SCAN}: {REASON}")
    index = (tmp_path / "out" / "index.html").read_text()
    assert "<b>1</b> failed" in index
    assert f'<span class="path">{SCAN}</span>: {REASON}' in index


def test_a_result_that_a_later_run_could_not_replace_needs_attention(bids, tmp_path, capsys):
    pytest.importorskip("jinja2", reason="Jinja2 is not installed (pip install Jinja2)")
    assert bids("--participant-label", "1") == 0
    assert bids("--participant-label", "1", "--quality", "best") == 1
    capsys.readouterr()

    assert bids("--participant-label", "1", level="group") == 1
    assert "It was not computed again: " in capsys.readouterr().out


def test_a_warning_is_printed_once_with_the_name_of_its_scan(bids, capsys):
    assert bids("--participant-label", "1", scale="9") == 0

    (line,) = (line for line in capsys.readouterr().err.splitlines() if "outside the range for which model" in line)
    assert line.startswith("arssr: warning: sub-1/anat/sub-1_T1w.nii.gz: Scale 9")
