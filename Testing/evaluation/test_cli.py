"""arssr evaluate from a protocol and files to tables and pictures, and its exit codes."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from evaluation.tables import PROTOCOL, rough, table_of, write_subject, write_subjects

from ArSSRLib.cli import main
from ArSSRLib.evaluation import cli, runner
from ArSSRLib.io import read_volume, write_volume

ROOT = Path(__file__).resolve().parents[2]
EVALUATE = ["evaluate", "protocol.toml", "--no-progress", "--device", "cpu"]
MODEL = '[[methods]]\nname = "tiny"\nkind = "model"\nmodel = "tiny.safetensors"\nhow = "Train it."\n'
FOLDER = '[[methods]]\nname = "other"\nkind = "folder"\nfiles = "other/{subject}_{scale}_{degradation}.nii.gz"\n'


@pytest.fixture
def folder(tmp_path, monkeypatch, tiny_weights):
    monkeypatch.chdir(tmp_path)
    write_subjects(tmp_path / "subjects", 2)
    (tmp_path / "tiny.safetensors").write_bytes(tiny_weights.read_bytes())
    (tmp_path / "protocol.toml").write_text(PROTOCOL + MODEL, encoding="utf-8")
    return tmp_path


def append(folder, text):
    with (folder / "protocol.toml").open("a", encoding="utf-8") as file:
        file.write(text)


def interrupt_after(monkeypatch, count, error):
    """End the evaluation while it computes the next cell after ``count`` cells."""
    answer, calls = runner.apply_method, []

    def interrupted(*given, **options):
        calls.append(given)
        if len(calls) > count:
            raise error
        return answer(*given, **options)

    monkeypatch.setattr(runner, "apply_method", interrupted)


def test_a_protocol_becomes_a_table_a_report_and_pictures(folder, capsys):
    write_subject(folder / "thick" / "thick.nii.gz", array=rough(shape=(8, 20, 22)), spacing=(1.0, 1.0, 3.0))

    changes = ["figure_subjects=1", 'metrics=["psnr", "consistency"]', "real=thick", "scales=[[1, 1, 3]]"]
    assert main([*EVALUATE, *(word for change in changes for word in ("--set", change))]) == 0

    table = table_of(folder / "out")
    methods, regions = ("cubic", "back", "tiny"), ("volume", "mask")
    cells = [(subject, "1x1x3", "point", method) for subject in ("sub-01", "sub-02") for method in methods]
    expected = {(*cell, "psnr", region) for cell in cells for region in regions}
    expected |= {(*cell, "consistency", "volume") for cell in cells}
    expected |= {("thick", "1x1x3", "real", method, "consistency", "volume") for method in methods}
    assert set(table) == expected
    assert all(15 < value < 200 for value in table.values())
    report = (folder / "out" / "report.md").read_text(encoding="utf-8")
    assert "--set figure_subjects=1" in report
    pictures = sorted(path.name for path in (folder / "out" / "figures").iterdir())
    assert len(pictures) == 3
    assert all(picture in report for picture in pictures)
    assert "9 cells, 9 of them computed now, 0 failed" in capsys.readouterr().out


def test_a_second_run_computes_nothing_and_prints_the_same(folder, capsys, monkeypatch):
    main(EVALUATE)
    files = [folder / "out" / name for name in ("results.csv", "report.md")]
    before = [file.read_bytes() for file in files]
    interrupt_after(monkeypatch, 0, AssertionError)

    assert main(EVALUATE) == 0

    assert "12 cells, 0 of them computed now" in capsys.readouterr().out
    assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)])
def test_an_interrupted_run_continues_where_it_stopped(folder, capsys, monkeypatch, error, code):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 5, error)
        assert main(EVALUATE) == code
    assert "finished cells are kept" in capsys.readouterr().out
    assert not (folder / "out" / "results.csv").exists()

    assert main(EVALUATE) == 0

    assert "12 cells, 7 of them computed now" in capsys.readouterr().out


def until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_signal_ends_every_process_and_keeps_what_is_finished(folder):
    scales = [2 + n / 100 for n in range(200)]
    command = [sys.executable, "-m", "ArSSRLib", *EVALUATE, "--jobs", "2", "--set", f"scales={scales}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    cells = folder / "out" / "cells"
    assert until(lambda: cells.exists() and len(list(cells.glob("*.json"))) > 2)

    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=60) == 143
    finished = sorted(cells.iterdir())
    assert finished
    assert all(path.suffix == ".json" and not path.name.startswith(".") for path in finished)
    # No process of its group is left, after Python's own resource tracker has ended.
    assert until(lambda: not alive(process.pid))


def test_lesions_of_a_table_are_judged_and_never_mixed_with_synthetic_ones(folder, capsys):
    mask = np.zeros(rough().shape, np.uint8)
    mask[9:11, 9:12, 10:12] = 1
    write_subject(folder / "masks" / "mask.nii.gz", array=mask)
    rows = "path,split,lesions\nsubjects/sub-01_T1w.nii.gz,test,masks/mask.nii.gz\nsubjects/sub-02_T1w.nii.gz,test,\n"
    (folder / "table.csv").write_text(rows, encoding="utf-8")
    given = [*EVALUATE, "--set", "subjects=table.csv", "--set", 'metrics=["psnr", "lesion_contrast"]']

    assert main([*given, "--set", "lesions=synthetic"]) == 2
    assert "lists lesions for sub-01_T1w.nii.gz, but the protocol asks for synthetic" in capsys.readouterr().err
    assert main(given) == 0
    table = table_of(folder / "out")
    assert {row[0] for row in table if row[5] == "lesions"} == {"sub-01"}
    assert {row[4] for row in table if row[5] == "lesions"} == {"psnr", "lesion_contrast"}


def test_a_failing_cell_is_named_and_the_rest_is_there(folder, capsys):
    (folder / "tiny.safetensors").write_bytes(b"no weights")

    assert main(EVALUATE) == 1

    assert "8 cells, 8 of them computed now, 4 failed" in capsys.readouterr().out
    report = (folder / "out" / "report.md").read_text(encoding="utf-8")
    assert "- sub-02, scale 1x1x3, point, tiny: tiny.safetensors" in report
    assert len(table_of(folder / "out")) == 16


def test_an_unreadable_volume_does_not_stop_the_others(folder):
    (folder / "subjects" / "sub-00_T1w.nii.gz").write_bytes(b"no volume")

    assert main(EVALUATE) == 1

    assert {row[0] for row in table_of(folder / "out")} == {"sub-01", "sub-02"}


def test_results_of_another_program_are_in_the_table(folder, capsys):
    append(folder, FOLDER)
    assert main([*EVALUATE, "--inputs", "inputs"]) == 0
    (folder / "other").mkdir()
    for path in sorted((folder / "inputs").glob("sub-01_*_point.nii.gz")):
        truth = read_volume(folder / "inputs" / "sub-01_truth.nii.gz")
        write_volume(truth.with_array(truth.array + 2), folder / "other" / path.name)

    assert main(EVALUATE) == 0  # there is no result of the other program for sub-02

    table = table_of(folder / "out")
    assert table["sub-01", "2", "point", "other", "psnr", "volume"] == pytest.approx(
        20 * math.log10(rough(1).max() / 2), abs=0.01
    )
    assert ("sub-02", "2", "point", "other", "psnr", "volume") not in table
    assert "Left out: other: there is no other/sub-02_2_point.nii.gz." in capsys.readouterr().out
    assert main([*EVALUATE, "--strict"]) == 1


def test_a_result_on_another_grid_fails_and_is_never_resampled(folder):
    append(folder, FOLDER)
    for number in (1, 2):
        write_subject(folder / "other" / f"sub-{number:02d}_2_point.nii.gz", array=rough(shape=(10, 11, 12)))

    assert main([*EVALUATE, "--set", "scales=[2]"]) == 1
    assert "never resampled" in (folder / "out" / "report.md").read_text(encoding="utf-8")


def test_missing_weights_are_omitted_with_a_message_that_says_how_to_make_them(folder, capsys):
    (folder / "tiny.safetensors").unlink()

    assert main(EVALUATE) == 0

    line = "tiny: there is no tiny.safetensors. Train it."
    told = capsys.readouterr().out
    assert told.count(f"Left out: {line}") == 1
    assert "8 cells, 8 of them computed now, 0 failed" in told
    assert f"- {line}" in (folder / "out" / "report.md").read_text(encoding="utf-8")
    assert main([*EVALUATE, "--strict"]) == 2
    assert line in capsys.readouterr().err


def test_an_omitted_reference_is_replaced_by_the_first_method(folder):
    (folder / "tiny.safetensors").unlink()

    assert main([*EVALUATE, "--set", "reference=tiny"]) == 0
    assert "Paired difference to cubic" in (folder / "out" / "report.md").read_text(encoding="utf-8")


def test_two_scans_of_one_subject_are_two_rows(folder):
    write_subject(folder / "subjects" / "sub-01_ses-2_T1w.nii.gz", 7)

    assert main([*EVALUATE, "--set", "scales=[2]"]) == 0

    names = {row[0] for row in table_of(folder / "out")}
    assert names == {"sub-01_sub-01_T1w", "sub-01_sub-01_ses-2_T1w", "sub-02"}


def test_a_limit_selects_the_first_subjects(folder):
    assert main([*EVALUATE, "--set", "subject_limit=1"]) == 0
    assert {row[0] for row in table_of(folder / "out")} == {"sub-01"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--set", "subject=a"], "unknown key subject; did you mean subjects"),
        (["--set", "subjects=nowhere"], "nowhere: cannot be listed"),
        (["--device", "cuda:99"], "cuda"),
        (["--jobs", "0"], 'at least 1, got "0"'),
        (["--curves", "nowhere", "a.png"], "nowhere cannot be read as the log of a run"),
    ],
)
def test_an_impossible_evaluation_is_refused_before_anything_is_written(folder, capsys, arguments, reason):
    try:
        code = main([*EVALUATE, *arguments])
    except SystemExit as stop:  # argparse exits by itself
        code = stop.code

    assert code == 2
    assert reason in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_without_matplotlib_there_are_tables_and_a_message_about_pictures(folder, capsys, monkeypatch):
    monkeypatch.setattr(cli, "find_spec", lambda _: None)

    assert main([*EVALUATE, "--set", "figure_subjects=1"]) == 2
    assert "Pictures need matplotlib: pip install" in capsys.readouterr().err
    assert main([*EVALUATE, "--set", "scales=[2]"]) == 0
    assert main(["evaluate", "--curves", "run", "curves.png"]) == 2


def test_the_table_needs_no_matplotlib():
    code = "import sys, ArSSRLib.evaluation.cli; print('matplotlib' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_a_missing_protocol_is_refused_with_the_folder_of_protocols(capsys):
    assert main(["evaluate"]) == 2
    assert "ArSSRLib/evaluation/protocols" in capsys.readouterr().err


def test_training_curves_are_drawn_without_a_protocol(folder, capsys):
    (folder / "run").mkdir()
    (folder / "run" / "log.csv").write_text("step,seconds,name,value\n1,0,loss,0.5\n2,0,loss,0.4\n", encoding="utf-8")

    assert main(["evaluate", "--curves", "run", "curves.png"]) == 0

    assert (folder / "curves.png").exists()
    assert "curves.png: the curves of 1 runs." in capsys.readouterr().out
