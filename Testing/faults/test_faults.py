"""After any fault, there is no incomplete result and no left-over file, and the message says what to do."""

from __future__ import annotations

import os
import shutil

import pytest
import torch
from derived_series import as_scanned
from dicom_series import write_series

from ArSSRLib import write_volume
from ArSSRLib.model.arssr import ArSSRConfig
from ArSSRLib.model.registry import build_model

if not hasattr(os, "fork"):
    pytest.skip("a process that divides itself needs POSIX", allow_module_level=True)

from faults.cases import CASES
from faults.server import fingerprints, make_folder, outcome


@pytest.fixture
def folder(phantom, tiny_weights, tmp_path):
    """The inputs of all faults."""
    for name in ("in", "weights"):
        (tmp_path / name).mkdir()
    write_volume(phantom.with_array(phantom.array.astype("i2")), tmp_path / "in" / "brain.nrrd")
    shutil.copy(tiny_weights, tmp_path / "weights" / "tiny.safetensors")
    config = ArSSRConfig(encoder="ResCNN", feature_channels=8, decoder_width=8)
    torch.save(build_model(config).state_dict(), tmp_path / "weights" / "theirs.pkl")
    write_series(tmp_path / "series", phantom.with_array(phantom.array.astype("i2")), edit=as_scanned)
    return tmp_path


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_a_fault_leaves_nothing_incomplete(server, folder, number):
    case = CASES[number]
    make_folder(folder, case)
    before = fingerprints(folder)

    code = server.run(number, folder)

    assert outcome(case, code, folder, before) == []
