"""Training curves: a color for each run, a panel for each kind of value, as logged."""

import csv

import pytest

from ArSSRLib.errors import ArSSRError
from ArSSRLib.evaluation.curves import PANELS, draw_curves, read_log
from ArSSRLib.training.journal import COLUMNS, LOG, Journal, summary

LOSSES = [(100, 0.9), (200, 0.7), (300, 0.6)]


def write_run(folder, rows):
    folder.mkdir(parents=True)
    with (folder / LOG).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *((step, 1, name, value) for name, step, value in rows)])
    return folder


@pytest.fixture
def runs(tmp_path):
    one = [("loss", step, value) for step, value in LOSSES]
    two = [("loss", 100, 0.8), ("mean", 100, 0.25), ("2x2x2 point", 100, 0.5)]
    return [write_run(tmp_path / "one", one), write_run(tmp_path / "two", two)]


def test_every_run_is_a_curve_with_the_values_of_its_log(runs, tmp_path):
    figure = draw_curves(runs, tmp_path / "curves.png")

    loss, mean = figure.axes
    assert [axes.get_title() for axes in figure.axes] == [PANELS["loss"], PANELS["mean"]]
    curves = {line.get_label(): line.get_xydata().tolist() for line in loss.get_lines()}
    assert curves == {"one": [list(point) for point in LOSSES], "two": [[100, 0.8]]}
    assert mean.get_lines()[0].get_xydata().tolist() == [[100, 0.25]]
    assert loss.get_lines()[0].get_color() != loss.get_lines()[1].get_color()
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_runs_of_the_same_name_are_distinguished(runs, tmp_path):
    other = write_run(tmp_path / "elsewhere" / "one", [("loss", 100, 0.3)])

    (axes,) = draw_curves([runs[0], other], tmp_path / "curves.png").axes

    assert [line.get_label() for line in axes.get_lines()] == [str(runs[0]), str(other)]


def test_the_panels_show_the_values_that_training_logs(tmp_path):
    journal = Journal(tmp_path, 10, first_step=0, progress=False)
    journal.record(5, 1.0, {**summary(0.5, 0.9, (1.0, 2.0), 6), "mean": 0.1})
    journal.close()

    assert set(PANELS) <= set(read_log(tmp_path))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "log.csv cannot be read"),
        ("a,b\n1,2\n", "cannot be read as the log"),
        ("step,seconds,name,value\n", "none"),
    ],
)
def test_a_folder_that_is_not_a_run_is_refused(tmp_path, content, reason):
    (tmp_path / "run").mkdir()
    if content is not None:
        (tmp_path / "run" / LOG).write_text(content, encoding="utf-8")

    with pytest.raises(ArSSRError, match=reason):
        draw_curves([tmp_path / "run"], tmp_path / "curves.png")


def test_another_picture_format_is_refused(runs):
    with pytest.raises(ArSSRError, match=r"two: pictures are saved as PNG"):
        draw_curves(runs[:1], runs[1])


def test_a_picture_without_a_run_is_refused(tmp_path):
    with pytest.raises(ArSSRError, match="No run was specified"):
        draw_curves([], tmp_path / "curves.png")
