"""Units, spacing and orientation of each axis in NRRD and MetaImage; missing information causes a warning."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from nrrd_files import IN_SPACE, nrrd, voxels

from ArSSRLib.io import read_volume

UNITS = [("um", 1e-3), ("m", 1e3), ("mm", 1), ("cm", 10), ("micrometers", 1e-3), ("inch", 25.4)]


@pytest.mark.parametrize(("unit", "factor"), UNITS)
def test_units_of_nrrd_are_honored(tmp_path, caplog, unit, factor):
    found = read_volume(nrrd(tmp_path / "a.nrrd", *IN_SPACE, f'space units: "{unit}" "{unit}" "{unit}"')).geometry

    np.testing.assert_allclose(found.spacing, np.multiply((1, 1, 2), factor))
    np.testing.assert_allclose(found.origin, np.multiply((5, 6, 7), factor))
    assert not caplog.records


def test_units_of_the_axes_of_nrrd_and_of_metaimage_are_honored(tmp_path):
    by_axis = nrrd(tmp_path / "a.nrrd", "spacings: 100 200 3", 'units: "um" "um" "mm"')
    sitk.WriteImage(sitk.GetImageFromArray(voxels()), str(tmp_path / "b.mha"))
    content = (tmp_path / "b.mha").read_bytes()
    (tmp_path / "b.mha").write_bytes(content.replace(b"ElementType", b"DistanceUnits = um\nElementType"))

    np.testing.assert_allclose(read_volume(by_axis).geometry.spacing, (0.1, 0.2, 3))
    np.testing.assert_allclose(read_volume(tmp_path / "b.mha").geometry.spacing, (1e-3, 1e-3, 1e-3))


def test_an_unknown_unit_causes_a_warning(tmp_path, caplog):
    read_volume(nrrd(tmp_path / "a.nrrd", *IN_SPACE, 'space units: "furlong" "furlong" "furlong"'))

    assert '"furlong", which is not a known unit' in caplog.text


@pytest.mark.parametrize("no_unit", ["", "none", "???"])
def test_an_axis_without_a_unit_does_not_shift_the_units_of_the_others(tmp_path, caplog, no_unit):
    in_space = nrrd(tmp_path / "a.nrrd", *IN_SPACE, f'space units: "mm" "{no_unit}" "cm"')
    by_axis = nrrd(tmp_path / "b.nrrd", "spacings: 1 2 3", f'units: "{no_unit}" "mm" "cm"')

    np.testing.assert_allclose(read_volume(in_space).geometry.spacing, (1, 1, 20))
    np.testing.assert_allclose(read_volume(in_space).geometry.origin, (5, 6, 70))
    np.testing.assert_allclose(read_volume(by_axis).geometry.spacing, (1, 2, 30))
    assert "a unit of length for some axes only" in caplog.text


def test_a_third_axis_takes_the_unit_of_the_other_two(tmp_path):
    found = read_volume(nrrd(tmp_path / "a.nrrd", *IN_SPACE, 'space units: "um" "none" "um"')).geometry

    np.testing.assert_allclose(found.spacing, (1e-3, 1e-3, 2e-3))


@pytest.mark.parametrize(
    ("sizes", "kinds", "spacings", "units"),
    [
        ("1 4 5 6", "list domain domain domain", "nan 1 2 3", '"s" "cm" "mm" "mm"'),
        ("4 5 6 1", "space space space time", "1 2 3 2.5", '"cm" "mm" "mm" "s"'),
    ],
)
def test_a_nonspatial_axis_changes_no_spacing(tmp_path, caplog, sizes, kinds, spacings, units):
    lines = (f"kinds: {kinds}", f"spacings: {spacings}", f"units: {units}")

    found = read_volume(nrrd(tmp_path / "a.nrrd", *lines, sizes=sizes))

    np.testing.assert_allclose(found.geometry.spacing, (10, 2, 3))
    assert "unit" not in caplog.text


@pytest.mark.parametrize("space", ["spacings: 1 1 2", "space: scanner-xyz", "space dimension: 3"])
def test_axes_that_are_not_related_to_the_patient_cause_a_warning(tmp_path, caplog, space):
    lines = [space] if space.startswith("spacings") else [space, *IN_SPACE[1:]]

    read_volume(nrrd(tmp_path / "a.nrrd", *lines))

    assert "left and right are a guess" in caplog.text


@pytest.mark.parametrize("name", ["RAS", "right-anterior-superior", "Left-Posterior-Superior", "LPS"])
def test_axes_of_the_patient_cause_no_warning(tmp_path, caplog, name):
    read_volume(nrrd(tmp_path / "a.nrrd", f"space: {name}", *IN_SPACE[1:]))

    assert not caplog.records


def test_metaimage_without_a_matrix_causes_a_warning(tmp_path, caplog):
    sitk.WriteImage(sitk.GetImageFromArray(voxels()), str(tmp_path / "a.mha"))
    read_volume(tmp_path / "a.mha")
    assert not caplog.records

    content = (tmp_path / "a.mha").read_bytes()
    (tmp_path / "a.mha").write_bytes(content.replace(b"TransformMatrix = 1 0 0 0 1 0 0 0 1\n", b""))
    read_volume(tmp_path / "a.mha")
    assert "left and right are a guess" in caplog.text
