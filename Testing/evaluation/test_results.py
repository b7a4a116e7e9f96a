"""The tidy table has one row for each number, in an order independent of when it was computed."""

import csv
import math

from evaluation.tables import CUBIC, protocol_of

from ArSSRLib.evaluation.protocol_methods import Method
from ArSSRLib.evaluation.results import Results, write_csv
from ArSSRLib.evaluation.runner import Cell, Place, Prepared, Problem
from ArSSRLib.evaluation.scoring import Value


def cell(subject, method, number, *, metric="psnr"):
    return Cell(Place(subject, "2", "point", method), (Value(metric, "volume", number),), 0.1, computed=True)


def results_of(tmp_path, *events):
    results = Results(protocol_of(tmp_path), {}, [])
    for event in events:
        results.add(event)
    return results


def test_rows_come_in_the_order_of_subjects_and_methods(tmp_path):
    events = [cell("b", "cubic", 1.0), cell("a", "back", 2.0), cell("a", "cubic", 3.0)]

    rows = results_of(tmp_path, *events).rows()

    assert [(row.subject, row.method, row.value) for row in rows] == [
        ("a", "cubic", 3.0),
        ("a", "back", 2.0),
        ("b", "cubic", 1.0),
    ]


def test_the_file_has_one_number_a_row_to_the_last_digit(tmp_path):
    results = results_of(tmp_path, cell("a", "cubic", 1 / 3), cell("b", "cubic", math.inf))

    write_csv(results.rows(), tmp_path / "results.csv")

    with (tmp_path / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0].values())[:-1] == ["a", "2", "point", "cubic", "psnr", "volume"]
    assert [float(row["value"]) for row in rows] == [1 / 3, math.inf]


def test_missing_parts_of_a_method_are_one_sentence(tmp_path):
    method = Method("other", "folder", files="{subject}.nii.gz")
    net = Method("net", "model", "net_{scale}")
    results = Results(protocol_of(tmp_path, methods=(CUBIC, method, net)), {}, ["net: there is no net_{scale}."])
    for subject in "abc":
        results.add(Problem(Place(subject, "2", "point", "other"), f"there is no {subject}.nii.gz.", missing=True))
        results.add(Problem(Place(subject, "2", "point", "net"), "net: there is no net_2.", missing=True))
    results.add(Problem(Place("d", "1x1x3", "real", "net"), "net: there is no net_1x1x3.", missing=True))

    assert results.absent() == [
        "net: there is no net_{scale}.",
        "there is no a.nii.gz. The same for 2 more of its results.",
        "net: there is no net_1x1x3.",
    ]


def test_failed_and_missing_cells_are_distinguished(tmp_path):
    failed, missing = Problem(Place("a"), "broken"), Problem(Place("b"), "not there", missing=True)
    prepared = Prepared(Place("a"), (8, 8, 8), (1.0, 1.0, 1.0), "ab")

    results = results_of(tmp_path, failed, missing, prepared)

    assert (results.failures, results.missing, results.prepared) == ([failed], [missing], [prepared])
