"""A record suffices to reproduce a result, contains no names, and is refused if it was manipulated."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from ArSSRLib.errors import InputError
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.record import read_record, record_as_json, record_of, sidecar_of, tolerance, voxels_sha256
from ArSSRLib.upsampling import carry_out, plan_upsampling


@pytest.fixture
def record(phantom, tiny_model):
    tiny_model.name, tiny_model.sha256 = "tiny", "0" * 64
    plan = plan_upsampling(phantom, tiny_model, 2, UpsamplingOptions(device="cpu"))
    return record_of(phantom, carry_out(plan, phantom, tiny_model), tiny_model, plan)


def test_a_record_contains_everything_that_affects_the_result(record, phantom):
    assert (record["model"], record["scale"], record["size"]) == ("tiny", [2, 2, 2], [40, 36, 18])
    assert (record["device"], record["precision"] in ("fp32", "bf16")) == ("cpu", True)
    assert (record["threads"], record["torch"]) == (torch.get_num_threads(), torch.__version__)
    assert (record["tiles"], record["largest_tile"]) == (1, phantom.array.size)
    assert record["input_sha256"] == voxels_sha256(phantom.array)


def test_a_record_is_read_back_unchanged(record, tmp_path):
    (tmp_path / "r.json").write_bytes(record_as_json(record))

    assert read_record(tmp_path / "r.json") == record


def test_a_checksum_does_not_depend_on_the_memory_layout():
    array = np.arange(24, dtype="<i2").reshape(2, 3, 4)

    same = {voxels_sha256(array), voxels_sha256(array.astype(">i2")), voxels_sha256(np.asfortranarray(array))}
    assert len(same) == 1
    others = [array + 1, array.reshape(3, 2, 4), array.astype("u2"), array.astype("i4")]
    assert len({*same, *map(voxels_sha256, others)}) == 5


def test_the_tolerance_is_a_fraction_of_the_range_and_at_least_1_for_integers(record):
    record = {**record, "precision": "fp32"}
    values = np.array([[[-100.0, 900.0, np.nan]]], np.float32)

    assert tolerance(record, values) == pytest.approx(0.01)
    assert tolerance(record, np.array([[[0, 1000]]], np.int16)) == 1
    assert tolerance({**record, "precision": "bf16"}, values) == pytest.approx(20)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 1},
        {"model": 3},
        {"scale": [2, 2]},
        {"scale": [2, 2, "x"]},
        {"scale": [2, 2, 1e999]},
        {"threads": 10**9},
        {"memory_limit": -1},
        {"backend": "onnx"},
        {"threads": True},
        {"input_sha256": "../x"},
        {"extra": 1},
    ],
)
def test_a_changed_record_is_refused(record, tmp_path, change):
    (tmp_path / "r.json").write_text(json.dumps({**record, **change}))

    with pytest.raises(InputError, match="--provenance"):
        read_record(tmp_path / "r.json")


@pytest.mark.parametrize("text", ["", "[" * 99999, "[]", "null", "\ud800", "{}" + " " * 200_000])
def test_a_file_that_is_not_a_record_is_refused(tmp_path, text):
    (tmp_path / "r.json").write_bytes(text.encode("utf-8", "surrogatepass"))

    with pytest.raises(InputError, match="--provenance"):
        read_record(tmp_path / "r.json")


def test_the_record_is_beside_its_result(tmp_path):
    assert sidecar_of(tmp_path / "brain.nii.gz") == tmp_path / "brain.nii.gz.arssr.json"
