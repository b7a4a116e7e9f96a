"""Pictures: the right panels, a line inside the anatomy with the right intensities, and slices from the side."""

import numpy as np
import pytest
from evaluation.tables import protocol_of, rough

from ArSSRLib.evaluation import figures
from ArSSRLib.evaluation.figures import detailed_line, draw_figures, draw_profile, draw_reformat
from ArSSRLib.evaluation.results import Results
from ArSSRLib.evaluation.runner import Cell, Place
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import write_volume
from ArSSRLib.volume import Volume

GRID = VolumeGeometry((24, 22, 20), (1.0, 1.0, 1.0))


@pytest.fixture
def drawn(monkeypatch):
    """Collects every figure instead of saving it."""
    saved = []
    monkeypatch.setattr(figures, "save_figure", lambda figure, path: saved.append(figure))
    return saved


@pytest.fixture
def panels():
    return [(name, Volume(rough() + shade, GRID)) for name, shade in (("truth", 0), ("cubic", 10), ("ours", 20))]


def thick_panels():
    thick = VolumeGeometry((24, 22, 7), (1.0, 1.0, 3.0))
    fine = thick.upsampled((1, 1, 3))
    return [("input", Volume(rough(shape=thick.shape), thick)), ("cubic", Volume(rough(shape=fine.shape), fine))]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_profile_shows_every_volume_along_one_line(panels, drawn, tmp_path, axis):
    draw_profile(panels, tmp_path / "profile.png", axis=axis)

    place, curves = drawn[0].axes
    line = detailed_line(panels[0][1].array, axis)
    assert [curve.get_label() for curve in curves.get_lines()] == ["truth", "cubic", "ours"]
    for curve, (_, volume) in zip(curves.get_lines(), panels, strict=True):
        np.testing.assert_array_equal(curve.get_ydata(), line.of(volume.array))
    # The mark in the picture is at the line: the same voxels, in pixels of the picture.
    (mark,) = place.patches
    pixels = place.images[0].get_array()
    left, bottom = (round(x + 0.5) for x in mark.get_xy())
    marked = pixels[bottom : bottom + round(mark.get_height()), left : left + round(mark.get_width())]
    np.testing.assert_array_equal(np.ravel(marked), line.of(panels[0][1].array))


def test_the_line_is_where_most_changes_inside_the_anatomy():
    array = rough(shape=(60, 60, 60))
    array[30, 28, 10:50:2] += 5000
    array[2, 2, ::2] += 9000  # outside of the anatomy

    line = detailed_line(array, 2)

    assert line.start[:2] == (30, 28)
    assert (line.axis, line.length) == (2, 48)


def test_a_short_axis_is_one_line():
    assert detailed_line(rough(shape=(20, 30, 30)), 0).length == 20


def test_thick_slices_are_drawn_from_the_side_in_true_proportions(drawn, tmp_path):
    draw_reformat(thick_panels(), tmp_path / "reformat.png")

    axes = np.reshape(drawn[0].axes, (2, 2))
    for row, width in zip(axes, (24, 24), strict=True):
        for panel in row:
            # 7 slices of 3 mm are 21 mm high.
            left, right, bottom, top = panel.images[0].get_extent()
            assert (right - left, bottom - top) == pytest.approx((width, 21))
    assert axes[0, 0].get_title() == "input\nslices 3 mm apart"
    assert axes[0, 1].get_title().startswith("cubic\nslice ripple 0.")
    windows = {panel.images[0].get_clim() for panel in axes.ravel()}
    assert len(windows) == 1


def kept(folder, degradation, volumes):
    cells = []
    for name, volume in volumes:
        path = write_volume(volume, folder / f"{degradation}_{name}.nii.gz")
        method = "" if name in ("truth", "input") else name
        cells.append(Cell(Place("sub-01", "1x1x3", degradation, method), (), 0.0, computed=True, picture=path))
    return cells


def test_every_kept_subject_has_its_pictures(panels, tmp_path):
    results = Results(protocol_of(tmp_path), {}, [])
    results.cells += [*kept(tmp_path, "point", panels), *kept(tmp_path, "real", thick_panels())]

    files = draw_figures(results, tmp_path / "figures")

    names = ["sub-01_1x1x3_point_montage", "sub-01_1x1x3_point_profile", "sub-01_1x1x3_real_reformat"]
    assert [file.stem for file in files] == names
    assert all(file.read_bytes()[:4] == b"\x89PNG" for file in files)


def test_a_truth_with_synthetic_lesions_is_titled_so(panels, drawn, tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(figures, "save_comparison", lambda path, shown, **_: titles.append(shown[0][0]) or path)
    results = Results(protocol_of(tmp_path, lesions="synthetic"), {}, [])
    results.cells += kept(tmp_path, "point", panels)

    draw_figures(results, tmp_path)

    assert titles == ["truth (synthetic lesions)"]


def test_a_montage_has_the_truth_first_and_error_maps_to_it(panels, drawn, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        figures, "save_comparison", lambda path, shown, **options: asked.append((shown, options)) or path
    )
    results = Results(protocol_of(tmp_path), {}, [])
    results.cells += kept(tmp_path, "point", panels)

    draw_figures(results, tmp_path / "figures")

    ((shown, options),) = asked
    assert [title for title, _ in shown] == ["truth", "cubic", "ours"]
    assert options["difference_to"] == 0


def test_a_profile_runs_along_the_axis_that_was_coarsened_most(panels, drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "save_comparison", lambda path, *_, **__: path)
    results = Results(protocol_of(tmp_path), {}, [])
    results.cells += kept(tmp_path, "point", panels)

    draw_figures(results, tmp_path / "figures")

    assert drawn[0].axes[1].get_xlabel() == "mm along k"


def test_a_picture_needs_more_than_the_truth(panels, tmp_path):
    results = Results(protocol_of(tmp_path), {}, [])
    results.cells += kept(tmp_path, "point", panels[:1])

    assert draw_figures(results, tmp_path / "figures") == []
