"""The whole program keeps the memory limit, even if the result is larger."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ArSSRLib import Volume, VolumeGeometry, planning, read_volume, upsample, write_volume
from ArSSRLib.checkpoint import load_model, save_model
from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.model.registry import build_model
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.volume import FileHeader

# Runs the command line, and reads its peak memory from Linux at the end.
RUN = """
import json, re, sys
from pathlib import Path
from ArSSRLib.cli import main
code = main(sys.argv[1:])
peak = int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps([code, peak]))
"""
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs the account of Linux")


def peak_of(*arguments: object) -> int:
    """Run ``arssr`` in a separate process with one thread; return its peak memory in bytes."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    result = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, arguments)],
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    code, peak = json.loads(result.stdout.splitlines()[-1])
    assert code == 0, result.stderr
    return peak


def noise(edge: int, dtype: str) -> Volume:
    array = np.random.default_rng(edge).integers(0, 3000, (edge,) * 3).astype(dtype)
    return Volume(array, VolumeGeometry((edge,) * 3, (1.0, 1.0, 1.0)), FileHeader(dtype=np.dtype(dtype)))


@on_linux
def test_a_tight_limit_is_kept(tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(ArSSR2Config(channels=48, blocks=1, feature_channels=16, decoder_layers=2)).eval()
    weights = save_model(model, tmp_path / "wide.safetensors", metadata={})
    source = write_volume(noise(88, "i2"), tmp_path / "in.nii")
    options = ["--scale", 1.2, "--model", weights, "--device", "cpu", "--precision", "fp32", "--progress", "none"]

    whole = peak_of("upsample", source, tmp_path / "whole.nii", *options)
    tiled = peak_of("upsample", source, tmp_path / "tiled.nii", *options, "--memory-limit", 0.45)

    assert whole > 1.1 * 0.45e9, "the limit must matter"
    assert tiled <= 1.1 * 0.45e9
    difference = read_volume(tmp_path / "tiled.nii").array.astype(int) - read_volume(tmp_path / "whole.nii").array
    assert np.abs(difference).max() <= 1


@on_linux
def test_a_result_larger_than_the_limit_is_written_within_it(tiny_weights, tmp_path):
    source = write_volume(noise(94, "i8"), tmp_path / "in.nii.gz")
    limit = 0.42
    options = ["--scale", 4, "--model", tiny_weights, "--device", "cpu", "--precision", "fp32", "--progress", "none"]

    peak = peak_of("upsample", source, tmp_path / "out.nii", *options, "--memory-limit", limit)

    edge = 4 * 94
    assert (tmp_path / "out.nii").stat().st_size == 352 + 8 * edge**3
    assert 8 * edge**3 > limit * 1e9
    assert peak <= 1.1 * limit * 1e9
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.nii.gz", "out.nii"]
    written = np.memmap(tmp_path / "out.nii", "<i8", mode="r", offset=352, shape=(edge,) * 3)
    for first in (0, 150, edge - 20):
        box = ((first, first + 20), (edge - 20 - first, edge - first), (first, first + 20))
        options = UpsamplingOptions(device="cpu", precision="fp32")
        piece = upsample(read_volume(source), load_model(tiny_weights), 4, options, region=box)
        i, j, k = (slice(*pair) for pair in box)
        assert np.abs(written[k, j, i] - piece.array).max() <= 1


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", ["integers", "integers with a slope", "real numbers", "a constant", "not numbers"])
def test_the_file_is_the_same_whether_the_result_was_on_the_disk_or_not(
    suffix, kind, phantom, tmp_path, arssr, monkeypatch
):
    array = phantom.array.copy()
    if kind == "a constant":
        array[...] = 7.25
    elif kind == "not numbers":
        array[2, 3, 4] = np.nan
    header = (
        FileHeader(dtype=np.dtype(np.int16), scaled=kind == "integers with a slope") if "integers" in kind else None
    )
    volume = replace(phantom, array=array, header=header or phantom.header)
    source = write_volume(volume, tmp_path / "in.nii")

    assert arssr(source, tmp_path / f"memory{suffix}", "--scale", "2", "1.5", "3", "--provenance") == 0
    monkeypatch.setattr(planning, "DISK_PAYS", 0.0)
    assert arssr(source, tmp_path / f"disk{suffix}", "--scale", "2", "1.5", "3", "--provenance") == 0

    for end in (suffix, f"{suffix}.arssr.json"):
        assert (tmp_path / f"disk{end}").read_bytes() == (tmp_path / f"memory{end}").read_bytes()


def test_a_full_disk_is_reported_before_the_work(brain, tmp_path, arssr, assert_refused, monkeypatch):
    monkeypatch.setattr(planning, "DISK_PAYS", 0.0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))

    code = arssr(brain, tmp_path / "out.nii.gz", "--scale", "2")

    assert_refused(code, tmp_path / "out.nii.gz", "GB on the disk", "GB are free", "choose another folder")


def test_a_format_that_needs_copies_in_memory_names_those_that_do_not(
    brain, tmp_path, arssr, assert_refused, monkeypatch
):
    monkeypatch.setattr("ArSSRLib.upsampling.free_memory", lambda _: 20_000)

    code = arssr(brain, tmp_path / "out.nrrd", "--scale", "4")

    assert_refused(
        code, tmp_path / "out.nrrd", "of memory, but only", ".nii.gz or .nii format may be larger than the memory"
    )
