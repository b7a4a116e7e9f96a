"""The report: means, differences and intervals are correct, the paper's numbers are marked, and nothing is omitted."""

import math
import re
from dataclasses import replace

import pytest
from evaluation.tables import BACK, CUBIC, protocol_of

from ArSSRLib.evaluation.markdown import markdown_table
from ArSSRLib.evaluation.protocol import Published
from ArSSRLib.evaluation.protocol_methods import Method
from ArSSRLib.evaluation.report import write_report
from ArSSRLib.evaluation.results import Results
from ArSSRLib.evaluation.runner import Cell, Place, Prepared, Problem
from ArSSRLib.evaluation.scoring import Value

CUBIC_NUMBERS = {"sub-01": 30.0, "sub-02": 32.0, "sub-03": 34.0}


def cells(method, numbers, *, scale="2", degradation="point", metric="psnr", region="volume"):
    return [
        Cell(Place(subject, scale, degradation, method), (Value(metric, region, number),), 0.1, computed=True)
        for subject, number in numbers.items()
    ]


def report(tmp_path, events, *, weights=None, left_out=(), figures=(), **changes):
    results = Results(protocol_of(tmp_path, **changes), weights or {}, list(left_out))
    for event in events:
        results.add(event)
    write_report(results, tmp_path / "report.md", command="arssr evaluate x.toml", figures=figures)
    return (tmp_path / "report.md").read_text(encoding="utf-8")


def row_of(text, name):
    return [line for line in text.splitlines() if line.startswith(f"| {name} |")]


def test_means_and_deviations_are_those_of_the_subjects(tmp_path):
    text = report(tmp_path, cells("cubic", CUBIC_NUMBERS))

    assert row_of(text, "cubic")[0] == "| cubic | 32.00 ± 2.00 |"


def test_a_single_subject_has_a_mean_but_no_deviation(tmp_path):
    assert row_of(report(tmp_path, cells("cubic", {"sub-01": 30.0})), "cubic")[0] == "| cubic | 30.00 |"


def test_differences_are_paired_and_have_an_interval(tmp_path):
    better = {subject: number + 1 for subject, number in CUBIC_NUMBERS.items()}

    text = report(tmp_path, [*cells("cubic", CUBIC_NUMBERS), *cells("back", better)])

    assert row_of(text, "back")[1] == "| back | +1.00 [+1.00, +1.00] |"
    assert "with 3 subjects, the interval is narrower than it should be" in text


def test_a_single_subject_has_a_difference_but_no_interval(tmp_path):
    text = report(tmp_path, [*cells("cubic", {"sub-01": 30.0}), *cells("back", {"sub-01": 31.0})])

    assert row_of(text, "back")[1] == "| back | +1.00 |"
    assert "Paired difference to cubic; a single subject has no confidence interval." in text


def test_the_reference_is_the_one_that_is_named(tmp_path):
    better = {subject: number + 1 for subject, number in CUBIC_NUMBERS.items()}

    text = report(tmp_path, [*cells("cubic", CUBIC_NUMBERS), *cells("back", better)], reference="back")

    assert row_of(text, "cubic")[1] == "| cubic | -1.00 [-1.00, -1.00] |"


def test_the_numbers_of_the_paper_are_separate_and_marked(tmp_path):
    published = (Published("back", "psnr", (2.0, 4.0), (36.55, 31.33)),)

    text = report(tmp_path, cells("cubic", CUBIC_NUMBERS), published=published)

    assert "| method, volume | 2x | paper, 2x (not comparable) |" in text
    assert row_of(text, "back")[0] == "| back | - | 36.55 |"


def test_a_method_that_could_not_run_here_keeps_the_numbers_of_the_paper(tmp_path):
    published = (Published("not here", "psnr", (2.0,), (36.55,)),)

    text = report(tmp_path, cells("cubic", CUBIC_NUMBERS), published=published)

    assert row_of(text, "not here") == ["| not here | - | 36.55 |"]


def test_the_numbers_of_the_paper_are_not_set_beside_those_in_the_mask(tmp_path):
    published = (Published("cubic", "psnr", (2.0,), (36.55,)),)

    text = report(tmp_path, cells("cubic", CUBIC_NUMBERS, region="mask"), published=published)

    assert "not comparable" not in text


def test_every_degradation_has_a_table_and_a_sentence(tmp_path):
    events = [*cells("cubic", CUBIC_NUMBERS), *cells("cubic", {"sub-01": 21.0}, degradation="box")]

    text = report(tmp_path, events, degradations=("point", "box"))

    assert [line for line in row_of(text, "cubic") if "kind" not in line][:2] == [
        "| cubic | 32.00 ± 2.00 |",
        "| cubic | 21.00 |",
    ]
    assert 'Degradation "box": the mean of the truth over each coarse voxel.' in text


def test_an_infinite_number_is_shown(tmp_path):
    assert "| cubic | inf |" in report(tmp_path, cells("cubic", {"sub-01": math.inf}))


def test_data_crop_weights_and_versions_are_stated(tmp_path):
    methods = (CUBIC, Method("net", "model", "net_{scale}"))
    events = [Prepared(Place("sub-01"), (24, 22, 20), (1.0, 1.0, 1.25), "f00d"), *cells("cubic", {"sub-01": 30.0})]
    weights = {"net": {"2": "aa", "3": "bb"}}

    text = report(tmp_path, events, methods=methods, weights=weights, crop="mask", spacing=1.2, data="Adults.")

    assert "1 subjects of `" in text
    assert "Adults." in text
    assert "resampled to 1.2 mm isotropic" in text
    assert "bounding box of its mask and 8 voxels" in text
    assert "| net | model | 2x: aa<br>3x: bb |" in text
    assert "| sub-01 | 24 x 22 x 20 | 1 x 1 x 1.25 | f00d |" in text
    assert re.search(r"ArSSRLib \S+, Python 3\.\S+, numpy \S+, scipy \S+, torch \S+", text)
    assert "Made by `arssr evaluate x.toml`." in text


def test_weights_that_are_one_file_for_all_scales_are_named_once(tmp_path):
    text = report(tmp_path, cells("cubic", CUBIC_NUMBERS), weights={"cubic": {"2": "aa", "3": "aa"}})

    assert "| cubic | cubic | aa |" in text


def test_failed_and_omitted_cells_are_listed_at_the_top(tmp_path):
    events = [
        *cells("cubic", CUBIC_NUMBERS),
        Problem(Place("sub-02", "2", "point", "back"), "it broke."),
        Problem(Place("sub-01", "2", "point", "x"), "x: there is no file.", missing=True),
    ]

    text = report(tmp_path, events, left_out=["Metric lpips_vgg: get it."])

    top = text.partition("## Tables")[0]
    assert "- sub-02, scale 2, point, back: it broke." in top
    assert "- Metric lpips_vgg: get it." in top
    assert "- x: there is no file." in top


def test_a_note_is_below_every_table_with_its_methods_and_marks_them(tmp_path):
    long, short = "trained for 15 minutes", "trained for 3 minutes"
    methods = (CUBIC, replace(BACK, note=long), Method("a", "truth", note=short), Method("b", "truth", note=long))
    names = ("cubic", "back", "a", "b")

    text = report(tmp_path, [event for name in names for event in cells(name, CUBIC_NUMBERS)], methods=methods)

    for name in ("cubic", "back (a)", "a (b)", "b (a)"):
        assert row_of(text, name)[0] == f"| {name} | 32.00 ± 2.00 |"
    assert text.count(f"(a) {long}<br>(b) {short}") == 1
    assert len(row_of(text, "back (a)")) == 2  # its differences, too


def test_a_note_of_a_method_that_is_not_in_a_table_is_not_under_it(tmp_path):
    methods = (CUBIC, replace(BACK, note="slow"))

    assert "slow" not in report(tmp_path, cells("cubic", CUBIC_NUMBERS), methods=methods)


def test_real_volumes_have_their_notes_too(tmp_path):
    events = cells("back", {"thick": 0.5}, scale="1x1x3", degradation="real", metric="ripple")

    text = report(tmp_path, events, real=tmp_path, methods=(CUBIC, replace(BACK, note="slow")))

    assert "| volume | scale | back (a) |" in text
    assert "\n(a) slow\n" in text


def test_nan_is_distinguished_from_a_missing_cell(tmp_path):
    word = '"-" in a cell that was computed: the metric is not a number there.'

    assert word in report(tmp_path, cells("cubic", {"sub-01": math.nan}))
    assert word not in report(tmp_path, cells("cubic", CUBIC_NUMBERS))


def test_differences_are_listed_once_if_there_is_a_mask(tmp_path):
    both = [
        event
        for name in ("cubic", "back")
        for region in ("volume", "mask", "lesions")
        for event in cells(name, CUBIC_NUMBERS, region=region)
    ]

    text = report(tmp_path, both)

    tables = text.partition("## What was compared")[0].split("### ")[1:]
    assert ["minus cubic" in table for table in tables] == [True, True, False]
    assert [table.splitlines()[0] for table in tables] == ["PSNR, dB, mask", "PSNR, dB, lesions", "PSNR, dB, volume"]


def test_synthetic_lesions_are_called_so_in_the_title_and_in_every_caption(tmp_path):
    prepared = Prepared(Place("sub-01"), (24, 22, 20), (1.0, 1.0, 1.0), "f00d", 7)
    events = [prepared, *cells("cubic", CUBIC_NUMBERS), *cells("cubic", CUBIC_NUMBERS, metric="ssim")]

    text = report(tmp_path, events, lesions="synthetic")
    plain = report(tmp_path, events[1:])

    assert text.startswith("# Phantoms (synthetic lesions)\n")
    assert text.count("larger is better. Lesions are synthetic.") == 2
    assert "- Lesions: synthetic, not of a patient:" in text
    assert "| sub-01 | 24 x 22 x 20 | 1 x 1 x 1 | f00d | 7 |" in text
    assert "synthetic lesions" not in plain.lower()


def test_real_volumes_have_a_row_each(tmp_path):
    events = [
        *cells("cubic", {"thick": 0.3}, scale="1x1x3", degradation="real", metric="ripple"),
        *cells("back", {"thick": 0.5}, scale="1x1x3", degradation="real", metric="ripple"),
    ]

    text = report(tmp_path, events, real=tmp_path)

    assert "| volume | scale | cubic | back |" in text
    assert row_of(text, "thick") == ["| thick | 1x1x3 | 0.3000 | 0.5000 |"]


def test_pictures_are_shown_by_their_place_beside_the_report(tmp_path):
    text = report(tmp_path, cells("cubic", CUBIC_NUMBERS), figures=[tmp_path / "figures" / "a_montage.png"])

    assert "![a_montage](figures/a_montage.png)" in text


@pytest.mark.parametrize("method", [BACK, CUBIC])
def test_a_table_without_its_reference_says_so(tmp_path, method):
    other = "cubic" if method is BACK else "back"

    text = report(tmp_path, cells(method.name, CUBIC_NUMBERS), reference=other)

    assert f"There are no results of {other} for paired differences." in text


def test_a_bar_in_a_name_does_not_end_its_cell():
    assert markdown_table(["a|b"], [["c"]]).splitlines()[0] == "| a\\|b |"
