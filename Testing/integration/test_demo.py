"""The demo, on a phantom and with the tiny model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import phantoms
import pytest

from ArSSRLib import Volume, read_volume
from ArSSRLib.volume import FileHeader


@pytest.fixture(scope="module")
def demo(load_script):
    return load_script("run_demo")


@pytest.fixture
def brain(oblique_geometry):
    """A phantom with odd lengths, which the demo must crop."""
    geometry = replace(oblique_geometry, size=(25, 24, 17))
    return phantoms.sample(phantoms.blobs_in(geometry), geometry)


def test_the_coarse_volume_has_the_field_of_view_of_the_truth(demo, brain):
    truth = demo.cropped(brain)

    assert truth.geometry.size == (24, 24, 16)
    assert demo.coarsened(truth).geometry.upsampled(2).matches(truth.geometry, tolerance_mm=1e-9)


def test_coarsening_leaves_the_anatomy_where_it_is(demo, brain):
    truth = demo.cropped(brain)

    moved = phantoms.centroid(demo.coarsened(truth)) - phantoms.centroid(truth)
    assert abs(moved).max() < 0.05


def test_the_demo_writes_volumes_a_picture_and_a_table(demo, brain, tiny_weights, tmp_path, capsys):
    demo.demonstrate("Phantom", brain, tmp_path, model=tiny_weights)

    printed = capsys.readouterr().out
    truth, result = (read_volume(tmp_path / name) for name in ("truth.nii.gz", "arssr.nii.gz"))
    assert result.geometry.matches(truth.geometry)
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert [
        line.split()[0] for line in printed.splitlines() if line.endswith(tuple("0123456789")) and "dB" in line
    ] == [
        "cubic",
        "ArSSR",
    ]


def test_a_network_without_a_residual_scores_as_cubic(demo, brain, plain_weights, tmp_path, capsys):
    eight_bit = Volume(brain.array.astype(np.uint8), brain.geometry, FileHeader(dtype=np.dtype(np.uint8)))
    demo.demonstrate("Phantom", eight_bit, tmp_path, model=plain_weights, consistency="off")

    names = ("input.nii.gz", "cubic.nii.gz", "arssr.nii.gz")
    coarse, cubic, ours = (read_volume(tmp_path / name).array for name in names)
    # Upsampling adds no voxel darker than the darkest of its input.
    expected = cubic.clip(coarse.min())
    np.testing.assert_allclose(ours, expected, atol=1e-5 * cubic.max())
