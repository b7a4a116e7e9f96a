"""``arssr upsample --backend openvino`` from file to file, and its reproduction."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ArSSRLib import device, read_volume
from ArSSRLib.cli import main


@pytest.fixture
def made(arssr, brain, tmp_path):
    """Return a function that computes a result with OpenVINO, with its record."""
    pytest.importorskip("openvino", reason="the optional package openvino is not installed")

    def make(precision):
        options = ["--scale", "1.5", "--backend", "openvino", "--precision", precision, "--provenance"]
        assert arssr(brain, tmp_path / "out.nii.gz", *options) == 0
        return tmp_path / "out.nii.gz"

    return make


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_record_names_the_backend_and_makes_the_result_again(made, tiny_weights, capsys, precision):
    path = made(precision)

    record = json.loads((path.parent / "out.nii.gz.arssr.json").read_text())
    assert (record["backend"], record["precision"]) == ("openvino", precision)
    assert main(["reproduce", str(path), "--model", str(tiny_weights)]) == 0


def test_another_backend_is_another_result_in_8_bits(made, arssr, brain, tmp_path):
    rounded = read_volume(made("int8")).array
    assert arssr(brain, tmp_path / "torch.nii.gz", "--scale", "1.5", "--precision", "fp32") == 0

    assert np.abs(rounded - read_volume(tmp_path / "torch.nii.gz").array).max() > 0


def test_a_record_with_a_backend_that_is_not_here_is_refused(made, tiny_weights, capsys, monkeypatch):
    path = made("fp32")
    monkeypatch.setattr(device, "find_spec", lambda _: None)
    capsys.readouterr()

    assert main(["reproduce", str(path), "--model", str(tiny_weights)]) == 2
    assert "pip install openvino" in capsys.readouterr().err


def test_a_backend_is_refused_before_anything_is_read(arssr, tmp_path, monkeypatch, assert_refused):
    monkeypatch.setattr(device, "find_spec", lambda _: None)

    code = arssr(tmp_path / "missing.nii.gz", tmp_path / "out.nii.gz", "--scale", "2", "--backend", "openvino")

    assert_refused(code, tmp_path / "out.nii.gz", "pip install openvino")
