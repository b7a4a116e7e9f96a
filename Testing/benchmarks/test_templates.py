"""Averages of aligned volumes are smooth, as templates are."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name everyone knows it by
from phantoms import Blob, centroid, sample, texture

from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import read_volume, write_volume
from ArSSRLib.io.sources import find_sources

EDGE = 60
SHIFTS = ((0.0, 0.0, 0.0), (4.0, -3.0, 2.0), (-3.0, 5.0, -4.0))


@pytest.fixture
def subjects(tmp_path):
    """A folder of three volumes: the same head elsewhere, each with its own detail."""
    folder = tmp_path / "training"
    folder.mkdir()
    grid = VolumeGeometry((EDGE,) * 3, (1.0,) * 3)
    for number, shift in enumerate(SHIFTS):
        parts = [
            Blob(tuple(np.add(center, shift)), sigma, 900.0) for center, sigma in (((30, 30, 30), 9), ((38, 30, 26), 5))
        ]
        head = sample(parts, grid)
        detail = texture(EDGE, seed=number) * (head.array > 90)
        write_volume(head.with_array(head.array + 20 * detail, grid), folder / f"a_sub-{number}.nii.gz")
    return folder


@pytest.fixture
def averaged(subjects, tmp_path, monkeypatch):
    """The folder that the script writes."""
    import templates

    output = tmp_path / "averages"
    monkeypatch.setattr(sys, "argv", ["templates.py", str(subjects), str(output), "--group", "a_"])
    templates.main()
    return output


def detail_of(array):
    """Return the power near the Nyquist frequency, relative to all power."""
    power = np.abs(np.fft.fftn(array - array.mean())) ** 2
    radius = np.sqrt(sum(f**2 for f in np.meshgrid(*[np.fft.fftfreq(n) for n in array.shape], indexing="ij")))
    return power[radius > 0.35].sum() / power.sum()


def test_an_average_lies_where_the_first_volume_does_and_is_smoother(subjects, averaged):
    first, mean = read_volume(subjects / "a_sub-0.nii.gz"), read_volume(averaged / "a_mean.nii.gz")

    assert mean.geometry.spacing == pytest.approx((1, 1, 1))
    assert centroid(mean) == pytest.approx(centroid(first), abs=0.7)
    assert detail_of(mean.array) < 0.6 * detail_of(first.array)


def test_the_coarse_copy_has_the_same_field_of_view(averaged):
    fine, coarse = (read_volume(averaged / f"a_{name}.nii.gz") for name in ("mean", "mean-coarse"))

    assert coarse.geometry.spacing == pytest.approx((2, 2, 2))
    assert coarse.geometry.extent == pytest.approx(fine.geometry.extent)
    assert centroid(coarse) == pytest.approx(centroid(fine), abs=0.2)


def test_training_takes_the_averages_beside_the_volumes(averaged):
    names = [source.path.name for source in find_sources(averaged / "training.csv", "train")]

    assert names == [
        *(f"a_sub-{number}.nii.gz" for number in range(3)),
        "a_mean.nii.gz",
        "a_mean-coarse.nii.gz",
        "field.nii.gz",
    ]


def test_many_volumes_yield_further_averages_and_a_warped_one_keeps_more_detail(subjects, monkeypatch):
    import templates

    monkeypatch.setattr(templates, "FEW", slice(0, 2))
    monkeypatch.setattr(templates, "MORE", slice(1, 3))
    monkeypatch.setattr(templates, "WARPED_VOLUMES", slice(0, 2))

    found = {name: image for name, (image, _) in templates.averages(sorted(subjects.iterdir())).items()}

    assert set(found) == {"mean", "mean-coarse", "mean-few", "mean-more", "warped", "warped-coarse"}
    warped, mean = (sitk.GetArrayFromImage(found[name]) for name in ("warped", "mean"))
    assert np.corrcoef(warped.ravel(), mean.ravel())[0, 1] > 0.95
    assert detail_of(warped) > detail_of(mean)


def test_a_random_field_is_smooth_and_lies_in_an_ellipsoid(averaged):
    field = read_volume(averaged / "field.nii.gz").array

    assert np.all(field[0] == 0)
    assert field.max() == 1000
    inner = field[30:60, 30:60, 30:60].astype(float)
    assert np.corrcoef(inner[:-1].ravel(), inner[1:].ravel())[0, 1] > 0.9
