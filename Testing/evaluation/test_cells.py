"""Stored cells are found again exactly if everything that affects their result is the same."""

import json
import math

import pytest

from ArSSRLib.errors import OutputError
from ArSSRLib.evaluation.cells import CellStore, Finished, key_of, lacking
from ArSSRLib.evaluation.scoring import Value

FACTS = {"voxels": "ab12", "scale": (2.0, 2.0, 2.0), "method": "model", "identity": "cd34", "mask": True}
VALUES = {"psnr": [Value("psnr", "volume", 31.25), Value("psnr", "mask", math.inf)], "ripple": []}


@pytest.fixture
def store(tmp_path):
    return CellStore(tmp_path / "out")


def only_file(tmp_path):
    (file,) = (tmp_path / "out" / "cells").iterdir()
    return file


def test_a_cell_is_read_as_it_was_written(store, tmp_path):
    store.write(key_of(FACTS), FACTS, Finished(VALUES, 1.5))

    assert CellStore(tmp_path / "out").read(key_of(FACTS)) == Finished(VALUES, 1.5)


@pytest.mark.parametrize("name", FACTS)
def test_every_fact_decides(name):
    assert key_of({**FACTS, name: "other"}) != key_of(FACTS)


def test_the_order_of_the_facts_decides_nothing():
    assert key_of(dict(reversed(FACTS.items()))) == key_of(FACTS)


def test_a_missing_cell_is_unfinished(store):
    assert store.read(key_of(FACTS)) is None
    assert lacking(None, ["psnr", "ssim"]) == ["psnr", "ssim"]


def test_a_cell_without_a_value_is_finished_too():
    assert lacking(Finished(VALUES, 1.5), ["psnr", "ssim", "ripple"]) == ["ssim"]


def test_a_metric_measured_later_is_added_to_the_others(store):
    store.write(key_of(FACTS), FACTS, Finished(VALUES, 1.5))
    later = {"ssim": [Value("ssim", "volume", 0.9)]}

    store.write(key_of(FACTS), FACTS, Finished(later, 1.5))

    assert store.read(key_of(FACTS)).values == {**VALUES, **later}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"values": {"psnr": [[1]]}, "seconds": 1}', '{"values": 3}'])
def test_a_damaged_file_is_unfinished_and_replaced(store, tmp_path, content):
    store.write(key_of(FACTS), FACTS, Finished(VALUES, 1.5))
    only_file(tmp_path).write_text(content, encoding="utf-8")

    assert store.read(key_of(FACTS)) is None
    store.write(key_of(FACTS), FACTS, Finished(VALUES, 1.5))
    assert store.read(key_of(FACTS)) == Finished(VALUES, 1.5)


def test_a_file_records_what_affects_its_result(store, tmp_path):
    store.write(key_of(FACTS), FACTS, Finished(VALUES, 1.5))

    assert json.loads(only_file(tmp_path).read_text(encoding="utf-8"))["facts"]["identity"] == "cd34"


def test_an_output_that_cannot_be_a_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("a file", encoding="utf-8")

    with pytest.raises(OutputError, match="out: cannot be created"):
        CellStore(tmp_path / "out")
